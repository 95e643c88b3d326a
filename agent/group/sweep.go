package group

import (
	"context"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// sweptGroupsMax bounds the groups whose deletions are on their way at once.
const sweptGroupsMax = 1000

// sweep deletes the offsets that have expired or whose topics are gone, and the groups
// without members that have none left; and forgets those in memory that the journal has as well.
func (c *Coordinator) sweep(ctx context.Context) {
	topics := c.topics()
	now := c.deps.Clock()
	for i := range c.cfg.Journals {
		r := c.replica(i)
		if !c.owns(i) || !c.holds(i) || !c.settled(i) || r.Err() != nil {
			continue
		}
		var ids []string
		metastore.View(r, func(s *stored.State) { ids = s.Groups() })
		for some := range slices.Chunk(ids, sweptGroupsMax) {
			waiting := 0
			landed := make(chan struct{}, 2*len(some))
			for _, id := range some {
				waiting += c.sweepGroup(i, id, now, topics, landed)
			}
			for range waiting {
				select {
				case <-landed:
				case <-ctx.Done():
					return
				}
			}
		}
	}
	for _, g := range c.inMemory() {
		g.mu.Lock()
		if g.state == empty && len(g.pending) == 0 && !g.storing && !g.dead {
			g.die(ErrNotCoordinator)
			c.forget(g)
		}
		g.mu.Unlock()
	}
}

// topicNames are the topics' names by number, and the number below which one that is
// not among them is gone.
type topicNames struct {
	names map[uint64]string
	below uint64
}

func (c *Coordinator) topics() topicNames {
	t := topicNames{names: map[uint64]string{}}
	metastore.View(c.deps.Catalog, func(s *catalog.State) {
		t.below = s.NextTopicNumber()
		for _, topic := range s.Topics() {
			t.names[topic.Number] = topic.Name
		}
	})
	return t
}

func (t topicNames) gone(number uint64) bool {
	_, exists := t.names[number]
	return !exists && number < t.below
}

// aging says which of a group's offsets expire.
type aging struct {
	none       bool // none but those of topics that are gone
	emptySince int64
	sinceEmpty bool // they age since the group is empty, else since they were committed
	group      *group
}

func (g *group) aging(generation *stored.Generation) aging {
	switch {
	case g == nil || g.state == empty:
		return aging{sinceEmpty: generation.ProtocolType != "", emptySince: generation.Since}
	case g.state == stable && g.protocolType == consumerType && g.subscribed != nil:
		return aging{group: g}
	}
	return aging{none: true}
}

// sweepGroup sends the deletions of a group on their way, and returns how many will say so.
func (c *Coordinator) sweepGroup(journal int, id string, now time.Time, topics topicNames, landed chan struct{}) int {
	c.mu.Lock()
	g := c.mu.groups[id]
	c.mu.Unlock()
	if g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.dead || g.storing || g.state == empty && len(g.pending) > 0 {
			return 0
		}
	}
	var generation *stored.Generation
	var offsets []stored.PlacedOffset
	var consumer *stored.Consumer
	var unstable []stored.Place // a transaction is about to renew them
	metastore.View(c.replica(journal), func(s *stored.State) {
		generation, offsets, consumer, unstable = s.Generation(id), s.Offsets(id), s.Consumer(id), s.UnstablePlaces(id)
	})
	occupied := consumer != nil && len(consumer.Members) > 0
	if generation == nil || g != nil && g.written != generation.Written {
		return 0
	}
	if g == nil && len(generation.Members) > 0 {
		return 0 // It was let go since.
	}
	x := stored.OffsetsDeletion{Group: id, Generation: generation.Written}
	age := g.aging(generation)
	if occupied {
		age = aging{none: true}
	}
	for _, o := range offsets {
		if _, pending := slices.BinarySearchFunc(unstable, o.Place, stored.Place.Compare); pending {
			continue
		}
		if topics.gone(o.Place.Topic) || age.expired(o, now.UnixMilli(), c.cfg.Retention, topics.names[o.Place.Topic]) {
			x.Places = append(x.Places, stored.DeletedPlace{Place: o.Place, CommittedAt: o.CommittedAt, AsSeen: true})
		}
	}
	done := func(metastore.Version, any, error) { landed <- struct{}{} }
	submitted := 0
	submit := func(effect []byte) {
		if c.committer.submit(&job{journal: journal, effect: effect, done: done}) == nil {
			submitted++
		}
	}
	if len(x.Places) > 0 {
		submit(stored.AppendOffsetsDeleted(nil, x))
	}
	if len(x.Places) == len(offsets) && len(unstable) == 0 && !occupied && (g == nil || g.state == empty) {
		submit(stored.AppendGroupDeleted(nil, stored.GroupDeletion{Group: id, Generation: generation.Written, Expired: true}))
		if g != nil {
			// Whether or not it stands, the journal is asked anew.
			g.die(ErrNotCoordinator)
			c.forget(g)
		}
	}
	return submitted
}

func (a aging) expired(o stored.PlacedOffset, now int64, retention time.Duration, topic string) bool {
	switch {
	case a.none || a.group != nil && a.group.isSubscribed(topic):
		return false
	case o.Expires != stored.Never:
		return now >= o.Expires
	case a.sinceEmpty:
		return now-a.emptySince >= retention.Milliseconds()
	}
	return now-o.CommittedAt >= retention.Milliseconds()
}
