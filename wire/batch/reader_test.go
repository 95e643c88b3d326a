package batch

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

// A Reader yields what Records does, whatever it has read before, and leaves it alone until Reset.
func TestReader_IsRecords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var r Reader
	for round := range 4 {
		var got [][]Record
		var want [][][]byte // values
		for n := range 60 {
			size := 1 << rnd.IntN(19)
			var records []Record
			var values [][]byte
			for i := range 1 + rnd.IntN(3) {
				value := make([]byte, size)
				for k := range value {
					value[k] = byte(k*n) & byte(rnd.Uint32()>>(n%8)) // compresses well, and hardly
				}
				values = append(values, bytes.Clone(value))
				records = append(records, Record{Offset: int64(i), Value: value})
			}
			plain := Append(nil, Header{}, records)
			h, _ := Parse(plain)
			b := with(h, codecs[rnd.IntN(len(codecs))], nil)
			h, _ = Parse(b)
			b = with(h, h.Codec(), compress(t, h.Codec(), plain[HeaderSize:]))
			limit := len(plain) - HeaderSize
			if n%10 == 9 && h.Codec() != None { // a bomb keeps nothing from being read after it
				if _, err := readBatch(&r, b, limit-1); !errors.Is(err, ErrTooLarge) {
					t.Fatalf("%v, one byte less allowed: %v", h.Codec(), err)
				}
				if _, err := readBatch(&r, b[:len(b)-1], limit); err == nil {
					t.Fatalf("%v, cut: no error", h.Codec())
				}
			}
			one, err := readBatch(&r, b, limit)
			if err != nil || !reflect.DeepEqual(one, records) {
				t.Fatalf("round %d, batch %d, %v of %d bytes: %v", round, n, h.Codec(), size, err)
			}
			got, want = append(got, one), append(want, values)
		}
		for i := range got {
			for k := range got[i] {
				if !bytes.Equal(got[i][k].Value, want[i][k]) {
					t.Fatalf("round %d: batch %d has changed", round, i)
				}
			}
		}
		r.Reset()
	}
}

func readBatch(r *Reader, b []byte, bytesMax int) (all []Record, err error) {
	var record Record
	for r.Open(b, bytesMax); r.Next(&record); {
		all = append(all, record)
	}
	return all, r.Err()
}

// A Reader that was reset takes its memory again, and no more.
func TestReader_Keeps(t *testing.T) {
	const batches, bytesEach = 50, 160 << 10
	plain := Append(nil, Header{}, []Record{{Value: bytes.Repeat([]byte("abcdefgh"), bytesEach/8)}})
	h, _ := Parse(plain)
	for _, codec := range []Codec{LZ4, Zstd} {
		var r Reader
		b := with(h, codec, compress(t, codec, plain[HeaderSize:]))
		var held []int // bytes, after each round
		for range 3 {
			for range batches {
				if _, err := readBatch(&r, b, 1<<20); err != nil {
					t.Fatal(err)
				}
			}
			r.Reset()
			all := 0
			for _, chunk := range r.free {
				all += cap(chunk)
			}
			held = append(held, all)
		}
		// The first batch of all may be larger than what it was given.
		if held[0] < (batches-1)*bytesEach || held[2] > held[1] || held[2] > 2*batches*bytesEach {
			t.Errorf("%v: %d bytes are held after each round of %d", codec, held, batches*bytesEach)
		}
	}
}
