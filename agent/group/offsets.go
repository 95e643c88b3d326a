package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// decisionsMax bounds how often something is decided anew because the group has changed
// on its way into the journal.
const decisionsMax = 10

// Commit is an OffsetCommit.
type Commit struct {
	Identity                // Generation −1: of no member
	Retention time.Duration // as old clients ask for; below 0: the broker's
	Offsets   []stored.PlacedOffset
	// NotFound is the error of a generation of a group unknown, which depends on the client's version.
	NotFound error
}

// Commit admits and writes offsets. An offset named twice is the last one. It returns
// when they stand; ErrNotAvailable says that they may stand.
func (c *Coordinator) Commit(ctx context.Context, m Commit) error {
	offsets := lastOfEach(m.Offsets)
	for range decisionsMax {
		g, err := c.lock(ctx, m.Group, m.Generation < 0)
		switch {
		case errors.Is(err, ErrOtherProtocol):
			if err := c.commitConsumer(ctx, m, offsets); !errors.Is(err, errMoved) {
				return err
			}
			continue
		case err != nil:
			return err
		case g == nil:
			return m.NotFound
		}
		member, err := g.admit(m.Identity)
		expect := g.written
		g.mu.Unlock()
		if err != nil || len(offsets) == 0 {
			return err
		}
		x := stored.Commit{Group: m.Group, Expires: stored.Never, Offsets: offsets}
		if member {
			if expect == 0 {
				// Its generation has no place in the journal yet, so nothing could guard the commit.
				return ErrRebalanceInProgress
			}
			x.Generation = expect
		}
		if m.Retention >= 0 {
			x.Expires = c.deps.Clock().Add(m.Retention).UnixMilli()
		}
		outcome, err := c.append(ctx, g.journal, stored.AppendCommit(nil, x))
		if err != nil {
			return refusal(err)
		}
		if stood, _ := outcome.(bool); stood {
			if expect == 0 {
				c.noteFirst(g)
			}
			return nil
		}
		if !c.changedSince(g, expect) {
			return ErrNotCoordinator
		}
	}
	return ErrNotAvailable
}

// lastOfEach orders offsets by place and keeps of each place the last.
func lastOfEach(offsets []stored.PlacedOffset) []stored.PlacedOffset {
	sorted := slices.Clone(offsets)
	slices.SortStableFunc(sorted, func(a, b stored.PlacedOffset) int { return a.Place.Compare(b.Place) })
	kept := sorted[:0]
	for i, o := range sorted {
		if i+1 == len(sorted) || sorted[i+1].Place != o.Place {
			kept = append(kept, o)
		}
	}
	return kept
}

// admit says whether the commit may be written, and whether it is a member's. A member's
// keeps its session.
func (g *group) admit(i Identity) (member bool, err error) {
	if i.Generation < 0 && g.state == empty {
		return false, nil
	}
	if i.Generation < 0 && i.MemberID == "" && i.Instance == "" {
		return false, ErrUnknownMember
	}
	if err := g.check(i.MemberID, i.Instance); err != nil {
		return true, err
	}
	switch {
	case i.Generation != g.number:
		return true, ErrIllegalGeneration
	case g.state == completing:
		return true, ErrRebalanceInProgress
	}
	g.keepSession(g.members[i.MemberID])
	return true, nil
}

// append has an effect written, and returns what it came to; ErrNotCoordinator if it is void since
// another coordinator has taken the groups.
func (c *Coordinator) append(ctx context.Context, journal int, effect []byte) (outcome any, err error) {
	type result struct {
		outcome any
		err     error
	}
	landed := make(chan result, 1)
	err = c.committer.submit(&job{journal: journal, effect: effect, done: func(_ metastore.Version, outcome any, err error) {
		landed <- result{outcome, err}
	}})
	if err != nil {
		return nil, err
	}
	select {
	case r := <-landed:
		if stood, ok := r.outcome.(bool); ok && !stood && r.err == nil && c.lost(journal) {
			return nil, ErrNotCoordinator
		}
		return r.outcome, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrNotAvailable, ctx.Err())
	}
}

// noteFirst takes up that a commit has made the group in the journal.
func (c *Coordinator) noteFirst(g *group) {
	var generation *stored.Generation
	metastore.View(c.replica(g.journal), func(s *stored.State) { generation = s.Generation(g.id) })
	g.mu.Lock()
	defer g.mu.Unlock()
	if generation != nil && g.written == 0 && !g.dead {
		g.written = generation.Written
	}
}

// changedSince tells whether this coordinator itself has moved the group on since it
// expected something of it. If not, another one has: the group is forgotten.
func (c *Coordinator) changedSince(g *group, expect metastore.Version) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead || g.written != expect || g.storing {
		return true
	}
	var generation *stored.Generation
	metastore.View(c.replica(g.journal), func(s *stored.State) { generation = s.Generation(g.id) })
	if expect == 0 && generation != nil && len(generation.Members) == 0 && g.state == empty {
		g.written = generation.Written // A commit without a member made it.
		return true
	}
	c.deps.Log.Warn("another coordinator has the group", "group", g.id, "generation", g.number)
	g.die(ErrNotCoordinator)
	c.forget(g)
	return false
}

// Read calls f with what the journal holds of a group, and of others. f must not block.
// Call Confirm before it.
func (c *Coordinator) Read(ctx context.Context, id string, f func(s *stored.State)) error {
	journal, err := c.await(ctx, id)
	if err != nil {
		return err
	}
	r := c.replica(journal)
	if err := r.Err(); err != nil {
		return refusal(err)
	}
	metastore.View(r, f)
	return nil
}

// DeleteOffsets deletes what a group has committed for places whose topics its members
// don't use, and says of each place whether its offset was in use.
func (c *Coordinator) DeleteOffsets(ctx context.Context, id string, names map[uint64]string, places []stored.Place) ([]error, error) {
	if id == "" {
		return nil, ErrInvalidGroupID
	}
	for range decisionsMax {
		g, err := c.lock(ctx, id, false)
		switch {
		case errors.Is(err, ErrOtherProtocol):
			return c.deleteConsumerOffsets(ctx, id, stored.Journal(id, c.cfg.Journals), places)
		case err != nil:
			return nil, err
		case g == nil:
			return nil, ErrNotFound
		}
		if g.state != empty && g.protocolType != consumerType {
			g.mu.Unlock()
			return nil, ErrNonEmpty
		}
		x := stored.OffsetsDeletion{Group: id, Generation: g.written}
		outcomes := make([]error, len(places))
		for i, p := range places {
			if g.isSubscribed(names[p.Topic]) {
				outcomes[i] = ErrSubscribed
				continue
			}
			x.Places = append(x.Places, stored.DeletedPlace{Place: p})
		}
		expect := g.written
		g.mu.Unlock()
		if len(x.Places) == 0 || expect == 0 {
			return outcomes, nil
		}
		x.Places = eachOnce(x.Places)
		outcome, err := c.append(ctx, g.journal, stored.AppendOffsetsDeleted(nil, x))
		if err != nil {
			return nil, refusal(err)
		}
		if deleted, _ := outcome.(int); deleted >= 0 {
			return outcomes, nil
		}
		if !c.changedSince(g, expect) {
			return nil, ErrNotCoordinator
		}
	}
	return nil, ErrNotAvailable
}

func eachOnce(places []stored.DeletedPlace) []stored.DeletedPlace {
	slices.SortFunc(places, func(a, b stored.DeletedPlace) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return slices.Compact(places)
}
