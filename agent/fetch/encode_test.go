package fetch

import (
	"bytes"
	"errors"
	"testing"

	"github.com/wadi-io/wadi/metastore/shard"
)

func TestEncode_IsWhatKmsgDecodes(t *testing.T) {
	records := []byte("some record bytes")
	r := &Response{
		SessionID: 77,
		Partitions: []Partition{
			{Key: Key{Topic{"a", [16]byte{1}}, 0}, HighWatermark: 9, LastStable: 8, LogStart: 2, Bytes: 12, firstPiece: 0, pieces: 2},
			{Key: Key{Topic{"a", [16]byte{1}}, 3}, HighWatermark: -1, LastStable: -1, LogStart: -1, Err: ErrOffsetOutOfRange},
			{Key: Key{Topic{"b", [16]byte{2}}, 1}, HighWatermark: 1 << 40, LastStable: 5, LogStart: 5, ReadCommitted: true, Preferred: 4,
				Aborted: []shard.AbortedTransaction{{ProducerID: 4711, FirstOffset: 3, LastOffset: 9}, {ProducerID: 1 << 40, FirstOffset: 0, LastOffset: 10}}},
			{Key: Key{Topic{"a", [16]byte{1}}, 4}, HighWatermark: 3, LastStable: 3, Diverging: true, DivergingEnd: 3},
			{Key: Key{Topic{"a", [16]byte{1}}, 5}, HighWatermark: 3, LastStable: 3, Bytes: 5, firstPiece: 2, pieces: 1},
		},
		pieces: [][]byte{records[:4], records[4:12], records[12:]},
	}
	for version := int16(4); version <= 18; version++ {
		m := decode(t, r, version)
		if len(m.Topics) != 3 || len(m.Topics[0].Partitions) != 2 || len(m.Topics[2].Partitions) != 2 {
			t.Fatalf("version %d: topics %+v", version, m.Topics)
		}
		if version >= 7 && m.SessionID != 77 {
			t.Errorf("version %d: session %d", version, m.SessionID)
		}
		if version >= 13 {
			if m.Topics[1].TopicID != [16]byte{2} {
				t.Errorf("version %d: topic id %x", version, m.Topics[1].TopicID)
			}
		} else if m.Topics[1].Topic != "b" {
			t.Errorf("version %d: topic %q", version, m.Topics[1].Topic)
		}
		p := m.Topics[0].Partitions[0]
		if p.Partition != 0 || p.HighWatermark != 9 || p.LastStableOffset != 8 || !bytes.Equal(p.RecordBatches, records[:12]) {
			t.Errorf("version %d: partition %+v", version, p)
		}
		if version >= 5 && p.LogStartOffset != 2 {
			t.Errorf("version %d: log start %d", version, p.LogStartOffset)
		}
		if p.AbortedTransactions != nil || p.PreferredReadReplica != -1 {
			t.Errorf("version %d: aborted %v, preferred replica %d", version, p.AbortedTransactions, p.PreferredReadReplica)
		}
		if p := m.Topics[0].Partitions[1]; p.ErrorCode != code(ErrOffsetOutOfRange) || p.RecordBatches == nil || len(p.RecordBatches) != 0 {
			t.Errorf("version %d: with an error %+v", version, p)
		}
		if p := m.Topics[1].Partitions[0]; version >= 11 && p.PreferredReadReplica != 4 {
			t.Errorf("version %d: preferred replica %d", version, p.PreferredReadReplica)
		}
		if p := m.Topics[1].Partitions[0]; len(p.AbortedTransactions) != 2 || p.AbortedTransactions[0].ProducerID != 4711 || p.AbortedTransactions[0].FirstOffset != 3 {
			t.Errorf("version %d: aborted transactions %+v", version, p.AbortedTransactions)
		}
		if p := m.Topics[2].Partitions[0]; version >= 12 && (p.DivergingEpoch.Epoch != 0 || p.DivergingEpoch.EndOffset != 3) {
			t.Errorf("version %d: diverging epoch %+v", version, p.DivergingEpoch)
		}
		if p := m.Topics[2].Partitions[1]; !bytes.Equal(p.RecordBatches, records[12:]) {
			t.Errorf("version %d: records %q", version, p.RecordBatches)
		}
	}
}

func TestEncode_SessionError(t *testing.T) {
	r := &Response{Err: ErrSessionNotFound}
	for version := int16(7); version <= 18; version++ {
		if m := decode(t, r, version); m.ErrorCode != code(ErrSessionNotFound) || m.SessionID != 0 || len(m.Topics) != 0 {
			t.Errorf("version %d: %+v", version, m)
		}
	}
}

func TestEncode_Empty(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		decode(t, &Response{}, version)
	}
}

func TestEncode_CopiesNoRecords(t *testing.T) {
	records := make([]byte, 1000)
	r := &Response{Partitions: []Partition{{Bytes: 1000, pieces: 1}}, pieces: [][]byte{records}}
	found := false
	for _, b := range r.Encode(18, func(error) int16 { return 0 }) {
		found = found || &b[0] == &records[0]
	}
	if !found {
		t.Error(errors.New("the records are not the slice that was given"))
	}
}
