package segment

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestAppendCRC(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 3<<20)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 21, 255, 256, 257, 4095, 65536, 1<<20 + 1, 2 << 20} {
		at := random.IntN(1 << 20)
		first, second := b[:at], b[at:at+n]
		got := appendCRC(crc32.Checksum(first, castagnoli), crc32.Checksum(second, castagnoli), shiftOf(n))
		if want := crc32.Checksum(b[:at+n], castagnoli); got != want {
			t.Errorf("%d bytes and %d more: %08x; want %08x", at, n, got, want)
		}
	}
}

func BenchmarkBatchCRC(b *testing.B) {
	for _, n := range []int{1 << 10, 4 << 10, 64 << 10, 1 << 20} {
		data := aBatch(1, string(make([]byte, n)))
		b.Run("combined", func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				batchCRC(data)
			}
		})
		b.Run("looked at", func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				crc32.Checksum(data, castagnoli)
			}
		})
	}
}
