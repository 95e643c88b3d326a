package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/wire"
)

// ListOffsets, versions 1–11: the offset of a log's begin (−2), end (−1), record with
// the largest timestamp (−3), or first record no earlier than a time.
// https://kafka.apache.org/protocol#The_Messages_ListOffsets, KIP-734 (−3), KIP-405
// (−4, −5), KIP-1023 (−6).
//
// Differs from Apache Kafka: the earliest local offset (−4) is the log's begin. −5
// and −6 are answered as by a broker without tiered storage.
func (b *Broker) handleListOffsets(ctx context.Context, r *wire.Request) wire.Answer {
	m := r.Message.(*kmsg.ListOffsetsRequest)
	res := m.ResponseKind().(*kmsg.ListOffsetsResponse)
	asks, twice := offsetAsks(m)
	found := b.deps.Fetch.Offsets(ctx, asks)
	for i := range m.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = m.Topics[i].Topic
		for j := range m.Topics[i].Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = m.Topics[i].Partitions[j].Partition
			p.Offset, p.Timestamp, p.LeaderEpoch = -1, -1, -1
			o := found[0]
			found = found[1:]
			key := fetch.Key{Topic: fetch.Topic{Name: t.Topic}, Partition: p.Partition}
			switch {
			case twice[key]:
				p.ErrorCode = wire.CodeInvalidRequest
			case o.Err != nil:
				p.ErrorCode = codeOf(o.Err)
			default:
				p.Offset, p.Timestamp = o.Offset, o.Timestamp
				if m.Version >= 4 {
					p.LeaderEpoch = o.Epoch
				}
			}
			t.Partitions = append(t.Partitions, p)
		}
		res.Topics = append(res.Topics, t)
	}
	return wire.Answer{Message: res}
}

// offsetAsks returns what is asked in the request's order, and the partitions
// that are named more than once.
func offsetAsks(m *kmsg.ListOffsetsRequest) (asks []fetch.OffsetAsk, twice map[fetch.Key]bool) {
	seen := map[fetch.Key]bool{}
	twice = map[fetch.Key]bool{}
	for i := range m.Topics {
		for _, p := range m.Topics[i].Partitions {
			key := fetch.Key{Topic: fetch.Topic{Name: m.Topics[i].Topic}, Partition: p.Partition}
			if seen[key] {
				twice[key] = true
			}
			seen[key] = true
			ask := fetch.OffsetAsk{Key: key, CurrentEpoch: -1, Timestamp: p.Timestamp, ReadCommitted: m.IsolationLevel == 1}
			if m.Version >= 4 {
				ask.CurrentEpoch = p.CurrentLeaderEpoch
			}
			asks = append(asks, ask)
		}
	}
	return asks, twice
}
