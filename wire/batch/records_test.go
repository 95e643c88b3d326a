package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// collect returns all records, or the error.
func collect(b []byte, bytesMax int) ([]Record, error) {
	var records []Record
	for r, err := range Records(b, bytesMax) {
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

// with returns a batch with the header's fields and these bytes as its records.
func with(h Header, codec Codec, records []byte) []byte {
	b := append(make([]byte, HeaderSize), records...)
	h.Magic, h.Length = magic, int32(len(b)-lengthFrom)
	h.Attributes |= int16(codec)
	h.put(b)
	setCRC(b)
	return b
}

// compress compresses as a producer would.
func compress(t testing.TB, codec Codec, src []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	switch codec {
	case Gzip:
		w := gzip.NewWriter(&out)
		_, err = w.Write(src)
		err = errors.Join(err, w.Close())
	case Snappy:
		return snappy.Encode(nil, src)
	case LZ4:
		w := lz4.NewWriter(&out)
		_, err = w.Write(src)
		err = errors.Join(err, w.Close())
	case Zstd:
		var w *zstd.Encoder
		if w, err = zstd.NewWriter(&out); err == nil {
			_, err = w.Write(src)
			err = errors.Join(err, w.Close())
		}
	default:
		return src
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// xerial frames blocks of snappy as Java clients do.
func xerial(src []byte, blockSize int) []byte {
	out := append([]byte(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	for len(src) > 0 {
		n := min(blockSize, len(src))
		block := snappy.Encode(nil, src[:n])
		out = binary.BigEndian.AppendUint32(out, uint32(len(block)))
		out = append(out, block...)
		src = src[n:]
	}
	return out
}

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func TestRecords_WhatAppendWrote(t *testing.T) {
	want := []Record{
		{Offset: 1000, Timestamp: 50, Key: []byte("key"), Value: bytes.Repeat([]byte("value "), 100)},
		{Offset: 1001, Timestamp: 49, Key: nil, Value: []byte{}},
		{Offset: 1004, Timestamp: math.MaxInt32 * 50, Key: []byte{}, Value: nil, Headers: []RecordHeader{
			{Key: []byte("a"), Value: nil}, {Key: []byte{}, Value: []byte{}}, {Key: []byte("a"), Value: []byte("ß")},
		}},
	}
	b := Append(nil, Header{BaseOffset: 1000, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 5}, want)
	h, err := Verify(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.Records != 3 || h.LastOffsetDelta != 4 || h.FirstTimestamp != 50 || h.MaxTimestamp != math.MaxInt32*50 || h.ProducerID != 7 || h.LastSequence() != 9 {
		t.Errorf("got %+v", h)
	}
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			got, err := collect(with(h, codec, compress(t, codec, b[HeaderSize:])), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	t.Run("xerial", func(t *testing.T) {
		for _, blockSize := range []int{1, 10, 1 << 20} {
			got, err := collect(with(h, Snappy, xerial(b[HeaderSize:], blockSize)), 1<<20)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("in blocks of %d: got %+v, %v", blockSize, got, err)
			}
		}
	})
}

func TestRecords_Stops(t *testing.T) {
	n := 0
	for range Records(sample(), 0) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("got %d", n)
	}
}

// broken is a batch whose records are none, and what reading them comes to.
type broken struct {
	name string
	b    []byte
	want error
}

func brokenBatches(t testing.TB) []broken {
	t.Helper()
	plain := sample()
	h, _ := Parse(plain)
	records := plain[HeaderSize:]
	// One record, whose parts a test replaces.
	record := func(parts ...any) []byte {
		var body []byte
		for _, p := range parts {
			switch p := p.(type) {
			case int:
				body = binary.AppendVarint(body, int64(p))
			case string:
				body = append(body, p...)
			}
		}
		return append(binary.AppendVarint(nil, int64(len(body))), body...)
	}
	one := func(b []byte) []byte {
		h := Header{Records: 1}
		return with(h, None, b)
	}
	if _, err := collect(one(record("\x00", 0, 0, 1, "k", 1, "v", 1, 1, "h", -1)), 0); err != nil {
		t.Fatalf("the record that the others are made from: %v", err)
	}
	return []broken{
		{"cut", plain[:len(plain)-1], ErrCorrupt},
		{"fewer records than declared", with(func() Header { h := h; h.Records, h.LastOffsetDelta = 4, 3; return h }(), None, records), ErrInvalid},
		{"more records than declared", with(func() Header { h := h; h.Records, h.LastOffsetDelta = 2, 1; return h }(), None, records), ErrInvalid},
		{"offset beyond the last", with(func() Header { h := h; h.LastOffsetDelta = 1; return h }(), None, records), ErrInvalid},
		{"2³¹−1 records declared", with(func() Header { h := h; h.Records = math.MaxInt32; return h }(), None, records), ErrInvalid},
		{"negative count", with(func() Header { h := h; h.Records = -1; return h }(), None, records), ErrInvalid},
		{"unknown codec", with(h, 6, records), ErrInvalid},
		{"gzip of nothing", with(h, Gzip, nil), ErrInvalid},
		{"gzip that isn't", with(h, Gzip, records), ErrInvalid},
		{"gzip cut", with(h, Gzip, compress(t, Gzip, records)[:20]), ErrInvalid},
		{"lz4 that isn't", with(h, LZ4, records), ErrInvalid},
		{"lz4 of nothing", with(h, LZ4, nil), ErrInvalid},
		{"zstd that isn't", with(h, Zstd, records), ErrInvalid},
		{"zstd of nothing", with(h, Zstd, nil), ErrInvalid},
		{"snappy that isn't", with(h, Snappy, records), ErrInvalid},
		{"snappy of nothing", with(h, Snappy, nil), ErrInvalid},
		{"snappy that claims too much", with(h, Snappy, binary.AppendUvarint(nil, 1<<19)), ErrInvalid},
		{"xerial cut in its header", with(h, Snappy, []byte(xerialMagic)), ErrInvalid},
		{"xerial cut in a length", with(h, Snappy, append(xerial(records, 10), 0, 0)), ErrInvalid},
		{"xerial cut in a block", with(h, Snappy, append(xerial(records, 10), 0, 0, 0, 9, 1)), ErrInvalid},
		{"xerial block of 2³²−1", with(h, Snappy, append(xerial(records, 10), 0xff, 0xff, 0xff, 0xff, 1)), ErrInvalid},
		{"record of a negative length", one(append([]byte{1}, make([]byte, 20)...)), ErrInvalid},
		{"record beyond the end", one(append([]byte{100}, make([]byte, 20)...)), ErrInvalid},
		{"overlong varint", one(bytes.Repeat([]byte{0xff}, 20)), ErrInvalid},
		{"offset delta not 0..", one(record("\x00", 0, 1, -1, -1, 0)), ErrInvalid},
		{"negative offset delta", one(record("\x00", 0, -1, -1, -1, 0)), ErrInvalid},
		{"offset delta of 33 bits", one(record("\x00", 0, 1<<32, -1, -1, 0)), ErrInvalid},
		{"key of -2 bytes", one(record("\x00", 0, 0, -2, -1, 0)), ErrInvalid},
		{"key beyond the record", one(record("\x00", 0, 0, 5, -1, 0)), ErrInvalid},
		{"value beyond the record", one(record("\x00", 0, 0, -1, math.MaxInt32, 0)), ErrInvalid},
		{"negative headers", one(record("\x00", 0, 0, -1, -1, -1)), ErrInvalid},
		{"2³¹−1 headers", one(record("\x00", 0, 0, -1, -1, math.MaxInt32)), ErrInvalid},
		{"header without a key", one(record("\x00", 0, 0, -1, -1, 1, -1, -1)), ErrInvalid},
		{"header's value beyond the record", one(record("\x00", 0, 0, -1, -1, 1, 0, 9)), ErrInvalid},
		{"bytes after the headers", one(record("\x00", 0, 0, -1, -1, 0, 0)), ErrInvalid},
		{"no headers' count", one(record("\x00", 0, 0, -1, -1, "")), ErrInvalid},
	}
}

func TestRecords_Refuses(t *testing.T) {
	for _, test := range brokenBatches(t) {
		t.Run(test.name, func(t *testing.T) {
			if _, err := collect(test.b, 1<<20); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestRecords_Bombs(t *testing.T) {
	value := make([]byte, 64<<20)
	plain := Append(nil, Header{}, []Record{{Value: value}})
	h, _ := Parse(plain)
	const bytesMax = 1 << 20
	for _, codec := range codecs[1:] {
		t.Run(codec.String(), func(t *testing.T) {
			bomb := with(h, codec, compress(t, codec, plain[HeaderSize:]))
			var err error
			// lz4's pool of blocks and zstd's window are the codec's own, whatever the
			// limit; the latter grows by appending, so all that was taken passes its end.
			const own = 8<<20 + 5*zstdWindowBytes
			if n := allocated(func() { _, err = collect(bomb, bytesMax) }); n > 4*bytesMax+own {
				t.Errorf("%d bytes allocated for a limit of %d", n, bytesMax)
			}
			if !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("xerial", func(t *testing.T) {
		bomb := with(h, Snappy, xerial(plain[HeaderSize:], 32<<10))
		var err error
		if n := allocated(func() { _, err = collect(bomb, bytesMax) }); n > 4*bytesMax {
			t.Errorf("%d bytes allocated for a limit of %d", n, bytesMax)
		}
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRecords_ExactlyTheLimit(t *testing.T) {
	for _, size := range []int{1, 4 << 10, 1 << 20, 3<<20 + 7} {
		plain := Append(nil, Header{}, []Record{{Value: bytes.Repeat([]byte("abcdefgh"), size/8+1)[:size]}})
		h, _ := Parse(plain)
		records := plain[HeaderSize:]
		for _, codec := range codecs[1:] {
			b := with(h, codec, compress(t, codec, records))
			if _, err := collect(b, len(records)); err != nil {
				t.Errorf("%v, %d bytes: %v", codec, size, err)
			}
			if _, err := collect(b, len(records)-1); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v, %d bytes, one less allowed: %v", codec, size, err)
			}
		}
	}
}

func TestRecords_SeveralFrames(t *testing.T) {
	plain := sample()
	h, _ := Parse(plain)
	records := plain[HeaderSize:]
	for _, codec := range []Codec{Gzip, Zstd} {
		b := with(h, codec, append(compress(t, codec, records[:9]), compress(t, codec, records[9:])...))
		if got, err := collect(b, 1<<20); err != nil || len(got) != 3 {
			t.Errorf("%v: %d records, %v", codec, len(got), err)
		}
	}
}

func FuzzRecords(f *testing.F) {
	plain := sample()
	h, _ := Parse(plain)
	for _, codec := range codecs {
		f.Add(with(h, codec, compress(f, codec, plain[HeaderSize:])))
	}
	f.Add(with(h, Snappy, xerial(plain[HeaderSize:], 20)))
	f.Add(Append(nil, Header{Attributes: attributeControl}, []Record{{Key: []byte{0, 0, 0, 1}, Value: make([]byte, 6)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		const bytesMax = 1 << 20
		records, err := collect(b, bytesMax)
		if err != nil {
			if !errors.Is(err, ErrMagic) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrInvalid) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if len(records) == 0 {
			return
		}
		h, _ := Parse(b)
		again, err := collect(Append(nil, h, records), 0)
		if err != nil {
			t.Fatalf("what Append wrote: %v", err)
		}
		if !reflect.DeepEqual(again, records) && !h.LogAppendTime() {
			t.Fatalf("encode and decode give %+v of %+v", again, records)
		}
	})
}

func TestCodec_String(t *testing.T) {
	var names []string
	for c := range Codec(6) {
		names = append(names, c.String())
	}
	if got := strings.Join(names, " "); got != "none gzip snappy lz4 zstd codec-5" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			data := Append(nil, Header{ProducerID: -1}, []Record{{Value: make([]byte, size)}})
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Check(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	records := make([]Record, 1000)
	for i := range records {
		records[i] = Record{Offset: int64(i), Key: fmt.Appendf(nil, "key-%d", i), Value: bytes.Repeat([]byte("value"), 20)}
	}
	plain := Append(nil, Header{}, records)
	h, _ := Parse(plain)
	for _, codec := range codecs {
		b.Run(codec.String(), func(b *testing.B) {
			data := with(h, codec, compress(b, codec, plain[HeaderSize:]))
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range Records(data, 1<<20) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
