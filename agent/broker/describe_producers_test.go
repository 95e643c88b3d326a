package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

func TestDescribeProducers(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 1, nil)
	h := plain()
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = 7, 3, 0
	if got := a.produce(13, "", id, records(h, "a", "b")); got.ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	for _, name := range []string{"t", "nowhere", "x/y"} {
		topic := kmsg.NewDescribeProducersRequestTopic()
		topic.Topic, topic.Partitions = name, []int32{0, 1}
		req.Topics = append(req.Topics, topic)
	}
	resp := call[*kmsg.DescribeProducersResponse](a, req)
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 || len(p.ActiveProducers) != 1 {
		t.Fatalf("%+v", p)
	}
	got := p.ActiveProducers[0]
	if got.ProducerID != 7 || got.ProducerEpoch != 3 || got.LastSequence != 1 || got.LastTimestamp <= 0 || got.CoordinatorEpoch != -1 || got.CurrentTxnStartOffset != -1 {
		t.Errorf("%+v", got)
	}
	for _, p := range append(resp.Topics[1].Partitions, resp.Topics[0].Partitions[1]) {
		if p.ErrorCode != wire.CodeUnknownTopicOrPartition || len(p.ActiveProducers) != 0 {
			t.Errorf("%+v", p)
		}
	}
	if got := resp.Topics[2].Partitions[0].ErrorCode; got != wire.CodeInvalidTopicException {
		t.Errorf("a bad name: %d", got)
	}
	if resp.Topics[1].Partitions[0].ErrorMessage == nil || resp.Topics[0].Partitions[1].ErrorMessage != nil {
		t.Error("as in Kafka, an unknown topic has a message, an unknown partition has none")
	}
}

// TestDescribeProducers_Transactions: an open transaction is told by its first offset, a marker by its coordinator's epoch.
func TestDescribeProducers_Transactions(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 1, nil)
	topic := a.broker.topic("t")
	p := shard.PartitionID{Topic: topic.Number}
	effects := shard.AppendFlush(nil, 1, []shard.FlushBatch{
		{Partition: p, Length: 1, Offsets: 5, ProducerID: shard.NoProducer},
		{Partition: p, Position: 1, Length: 1, Offsets: 2, ProducerID: 7, Epoch: 3, Transaction: 9},
	})
	effects = shard.AppendMarker(effects, shard.Marker{Producer: 8, Transaction: 4, Epoch: 2, CoordinatorEpoch: 6, Partitions: []shard.PartitionID{p}})
	journal := metastore.ShardJournal(topic.Shard(0, a.broker.cfg.Shards))
	if _, err := a.broker.deps.Writer.Append(t.Context(), []metastore.Draft{{Journal: journal, Effects: effects}}); err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	got := call[*kmsg.DescribeProducersResponse](a, req).Topics[0].Partitions[0].ActiveProducers
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	if x := got[0]; x.ProducerID != 7 || x.ProducerEpoch != 3 || x.LastSequence != 1 || x.CurrentTxnStartOffset != 5 || x.CoordinatorEpoch != -1 {
		t.Errorf("open: %+v", x)
	}
	if x := got[1]; x.ProducerID != 8 || x.ProducerEpoch != -1 || x.LastSequence != -1 || x.CurrentTxnStartOffset != -1 || x.CoordinatorEpoch != 6 {
		t.Errorf("ended: %+v", x)
	}
}
