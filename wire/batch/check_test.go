package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

// sample returns a batch of three records as a client would make it.
func sample() []byte {
	return Append(nil, Header{LeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, []Record{
		{Offset: 0, Timestamp: 1_700_000_000_000, Key: []byte("k"), Value: []byte("v")},
		{Offset: 1, Timestamp: 1_700_000_000_005, Value: []byte{}, Headers: []RecordHeader{{Key: []byte("h"), Value: []byte("x")}, {Key: []byte{}}}},
		{Offset: 2, Timestamp: 1_699_999_999_999, Key: []byte{}},
	})
}

// changed returns the sample with its header changed and its CRC made anew.
func changed(change func(h *Header)) []byte {
	b := sample()
	h, err := Parse(b)
	if err != nil {
		panic(err)
	}
	change(&h)
	h.put(b)
	setCRC(b)
	return b
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
		want error // nil: accepted
	}{
		{"as made", sample(), nil},
		{"any base offset and leader epoch", changed(func(h *Header) { h.BaseOffset, h.LeaderEpoch = -5, 77 }), nil},
		{"no producer, epoch and sequence whatever", changed(func(h *Header) { h.ProducerEpoch, h.BaseSequence = 0, 0 }), nil},
		{"a producer", changed(func(h *Header) { h.ProducerID, h.ProducerEpoch, h.BaseSequence = 0, 0, 0 }), nil},
		{"a transactional producer", changed(func(h *Header) {
			h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Attributes = 1, 2, math.MaxInt32, attributeTransactional
		}), nil},
		{"no timestamps", changed(func(h *Header) { h.FirstTimestamp, h.MaxTimestamp = -1, -1 }), nil},
		{"max timestamp below the first, as some clients have it", changed(func(h *Header) { h.MaxTimestamp = h.FirstTimestamp - 1 }), nil},
		{"zstd", changed(func(h *Header) { h.Attributes = int16(Zstd) }), nil},

		{"nothing", nil, ErrCorrupt},
		{"half a header", sample()[:HeaderSize/2], ErrCorrupt},
		{"a header only", sample()[:HeaderSize], ErrCorrupt},
		{"one byte short", sample()[:len(sample())-1], ErrCorrupt},
		{"one byte more", append(sample(), 0), ErrInvalid},
		{"two batches", append(sample(), sample()...), ErrInvalid},
		{"magic 0 of 26 bytes", make([]byte, 26), ErrMagic},
		{"magic 0", changed(func(h *Header) { h.Magic = 0 }), ErrMagic},
		{"magic 1", changed(func(h *Header) { h.Magic = 1 }), ErrMagic},
		{"magic 3", changed(func(h *Header) { h.Magic = 3 }), ErrCorrupt},
		{"magic -1", changed(func(h *Header) { h.Magic = -1 }), ErrCorrupt},
		{"length below the header's", changed(func(h *Header) { h.Length = HeaderSize - lengthFrom - 1 }), ErrCorrupt},
		{"negative length", changed(func(h *Header) { h.Length = -1 }), ErrCorrupt},
		{"length of 2³¹−1", changed(func(h *Header) { h.Length = math.MaxInt32 }), ErrCorrupt},
		{"control batch", changed(func(h *Header) { h.Attributes = attributeControl }), ErrInvalid},
		{"delete horizon", changed(func(h *Header) { h.Attributes = attributeDeleteHorizon }), ErrInvalid},
		{"unknown attribute", changed(func(h *Header) { h.Attributes = 1 << 7 }), ErrInvalid},
		{"highest attribute", changed(func(h *Header) { h.Attributes = math.MinInt16 }), ErrInvalid},
		{"codec 5", changed(func(h *Header) { h.Attributes = 5 }), ErrInvalid},
		{"codec 7", changed(func(h *Header) { h.Attributes = 7 }), ErrInvalid},
		{"no records", changed(func(h *Header) { h.Records, h.LastOffsetDelta = 0, -1 }), ErrInvalid},
		{"negative records", changed(func(h *Header) { h.Records, h.LastOffsetDelta = -1, -2 }), ErrInvalid},
		{"fewer records than offsets", changed(func(h *Header) { h.Records = 2 }), ErrInvalid},
		{"more records than offsets", changed(func(h *Header) { h.Records = 4 }), ErrInvalid},
		{"offsets overflow", changed(func(h *Header) { h.Records, h.LastOffsetDelta = math.MinInt32, math.MaxInt32 }), ErrInvalid},
		{"append time from a client", changed(func(h *Header) { h.Attributes = attributeLogAppendTime }), ErrTimestamp},
		{"first timestamp below -1", changed(func(h *Header) { h.FirstTimestamp = -2 }), ErrTimestamp},
		{"max timestamp below -1", changed(func(h *Header) { h.MaxTimestamp = math.MinInt64 }), ErrTimestamp},
		{"producer id below -1", changed(func(h *Header) { h.ProducerID = -2 }), ErrInvalid},
		{"transactional without a producer", changed(func(h *Header) { h.Attributes = attributeTransactional }), ErrInvalid},
		{"producer without an epoch", changed(func(h *Header) { h.ProducerID, h.BaseSequence = 5, 0 }), ErrInvalid},
		{"producer without a sequence", changed(func(h *Header) { h.ProducerID, h.ProducerEpoch = 5, 0 }), ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, err := Check(test.b)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil && h != (Header{}) {
				t.Errorf("an error comes with the header %+v", h)
			}
			if errors.Is(err, ErrTimestamp) && !errors.Is(err, ErrInvalid) {
				t.Error("a wrong timestamp is not ErrInvalid")
			}
		})
	}
}

func TestCheck_EveryFlippedBit(t *testing.T) {
	b := sample()
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		_, err := Check(b)
		free := i/8 < atLength || i/8 >= atLeaderEpoch && i/8 < atMagic // the broker's own fields
		if (err == nil) != free {
			t.Errorf("bit %d of byte %d: %v", i%8, i/8, err)
		}
		b[i/8] ^= 1 << (i % 8)
	}
}

func TestLastSequence(t *testing.T) {
	tests := []struct{ base, delta, want int32 }{
		{0, 0, 0},
		{5, 9, 14},
		{math.MaxInt32, 0, math.MaxInt32},
		{math.MaxInt32, 1, 0},
		{math.MaxInt32 - 1, 3, 1},
		{-1, 9, -1},
	}
	for _, test := range tests {
		if got := (Header{BaseSequence: test.base, LastOffsetDelta: test.delta}).LastSequence(); got != test.want {
			t.Errorf("%d and %d more: got %d, want %d", test.base, test.delta, got, test.want)
		}
	}
}

func TestSet(t *testing.T) {
	b := sample()
	original := bytes.Clone(b)
	SetBaseOffset(b, 1<<40)
	SetLeaderEpoch(b, 9)
	h, err := Check(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.BaseOffset != 1<<40 || h.LeaderEpoch != 9 || h.LastOffset() != 1<<40+2 {
		t.Errorf("got %+v", h)
	}
	SetLogAppendTime(b, 1_800_000_000_000)
	h, err = Verify(b)
	if err != nil {
		t.Fatal(err)
	}
	if !h.LogAppendTime() || h.MaxTimestamp != 1_800_000_000_000 || h.FirstTimestamp != 1_700_000_000_000 {
		t.Errorf("got %+v", h)
	}
	if !bytes.Equal(b[HeaderSize:], original[HeaderSize:]) {
		t.Error("the records were touched")
	}
	for r, err := range Records(b, 0) {
		if err != nil || r.Timestamp != 1_800_000_000_000 {
			t.Errorf("record %+v, %v", r, err)
		}
	}
}

func TestNext(t *testing.T) {
	one := sample()
	two := changed(func(h *Header) { h.ProducerID = 3 })
	h, b, rest, err := Next(append(bytes.Clone(one), two...))
	if err != nil || h.ProducerID != -1 || !bytes.Equal(b, one) || cap(b) != len(one) {
		t.Fatalf("got %+v of %d bytes, %v", h, len(b), err)
	}
	h, b, rest, err = Next(rest)
	if err != nil || h.ProducerID != 3 || !bytes.Equal(b, two) || len(rest) != 0 || Size(b) != len(two) {
		t.Fatalf("got %+v of %d bytes, %v", h, len(b), err)
	}
	if _, _, _, err = Next(two[:len(two)-1]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestHeader_PutIsParse(t *testing.T) {
	b := make([]byte, HeaderSize)
	for i := range b {
		b[i] = byte(i + 100)
	}
	b[atMagic] = magic
	binary.BigEndian.PutUint32(b[atLength:], 1<<20)
	h, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	again := make([]byte, HeaderSize)
	h.put(again)
	if !bytes.Equal(b, again) {
		t.Errorf("got %x, want %x", again, b)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(sample())
	f.Add(sample()[:HeaderSize])
	f.Add(changed(func(h *Header) { h.ProducerID, h.ProducerEpoch, h.BaseSequence = 1, 2, 3 }))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err == nil {
			again := make([]byte, HeaderSize)
			h.put(again)
			if !bytes.Equal(again, b[:HeaderSize]) {
				t.Fatalf("decode and encode give %x of %x", again, b[:HeaderSize])
			}
		}
		for _, fix := range []bool{false, true} {
			if fix { // let the rules behind the CRC be met
				if err != nil || h.Size() != len(b) {
					return
				}
				b = bytes.Clone(b)
				setCRC(b)
			}
			checked, err := Check(b)
			if err != nil && !errors.Is(err, ErrMagic) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrInvalid) {
				t.Fatalf("untyped error %v", err)
			}
			if err == nil && (checked.Size() != len(b) || checked.Records != checked.LastOffsetDelta+1 || checked.Codec() > Zstd) {
				t.Fatalf("accepted %+v", checked)
			}
		}
	})
}
