package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// DescribeProducers, version 0 (KIP-664): the idempotent and transactional producers that partitions know.
//
// Answered from replicas that were brought up to date after the request came.
//
// What differs from Apache Kafka: any agent answers for any partition; the last
// timestamp is that of the entry that changed the producer last, a fence included, not the
// records'; a partition tells at most activeProducersMax of them. One of which only markers
// stand has epoch and sequence −1; Kafka tells the marker's epoch.

// activeProducersMax bounds the producers that are told of one partition.
const activeProducersMax = 10_000

func (b *Broker) handleDescribeProducers(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	err := b.confirmCatalog(ctx)
	if err == nil {
		shards := map[int]bool{}
		for i := range req.Topics {
			t := b.topic(req.Topics[i].Topic)
			for _, index := range req.Topics[i].Partitions {
				if p, err := b.place(t, index); err == nil {
					shards[p.shard] = true
				}
			}
		}
		err = b.confirmShards(ctx, shards)
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = asked.Topic
		for _, index := range asked.Partitions {
			p := b.describeProducers(asked.Topic, index, err)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return wire.Answer{Message: resp}
}

// describeProducers answers for one partition; err: none can be answered.
func (b *Broker) describeProducers(topic string, index int32, err error) kmsg.DescribeProducersResponseTopicPartition {
	out := kmsg.NewDescribeProducersResponseTopicPartition()
	out.Partition = index
	var p place
	if err == nil {
		err = checkTopicName(topic)
	}
	if err == nil {
		t := b.topic(topic)
		if p, err = b.place(t, index); t != nil && err != nil {
			err = &refusal{code: wire.CodeUnknownTopicOrPartition} // of a topic that exists
		}
	}
	var active []shard.ActiveProducer
	if err == nil {
		err = b.viewShard(p.shard, func(s *shard.State) { active = s.ActiveProducers(p.id, activeProducersMax) })
	}
	if err != nil {
		out.ErrorCode, out.ErrorMessage = codeOf(err), messageOf(err)
		return out
	}
	for _, a := range active {
		producer := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		producer.ProducerID, producer.ProducerEpoch = a.ID, int32(a.State.Epoch)
		producer.LastSequence, producer.LastTimestamp = a.State.Last, a.Touched
		if !a.State.Known {
			producer.ProducerEpoch, producer.LastSequence = -1, -1
		}
		producer.CoordinatorEpoch, producer.CurrentTxnStartOffset = a.Transactions.CoordinatorEpoch, a.Transactions.FirstOffset
		out.ActiveProducers = append(out.ActiveProducers, producer)
	}
	return out
}
