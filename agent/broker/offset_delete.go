package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// OffsetDelete, version 0: delete what a group has committed for topics that its members
// are not subscribed to.
// No differences from Apache Kafka.
func (b *Broker) handleOffsetDelete(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.OffsetDeleteRequest)
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	names := map[uint64]string{}
	var places []stored.Place
	var codes []*int16
	topics := make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))
	b.viewCatalog(func(s *catalog.State) {
		for i := range req.Topics {
			in, out := &req.Topics[i], &topics[i]
			out.Topic = in.Topic
			out.Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(in.Partitions))
			topic := s.Topic(in.Topic)
			for j := range in.Partitions {
				p, answer := in.Partitions[j].Partition, &out.Partitions[j]
				answer.Partition = p
				if topic == nil || p < 0 || p >= topic.Partitions {
					answer.ErrorCode = wire.CodeUnknownTopicOrPartition
					continue
				}
				names[topic.Number] = topic.Name
				places = append(places, stored.Place{Topic: topic.Number, Partition: p})
				codes = append(codes, &answer.ErrorCode)
			}
		}
	})
	outcomes, err := b.deps.Groups.DeleteOffsets(ctx, req.Group, names, places)
	if err != nil {
		resp.ErrorCode = codeOf(err)
		return wire.Answer{Message: resp}
	}
	for i, outcome := range outcomes {
		*codes[i] = codeOf(outcome)
	}
	resp.Topics = topics
	return wire.Answer{Message: resp}
}
