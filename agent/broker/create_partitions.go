package broker

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// CreatePartitions, versions 0–3: gives topics more partitions, up to a count.
//
// A topic's new count and the opening of its new partitions are one append: whoever
// sees a partition can write to it. What a partition holds stays where it is.
// A topic that a request names twice is refused, once, before the others.
//
// What differs from Apache Kafka:
//   - A manual assignment is checked and then means nothing: where a partition is served is
//     decided by its shard.
//   - The time-out bounds the wait for other changes; a change that has begun is answered when its
//     outcome is certain.
//   - The number of partitions is bounded by Limits; beyond it INVALID_PARTITIONS.

// growth is a topic that shall have more partitions, and what becomes of that.
type growth struct {
	name        string
	count       int32
	assignments []kmsg.CreatePartitionsRequestTopicAssignment // nil: none
	err         error
}

func (b *Broker) handleCreatePartitions(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.CreatePartitionsRequest)
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	if req.TimeoutMillis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond)
		defer cancel()
	}
	all := growths(req)
	b.createPartitions(ctx, all, req.ValidateOnly)
	resp.Topics = make([]kmsg.CreatePartitionsResponseTopic, len(all))
	for i, g := range all {
		out := &resp.Topics[i]
		out.Default()
		out.Topic, out.ErrorCode, out.ErrorMessage = g.name, codeOf(g.err), messageOf(g.err)
	}
	return wire.Answer{Message: resp}
}

// growths lists what a request names, each topic once, the duplicates first.
func growths(req *kmsg.CreatePartitionsRequest) []*growth {
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	var twice, once []*growth
	for i := range req.Topics {
		t := &req.Topics[i]
		switch times[t.Topic] {
		case 0: // refused already
		case 1:
			once = append(once, &growth{name: t.Topic, count: t.Count, assignments: t.Assignment})
		default:
			twice = append(twice, &growth{name: t.Topic, err: refuse(wire.CodeInvalidRequest, "Duplicate topic name.")})
			times[t.Topic] = 0
		}
	}
	return append(twice, once...)
}

// createPartitions grows those of the topics that have no error yet, several in an
// append while it is small enough.
func (b *Broker) createPartitions(ctx context.Context, all []*growth, validateOnly bool) {
	open := slices.DeleteFunc(slices.Clone(all), func(g *growth) bool { return g.err != nil })
	if len(open) == 0 {
		return
	}
	if err := b.confirmCatalog(ctx); err != nil {
		for _, g := range open {
			g.err = err
		}
		return
	}
	if validateOnly {
		b.viewCatalog(func(s *catalog.State) {
			for rest := open; len(rest) > 0; {
				_, decided := b.decidePartitions(s, rest)
				rest = rest[decided:]
			}
		})
		return
	}
	for len(open) > 0 {
		decided := 0
		_, err := b.change(ctx, func(s *catalog.State) []metastore.Draft {
			var d *drafts
			d, decided = b.decidePartitions(s, open)
			return d.list()
		})
		if err != nil {
			b.tellFailed("partitions could not be added", err)
			if decided == 0 {
				decided = len(open) // no turn came
			}
			for _, g := range open[:decided] {
				if g.err == nil {
					g.err = err
				}
			}
		}
		open = open[decided:]
	}
}

// decidePartitions decides topics on a state, in order, until an append is full, and
// returns how many it decided. It may be called again with a newer state.
func (b *Broker) decidePartitions(s *catalog.State, open []*growth) (*drafts, int) {
	d := &drafts{}
	_, partitions := s.Counts()
	for i, g := range open {
		if d.full() {
			return d, i
		}
		t := s.Topic(g.name)
		if g.err = b.checkGrowth(t, g, partitions); g.err != nil {
			continue
		}
		partitions += int(g.count - t.Partitions)
		d.catalog = catalog.AppendPartitionsAdded(d.catalog, t.Number, g.count)
		for _, o := range shard.Openings(t.Number, t.ID, t.FirstShard, t.Partitions, g.count, b.cfg.Shards) {
			d.shard(o.Shard, func(dst []byte) []byte { return shard.AppendOpened(dst, o.Opened) })
		}
	}
	return d, len(open)
}

// checkGrowth checks one topic (nil: unknown) in Kafka's order; partitions are those
// of all topics.
func (b *Broker) checkGrowth(t *catalog.Topic, g *growth, partitions int) error {
	switch {
	case t == nil:
		return &refusal{code: wire.CodeUnknownTopicOrPartition}
	case g.count == t.Partitions:
		return refuse(wire.CodeInvalidPartitions, "Topic already has %d partition(s).", t.Partitions)
	case g.count < t.Partitions:
		return refuse(wire.CodeInvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.",
			t.Name, t.Partitions, g.count)
	}
	added := g.count - t.Partitions
	if g.assignments != nil && len(g.assignments) != int(added) {
		return refuse(wire.CodeInvalidReplicaAssignment,
			"Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", added, len(g.assignments))
	}
	for _, a := range g.assignments {
		if err := b.checkReplicas(a.Replicas); err != nil {
			return err
		}
	}
	switch {
	case int(g.count) > b.cfg.Limits.TopicPartitionsMax:
		return refuse(wire.CodeInvalidPartitions, "A topic can't have more than %d partitions.", b.cfg.Limits.TopicPartitionsMax)
	case partitions+int(added) > b.cfg.Limits.PartitionsMax:
		return refuse(wire.CodeInvalidPartitions,
			"%d partitions more would make the cluster pass its limit of %d.", added, b.cfg.Limits.PartitionsMax)
	}
	return nil
}

// checkReplicas holds Kafka's rules for the assignment of a partition beside others.
func (b *Broker) checkReplicas(nodes []int32) error {
	if len(nodes) == 0 {
		return refuse(wire.CodeInvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(nodes))
	for i, node := range sorted {
		switch {
		case !b.known(node):
			return refuse(wire.CodeInvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", node)
		case i > 0 && node == sorted[i-1]:
			return refuse(wire.CodeInvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", node)
		}
	}
	return nil
}
