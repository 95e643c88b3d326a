package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// OffsetForLeaderEpoch, versions 2–4: where an epoch ended.
// https://kafka.apache.org/protocol#The_Messages_OffsetForLeaderEpoch, KIP-101, KIP-320.
//
// The only epoch is 0. It ends at the high watermark of a replica that was refreshed
// after the request. Any other is unknown: −1, −1.
//
// What differs from Apache Kafka: replica ids are ignored, as there are no followers.

func (b *Broker) handleOffsetForLeaderEpoch(ctx context.Context, r *wire.Request) wire.Answer {
	m := r.Message.(*kmsg.OffsetForLeaderEpochRequest)
	res := m.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	var keys []fetch.Key
	for i := range m.Topics {
		for _, p := range m.Topics[i].Partitions {
			keys = append(keys, fetch.Key{Topic: fetch.Topic{Name: m.Topics[i].Topic}, Partition: p.Partition})
		}
	}
	b.hear(ctx, func(s *catalog.State) bool {
		return slices.ContainsFunc(keys, func(k fetch.Key) bool { return lacks(s, k) })
	})
	bounds := b.deps.Fetch.Bounds(ctx, keys)
	for i := range m.Topics {
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = m.Topics[i].Topic
		for _, asked := range m.Topics[i].Partitions {
			p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			p.Partition, p.LeaderEpoch, p.EndOffset = asked.Partition, -1, -1
			found := bounds[0]
			bounds = bounds[1:]
			switch {
			case found.Err != nil:
				p.ErrorCode = codeOf(found.Err)
			case asked.CurrentLeaderEpoch > leaderEpoch:
				p.ErrorCode = wire.CodeUnknownLeaderEpoch
			case asked.CurrentLeaderEpoch < -1: // −1: not told
				p.ErrorCode = wire.CodeFencedLeaderEpoch
			case asked.LeaderEpoch == leaderEpoch:
				p.LeaderEpoch, p.EndOffset = leaderEpoch, found.HighWatermark
			}
			t.Partitions = append(t.Partitions, p)
		}
		res.Topics = append(res.Topics, t)
	}
	return wire.Answer{Message: res}
}
