package batch

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestFilter(t *testing.T) {
	records := []Record{
		{Offset: 100, Timestamp: 1000, Key: []byte("a"), Value: []byte("1")},
		{Offset: 101, Timestamp: 3000, Key: []byte("b"), Value: []byte("2"), Headers: []RecordHeader{{Key: []byte("h")}}},
		{Offset: 102, Timestamp: 2000, Key: []byte("c")},
		{Offset: 103, Timestamp: 900, Key: []byte("d"), Value: []byte{}},
	}
	plain := Append(nil, Header{BaseOffset: 100, LeaderEpoch: 4, Attributes: attributeTransactional, ProducerID: 7, ProducerEpoch: 2, BaseSequence: 9}, records)
	for codec := None; codec <= Zstd; codec++ {
		b, err := Recompress(plain, codec, defaultLevel(codec), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for mask := range 1 << len(records) {
			for _, horizon := range []int64{-1, 50_000} {
				t.Run(fmt.Sprint(codec, mask, horizon), func(t *testing.T) {
					checkFiltered(t, b, records, mask, horizon)
				})
			}
		}
	}
}

func checkFiltered(t *testing.T, b []byte, records []Record, mask int, horizon int64) {
	keep := func(offset int64) bool { return mask&(1<<(offset-100)) != 0 }
	f, err := Filter(b, 1<<20, horizon, func(r *Record) bool { return keep(r.Offset) })
	if err != nil {
		t.Fatal(err)
	}
	tombstone := keep(102) && horizon >= 0
	if f.Changed != (mask != 15 || tombstone) {
		t.Errorf("changed %t", f.Changed)
	}
	if !f.Changed {
		if !bytes.Equal(f.Body, b) {
			t.Error("other bytes")
		}
		return
	}
	if mask == 0 {
		if f.Body != nil {
			t.Error("a batch of nothing")
		}
		return
	}
	was, _ := Parse(b)
	h, err := Verify(f.Body)
	if err != nil {
		t.Fatal(err)
	}
	if ms, ok := h.DeleteHorizon(); ok != tombstone || ok && ms != horizon {
		t.Errorf("horizon %d, %t", ms, ok)
	}
	largest, i := int64(-1), 0
	for r, err := range Records(f.Body, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		for !keep(records[i].Offset) {
			i++
		}
		if fmt.Sprintf("%+v", r) != fmt.Sprintf("%+v", records[i]) {
			t.Errorf("%+v, was %+v", r, records[i])
		}
		largest = max(largest, r.Timestamp)
		i++
	}
	// All else is as it was.
	was.Length, was.CRC, was.Records, was.MaxTimestamp = h.Length, h.CRC, int32(f.Kept), largest
	if tombstone {
		was.Attributes |= attributeDeleteHorizon
		was.FirstTimestamp = horizon
	}
	if h != was {
		t.Errorf("%+v\nwant %+v", h, was)
	}
	// Once set, the horizon stays.
	if again, err := Filter(f.Body, 1<<20, 99_999, func(*Record) bool { return true }); err != nil || tombstone && again.Changed {
		t.Errorf("filtered again: %+v, %v", again, err)
	}
}

func TestFilter_Bomb(t *testing.T) {
	plain := Append(nil, Header{ProducerID: -1}, []Record{{Key: []byte("k"), Value: make([]byte, 1<<20)}})
	b, err := Recompress(plain, Zstd, 3, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Filter(b, 1<<19, -1, func(*Record) bool { return true }); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestFilter_MarkerGetsAHorizon(t *testing.T) {
	b := AppendControl(nil, Control{BaseOffset: 5, Timestamp: 77, ProducerID: 1, Commit: true})
	f, err := Filter(b, 1<<10, 1234, func(*Record) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	h, err := Verify(f.Body)
	if ms, ok := h.DeleteHorizon(); err != nil || !ok || ms != 1234 || !h.Control() || h.MaxTimestamp != 77 {
		t.Errorf("%+v, %v", h, err)
	}
	for r, err := range Records(f.Body, 1<<10) {
		if err != nil || r.Timestamp != 77 || r.Offset != 5 {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

func TestEmptied(t *testing.T) {
	b := Append(nil, Header{BaseOffset: 5, ProducerID: 3, ProducerEpoch: 1, BaseSequence: 8}, []Record{{Offset: 5, Timestamp: 9}, {Offset: 6, Timestamp: 7}})
	was, _ := Parse(b)
	b, err := Recompress(b, LZ4, lz4LevelFast, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	e := Emptied(b)
	h, err := Verify(e)
	if err != nil || len(e) != HeaderSize {
		t.Fatalf("%d bytes, %v", len(e), err)
	}
	was.Length, was.CRC, was.Records, was.FirstTimestamp = h.Length, h.CRC, 0, -1
	if h != was {
		t.Errorf("%+v\nwant %+v", h, was)
	}
	for r, err := range Records(e, 1<<20) {
		t.Errorf("%+v, %v", r, err)
	}
}

// FuzzFilter: what is kept of any batch that can be read are the records that were asked
// for, and the result is a batch that can be read, with a right CRC.
func FuzzFilter(f *testing.F) {
	plain := sample()
	h, _ := Parse(plain)
	for i, codec := range codecs {
		f.Add(with(h, codec, compress(f, codec, plain[HeaderSize:])), uint64(5), int64(1000*i-1))
	}
	f.Add(Append(nil, Header{Attributes: attributeControl}, []Record{{Key: []byte{0, 0, 0, 1}, Value: make([]byte, 6)}}), uint64(1), int64(50_000))
	f.Add(Append(nil, Header{Attributes: attributeDeleteHorizon, FirstTimestamp: 9}, []Record{{Key: []byte("a"), Timestamp: 5}, {Key: []byte("b"), Timestamp: 7}}), uint64(2), int64(50_000))
	f.Fuzz(func(t *testing.T, b []byte, mask uint64, horizon int64) {
		const bytesMax = 1 << 20
		records, err := collect(b, bytesMax)
		at := -1
		got, filterErr := Filter(b, bytesMax, horizon, func(*Record) bool {
			at++
			return mask&(1<<(at%64)) != 0
		})
		if (err == nil) != (filterErr == nil) {
			t.Fatalf("reading: %v, filtering: %v", err, filterErr)
		}
		if err != nil {
			return
		}
		var want []Record
		for i, r := range records {
			if mask&(1<<(i%64)) != 0 {
				want = append(want, r)
			}
		}
		if got.Records != len(records) || got.Kept != len(want) || (got.Body == nil) != (got.Kept == 0 && (len(records) > 0 || got.Changed)) {
			t.Fatalf("%d of %d kept, %d wanted, %d bytes", got.Kept, got.Records, len(want), len(got.Body))
		}
		if !got.Changed || got.Body == nil {
			return
		}
		was, _ := Parse(b)
		is, err := Verify(got.Body)
		if err != nil {
			t.Fatalf("what is left: %v", err)
		}
		if is.BaseOffset != was.BaseOffset || is.LastOffsetDelta != was.LastOffsetDelta || is.ProducerID != was.ProducerID || is.BaseSequence != was.BaseSequence {
			t.Fatalf("%+v of %+v", is, was)
		}
		left, err := collect(got.Body, 0)
		if err != nil {
			left, err = collect(got.Body, 2*bytesMax)
		}
		if err != nil || len(left) != len(want) {
			t.Fatalf("%d records of %d: %v", len(left), len(want), err)
		}
		for i := range left {
			if left[i].Offset != want[i].Offset || left[i].Timestamp != want[i].Timestamp || !bytes.Equal(left[i].Key, want[i].Key) || !bytes.Equal(left[i].Value, want[i].Value) {
				t.Fatalf("record %d is %+v, was %+v", i, left[i], want[i])
			}
		}
	})
}
