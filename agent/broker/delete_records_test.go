package broker

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// purgeRequest names one topic: partition, offset, partition, offset…
func purgeRequest(version int16, topic string, pairs ...int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = version, 30_000
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	for i := 0; i < len(pairs); i += 2 {
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Partition, p.Offset = int32(pairs[i]), pairs[i+1]
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// bounds are those of a partition in this agent's replica.
func (a *agent) bounds(topic string, partition int32) (logStart, highWatermark int64) {
	t := a.broker.topic(topic)
	metastore.View(a.follower.Replica(metastore.ShardJournal(t.Shard(partition, testShards))), func(s *shard.State) {
		logStart, highWatermark, _, _ = s.Bounds(shard.PartitionID{Topic: t.Number, Index: partition})
	})
	return logStart, highWatermark
}

func TestDeleteRecords_EveryVersion(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for version := int16(0); version <= 2; version++ {
		name := "flights" + string('0'+rune(version))
		id := a.create(name, 2, nil)
		a.produce(13, "", id, records(plain(), "a", "b", "c", "d"))
		for _, x := range []struct{ offset, want int64 }{{0, 0}, {3, 3}, {1, 3}, {-1, 4}, {4, 4}} {
			got := call[*kmsg.DeleteRecordsResponse](a, purgeRequest(version, name, 0, x.offset)).Topics[0]
			p := got.Partitions[0]
			if got.Topic != name || p.Partition != 0 || p.ErrorCode != 0 || p.LowWatermark != x.want {
				t.Errorf("version %d, offset %d: %+v", version, x.offset, p)
			}
			if start, high := a.bounds(name, 0); start != x.want || high != 4 {
				t.Errorf("version %d, offset %d: %d to %d", version, x.offset, start, high)
			}
		}
		if p := a.produce(13, "", id, records(plain(), "e")); p.BaseOffset != 4 || p.LogStartOffset != 4 {
			t.Errorf("version %d: %+v", version, p)
		}
	}
}

func TestDeleteRecords_Refuses(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 3, nil)
	a.create("compacted", 1, map[string]string{"cleanup.policy": "compact"})
	a.create("both", 1, map[string]string{"cleanup.policy": "compact,delete"})
	a.produce(13, "", id, records(plain(), "a", "b"))
	for _, x := range []struct {
		name   string
		topic  string
		p, off int64
		want   int16
	}{
		{"beyond the end", "t", 0, 3, wire.CodeOffsetOutOfRange},
		{"below -1", "t", 0, -2, wire.CodeOffsetOutOfRange},
		{"an unknown partition", "t", 3, 0, wire.CodeUnknownTopicOrPartition},
		{"a partition below 0", "t", -1, 0, wire.CodeUnknownTopicOrPartition},
		{"an unknown topic", "nowhere", 0, 0, wire.CodeUnknownTopicOrPartition},
		{"a compacted topic", "compacted", 0, -1, wire.CodePolicyViolation},
	} {
		got := call[*kmsg.DeleteRecordsResponse](a, purgeRequest(2, x.topic, x.p, x.off)).Topics[0].Partitions[0]
		if got.ErrorCode != x.want || got.LowWatermark != -1 || int64(got.Partition) != x.p {
			t.Errorf("%s: %+v", x.name, got)
		}
	}
	if got := call[*kmsg.DeleteRecordsResponse](a, purgeRequest(2, "both", 0, -1)).Topics[0].Partitions[0]; got.ErrorCode != 0 || got.LowWatermark != 0 {
		t.Errorf("compacted and deleted: %+v", got)
	}
	if start, _ := a.bounds("t", 0); start != 0 {
		t.Errorf("the log starts at %d", start)
	}
}

func TestDeleteRecords_SeveralPartitions(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 9, nil)
	for i := range int32(9) {
		req := produceRequest(13, "", id, records(plain(), "a", "b", "c"))
		req.Topics[0].Partitions[0].Partition = i
		call[*kmsg.ProduceResponse](a, req)
	}
	resp := call[*kmsg.DeleteRecordsResponse](a, purgeRequest(2, "t", 8, 1, 0, 2, 5, 99, 4, -1, 3, 1, 3, 2, 7, 1))
	for i, want := range []int64{1, 2, -1, 3, 2, 2, 1} {
		if p := resp.Topics[0].Partitions[i]; p.LowWatermark != want || (p.ErrorCode == 0) != (want >= 0) {
			t.Errorf("%+v, want %d", p, want)
		}
	}
	for i, want := range []int64{2, 0, 0, 2, 3, 0, 0, 1, 1} {
		if start, _ := a.bounds("t", int32(i)); start != want {
			t.Errorf("partition %d begins at %d", i, start)
		}
	}
}

func TestDeleteRecords_SeesWhatAnotherAgentAppended(t *testing.T) {
	store := newStore()
	other, a := newAgent(t, store, options{}), newAgent(t, store, options{})
	id := other.create("t", 1, nil)
	other.produce(13, "", id, records(plain(), "a", "b"))
	if got := call[*kmsg.DeleteRecordsResponse](a, purgeRequest(2, "t", 0, 2)).Topics[0].Partitions[0]; got.ErrorCode != 0 || got.LowWatermark != 2 {
		t.Errorf("%+v", got)
	}
}

func TestDeleteRecords_ReplyLost(t *testing.T) {
	store := newStore()
	a := newAgent(t, store, options{store: &lossyShards{lossy{Store: store}}})
	id := a.create("t", 1, nil)
	a.produce(13, "", id, records(plain(), "a", "b"))
	if got := call[*kmsg.DeleteRecordsResponse](a, purgeRequest(2, "t", 0, 1)).Topics[0].Partitions[0]; got.ErrorCode != 0 || got.LowWatermark != 1 {
		t.Errorf("%+v", got)
	}
}

// lossyShards is a store that loses the answer to the first append that moves a log start.
type lossyShards struct{ lossy }

func (s *lossyShards) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	versions, err := s.Store.Append(ctx, term, parts)
	if len(parts) == 1 && bytes.Contains(parts[0].Payload, []byte{byte(metastore.EffectLogStart)}) && s.done.CompareAndSwap(false, true) {
		return nil, errors.New("connection reset")
	}
	return versions, err
}
