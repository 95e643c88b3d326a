package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// ListOffsets, versions 1–11: the offset of a log's begin (−2), end (−1), record with
// the largest timestamp (−3), or first record no earlier than a time.
// https://kafka.apache.org/protocol#The_Messages_ListOffsets, KIP-734 (−3), KIP-405
// (−4), KIP-1005 (−5), KIP-1023 (−6).
//
// Every answer comes from a replica that was refreshed after the request. A
// partition named twice is INVALID_REQUEST, a negative timestamp that the version
// doesn't know UNSUPPORTED_VERSION; neither is looked up. −4 is the log's begin, −5
// and −6 are −1, as from a broker without tiered storage.
//
// What differs from Apache Kafka: a batch whose records can't be decoded, or are too
// many to, counts as a record at its first offset; Kafka fails. The time-out of
// version 10 is not looked at: nothing is waited for but the bucket.

// timestampVersionMin is the first version that knows a timestamp with a meaning
// of its own, by its negative.
var timestampVersionMin = [...]int16{
	-fetch.TimestampLatest:                1,
	-fetch.TimestampEarliest:              1,
	-fetch.TimestampMax:                   7,
	-fetch.TimestampEarliestLocal:         8,
	-fetch.TimestampLatestTiered:          9,
	-fetch.TimestampEarliestPendingUpload: 11,
}

func (b *Broker) handleListOffsets(ctx context.Context, r *wire.Request) wire.Answer {
	m := r.Message.(*kmsg.ListOffsetsRequest)
	res := m.ResponseKind().(*kmsg.ListOffsetsResponse)
	times := timesAsked(m)
	var asks []fetch.OffsetAsk
	for i := range m.Topics {
		t := &m.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			key := fetch.Key{Topic: fetch.Topic{Name: t.Topic}, Partition: p.Partition}
			if times[key] == 1 && timestampKnown(p.Timestamp, m.Version) {
				asks = append(asks, fetch.OffsetAsk{Key: key, CurrentEpoch: p.CurrentLeaderEpoch,
					Timestamp: p.Timestamp, ReadCommitted: m.IsolationLevel == isolationReadCommitted})
			}
		}
	}
	b.hear(ctx, func(s *catalog.State) bool {
		return slices.ContainsFunc(asks, func(a fetch.OffsetAsk) bool { return lacks(s, a.Key) })
	})
	found := b.deps.Fetch.Offsets(ctx, asks)
	for i := range m.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = m.Topics[i].Topic
		for j := range m.Topics[i].Partitions {
			asked := &m.Topics[i].Partitions[j]
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.Offset, p.Timestamp, p.LeaderEpoch = asked.Partition, -1, -1, -1
			switch {
			case times[fetch.Key{Topic: fetch.Topic{Name: t.Topic}, Partition: p.Partition}] > 1:
				p.ErrorCode = wire.CodeInvalidRequest
			case !timestampKnown(asked.Timestamp, m.Version):
				p.ErrorCode = wire.CodeUnsupportedVersion
			default:
				o := found[0]
				found = found[1:]
				p.Offset, p.Timestamp, p.LeaderEpoch, p.ErrorCode = o.Offset, o.Timestamp, o.Epoch, codeOf(o.Err)
			}
			t.Partitions = append(t.Partitions, p)
		}
		res.Topics = append(res.Topics, t)
	}
	return wire.Answer{Message: res}
}

// timesAsked counts how often each partition is named.
func timesAsked(m *kmsg.ListOffsetsRequest) map[fetch.Key]int {
	times := map[fetch.Key]int{}
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			times[fetch.Key{Topic: fetch.Topic{Name: m.Topics[i].Topic}, Partition: m.Topics[i].Partitions[j].Partition}]++
		}
	}
	return times
}

// timestampKnown tells whether a version knows the timestamp.
func timestampKnown(timestamp int64, version int16) bool {
	return timestamp >= 0 || timestamp > -int64(len(timestampVersionMin)) && version >= timestampVersionMin[-timestamp]
}
