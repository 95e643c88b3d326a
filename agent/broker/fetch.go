package broker

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// Fetch, versions 4–18: records from an offset on, waiting for them if asked to.
// https://kafka.apache.org/protocol#The_Messages_Fetch, KIP-74 (bytes), KIP-227
// (sessions), KIP-320 (leader epochs), KIP-516 (topic ids), KIP-595 (diverging epochs).
//
// Answers whole batches only, each with its base offset, from the one that holds the
// offset on. The first batch goes along however large, once a request. A session's
// partitions are read in their order; one that had records goes to its end.
//
// What differs from Apache Kafka:
//   - The leader epoch is 0 for ever, so no answer names another leader (version 16).
//   - Replica ids are ignored: there are no followers. Nothing is throttled.
//   - The preferred read replica of a reader who names a rack is the agent of the
//     partition's shard in that zone (KIP-392); who is in that zone itself serves.
//   - The last batch is never cut off; Kafka sends as much of it as the limits allow.
//   - MaxWait is bounded by fetch.Config.WaitMax.
//   - A topic that is deleted while a fetch waits ends the wait with MaxWait only.

// isolationReadCommitted asks for committed records only.
const isolationReadCommitted = 1

func (b *Broker) handleFetch(ctx context.Context, r *wire.Request) wire.Answer {
	m := r.Message.(*kmsg.FetchRequest)
	req := fetchRequest(m)
	req.Preferred = b.preferred(m.Rack)
	req.Hurry = r.Conn.Draining()
	b.hear(ctx, func(s *catalog.State) bool {
		return slices.ContainsFunc(req.Asks, func(a fetch.Ask) bool { return lacks(s, a.Key) })
	})
	span := b.traceFetch(r, m)
	res := b.deps.Fetch.Fetch(trace.With(ctx, span), req)
	b.deps.Outcome(keyFetch, codeOf(res.Err), 1)
	for i := range res.Partitions {
		if err := res.Partitions[i].Err; err != nil {
			b.deps.Outcome(keyFetch, codeOf(err), 1)
		}
	}
	release := res.Release
	if span != nil {
		release = b.traceFetched(span, res)
	}
	return wire.Answer{Raw: res.Encode(m.Version, codeOf), Release: release}
}

// preferred says whom a reader in a rack should read a shard's partitions from instead
// of this agent; nil: nobody. Whoever is told is among the replicas of Metadata.
func (b *Broker) preferred(rack string) func(shard int) int32 {
	if rack == "" {
		return nil
	}
	view := b.view()
	self := view.Self()
	if self == nil || self.Zone == rack && self.Roles.Has(metastore.RoleFetch) && !self.Draining || !view.HasZone(rack) {
		return nil
	}
	return func(shard int) int32 {
		if reader := view.Reader(rack, shard); reader != nil && reader != self {
			return reader.Node
		}
		return 0
	}
}

// fetchRequest takes over what a request says.
func fetchRequest(m *kmsg.FetchRequest) *fetch.Request {
	req := &fetch.Request{
		TopicIDs:      m.Version >= topicIDVersionMin,
		SessionID:     m.SessionID,
		SessionEpoch:  m.SessionEpoch,
		MaxWait:       time.Duration(m.MaxWaitMillis) * time.Millisecond,
		MinBytes:      int(m.MinBytes),
		MaxBytes:      int(m.MaxBytes),
		ReadCommitted: m.IsolationLevel == isolationReadCommitted,
	}
	n := 0
	for i := range m.Topics {
		n += len(m.Topics[i].Partitions)
	}
	req.Asks = make([]fetch.Ask, 0, n)
	for i := range m.Topics {
		t := &m.Topics[i]
		topic := fetch.Topic{Name: t.Topic, ID: t.TopicID}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			req.Asks = append(req.Asks, fetch.Ask{
				Key:          fetch.Key{Topic: topic, Partition: p.Partition},
				Offset:       p.FetchOffset,
				BytesMax:     p.PartitionMaxBytes,
				CurrentEpoch: p.CurrentLeaderEpoch,
				LastEpoch:    p.LastFetchedEpoch,
			})
		}
	}
	for i := range m.ForgottenTopics {
		t := &m.ForgottenTopics[i]
		for _, p := range t.Partitions {
			req.Forgotten = append(req.Forgotten, fetch.Key{Topic: fetch.Topic{Name: t.Topic, ID: t.TopicID}, Partition: p})
		}
	}
	return req
}
