package batch

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

// readAllRecords decodes a batch.
func readAllRecords(t *testing.T, b []byte) (all []Record) {
	t.Helper()
	for r, err := range Records(b, 64<<20) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// someRecords has n records of every shape, the last one large.
func someRecords(n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{Offset: int64(i), Timestamp: 1000 + int64(i), Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Appendf(nil, "the value of %d", i)}
	}
	records[0].Key, records[0].Value = nil, nil
	records[n-1].Headers = []RecordHeader{{Key: []byte("h"), Value: []byte("x")}, {Key: []byte("n")}}
	records[n-1].Value = bytes.Repeat([]byte("large "), 40_000)
	return records
}

func TestRecompress_EveryCodecIntoEveryOther(t *testing.T) {
	h := Header{ProducerID: 7, ProducerEpoch: 2, BaseSequence: 5, LeaderEpoch: -1}
	plain := Append(nil, h, someRecords(100))
	want := readAllRecords(t, plain)
	levels := map[Codec][]int{None: {0}, Gzip: {-1, 1, 9}, Snappy: {0}, LZ4: {9, 1, 8, 17}, Zstd: {3, -131072, 1, 22}}
	for from, fromLevels := range levels {
		source, err := Recompress(plain, from, fromLevels[0], 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		for to, toLevels := range levels {
			for _, level := range toLevels {
				b, err := Recompress(source, to, level, 64<<20)
				if err != nil {
					t.Fatalf("%v to %v: %v", from, to, err)
				}
				got, err := Check(b)
				if err != nil {
					t.Fatalf("%v to %v: %v", from, to, err)
				}
				before, _ := Parse(source)
				before.Length, before.CRC, before.Attributes = got.Length, got.CRC, before.Attributes&^attributeCodec|int16(to)
				if got != before {
					t.Errorf("%v to %v: %+v, want %+v", from, to, got, before)
				}
				if !reflect.DeepEqual(readAllRecords(t, b), want) {
					t.Errorf("%v to %v at %d: other records", from, to, level)
				}
				if to != None && len(b) >= len(plain) {
					t.Errorf("%v to %v at %d: %d bytes of %d", from, to, level, len(b), len(plain))
				}
			}
		}
	}
}

func TestRecompress_Refuses(t *testing.T) {
	plain := Append(nil, Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, someRecords(10))
	zipped, err := Recompress(plain, Gzip, -1, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Recompress(zipped, None, 0, 1000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the bound: %v", err)
	}
	if _, err := Recompress(plain, 6, 0, 64<<20); err == nil {
		t.Error("an unknown codec")
	}
	garbled := bytes.Clone(zipped)
	garbled[len(garbled)/2] ^= 0xff
	if _, err := Recompress(garbled, Zstd, 3, 64<<20); err == nil {
		t.Error("bytes that don't decompress")
	}
	cut := bytes.Clone(plain)
	cut[HeaderSize] ^= 0x40 // the first record's length
	if _, err := Recompress(cut, Zstd, 3, 64<<20); !errors.Is(err, ErrInvalid) {
		t.Errorf("records that don't decode: %v", err)
	}
}

func FuzzRecompress(f *testing.F) {
	small := someRecords(3)
	small[2].Value = []byte("small")
	plain := Append(nil, Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, small)
	for _, codec := range []Codec{None, Gzip, Snappy, LZ4, Zstd} {
		b, err := Recompress(plain, codec, 3, 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, int8(codec))
	}
	f.Fuzz(func(t *testing.T, b []byte, codec int8) {
		if _, err := Check(b); err != nil {
			return
		}
		out, err := Recompress(b, Codec(codec), 3, 1<<20)
		if err != nil {
			return
		}
		if _, err := Check(out); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(readAllRecords(t, out), readAllRecords(t, b)) {
			t.Fatal("other records")
		}
	})
}
