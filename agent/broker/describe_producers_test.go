package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

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
