package broker

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// resealed returns b changed, with a CRC that is right again.
func resealed(b []byte, change func(b []byte)) []byte {
	b = append([]byte(nil), b...)
	change(b)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// inCodec returns a batch in another codec.
func inCodec(t *testing.T, b []byte, codec batch.Codec) []byte {
	t.Helper()
	b, err := batch.Recompress(b, codec, 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestProduce_BrokenRecords: a batch whose CRC is right and whose records are broken
// poisons no reader.
func TestProduce_BrokenRecords(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 1, nil)
	good := records(plain(), "a", "b", "c")
	trusting := newAgent(t, newStore(), options{trustCompressed: true})
	trusting.create("t", 1, nil)
	for codec := batch.None; codec <= batch.Zstd; codec++ {
		packed := inCodec(t, good, codec)
		more := resealed(packed, func(b []byte) {
			binary.BigEndian.PutUint32(b[23:], 3)
			binary.BigEndian.PutUint32(b[57:], 4)
		})
		cut := resealed(packed[:len(packed)-3], func(b []byte) { binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12)) })
		deltas := inCodec(t, resealed(good, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 5) }), codec)
		for name, b := range map[string][]byte{"a record too few": more, "cut": cut, "holes": deltas} {
			p := a.produce(9, "t", [16]byte{}, append([]byte(nil), b...))
			if p.ErrorCode != wire.CodeInvalidRecord || p.ErrorMessage == nil || p.BaseOffset != -1 || p.LogStartOffset != 0 {
				t.Errorf("%v, %s: %+v", codec, name, p)
			}
		}
		if p := a.produce(9, "t", [16]byte{}, append([]byte(nil), packed...)); p.ErrorCode != 0 {
			t.Errorf("%v: %+v", codec, p)
		}
		want := int16(0)
		if codec == batch.None {
			want = wire.CodeInvalidRecord
		}
		if p := trusting.produce(9, "t", [16]byte{}, more); p.ErrorCode != want {
			t.Errorf("%v, trusted: %+v", codec, p)
		}
	}
}

// TestProduce_MaxTimestamp: the header's is the records' whatever the producer wrote, so
// that looking up a time finds them.
func TestProduce_MaxTimestamp(t *testing.T) {
	k := &keeper{}
	a := newAgent(t, newStore(), options{producer: func(p Producer) Producer { k.Producer = p; return k }})
	a.create("t", 1, nil)
	good := records(plain(), "a", "b", "c")
	h, _ := batch.Parse(good)
	for codec := batch.None; codec <= batch.Zstd; codec++ {
		for _, wrong := range []int64{h.MaxTimestamp + 1e9, 5, -1} {
			b := resealed(inCodec(t, good, codec), func(b []byte) { binary.BigEndian.PutUint64(b[35:], uint64(wrong)) })
			if p := a.produce(9, "t", [16]byte{}, b); p.ErrorCode != 0 {
				t.Fatalf("%v, %d: %+v", codec, wrong, p)
			}
			if got, err := batch.Verify(k.kept()); err != nil || got.MaxTimestamp != h.MaxTimestamp {
				t.Errorf("%v: %d is kept as %+v, %v", codec, wrong, got, err)
			}
		}
	}
}

func TestProduce_RecordsOutOfTimeAreNamed(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	a := newAgent(t, newStore(), options{clock: func() time.Time { return now }})
	a.create("t", 1, map[string]string{"message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "1000", "cleanup.policy": "compact"})
	at := func(i int64, d int64) batch.Record {
		return batch.Record{Offset: i, Timestamp: now.UnixMilli() + d, Key: []byte("k")}
	}
	keyless := at(3, 0)
	keyless.Key = nil
	p := a.produce(9, "t", [16]byte{}, inCodec(t, batch.Append(nil, plain(), []batch.Record{at(0, 0), at(1, -1001), at(2, 1000), keyless, at(4, 1001)}), batch.LZ4))
	var named []int32
	for _, e := range p.ErrorRecords {
		named = append(named, e.RelativeOffset)
	}
	if p.ErrorCode != wire.CodeInvalidTimestamp || len(named) != 3 || named[0] != 1 || named[1] != 3 || named[2] != 4 {
		t.Errorf("%+v names %v", p, named)
	}
}

// TestProduce_DuplicateTellsItsTime: as Kafka, a repeated batch is answered with its max timestamp.
func TestProduce_DuplicateTellsItsTime(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 1, nil)
	h := plain()
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = 9, 0, 0
	b := records(h, "a", "b")
	h, _ = batch.Parse(b)
	if p := a.produce(9, "t", [16]byte{}, append([]byte(nil), b...)); p.ErrorCode != 0 || p.LogAppendTime != -1 {
		t.Errorf("%+v", p)
	}
	if p := a.produce(9, "t", [16]byte{}, b); p.ErrorCode != 0 || p.BaseOffset != 0 || p.LogAppendTime != h.MaxTimestamp || p.LogStartOffset != 0 {
		t.Errorf("again: %+v", p)
	}
}
