package group

import (
	"context"
	"errors"
	"slices"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// ConsumerDescription is a group of the consumer group protocol as an administrator sees it.
type ConsumerDescription struct {
	State    string // Kafka's name
	Assignor string
	*stored.Consumer
}

// The states of a group of the consumer group protocol, under Kafka's names.
const (
	consumerEmpty       = "Empty"
	consumerAssigning   = "Assigning"
	consumerReconciling = "Reconciling"
	consumerStable      = "Stable"
)

// DescribeConsumer returns a group of the consumer group protocol, immutable; ErrNotFound
// for one unknown or of the classic protocol. Call Confirm before it.
func (c *Coordinator) DescribeConsumer(ctx context.Context, id string) (ConsumerDescription, error) {
	journal, err := c.await(ctx, id)
	if err != nil {
		return ConsumerDescription{}, err
	}
	if err := c.replica(journal).Err(); err != nil {
		return ConsumerDescription{}, refusal(err)
	}
	state := c.consumer(id, journal)
	if state == nil {
		return ConsumerDescription{}, ErrNotFound
	}
	asked := map[string]int{}
	for _, m := range state.Members {
		if m.Assignor != "" {
			asked[m.Assignor]++
		}
	}
	return ConsumerDescription{State: consumerState(state), Assignor: preferred(asked, c.cfg.Assignors), Consumer: state}, nil
}

// consumer is a group of the consumer group protocol as the journal has it; nil if it
// is unknown or of the classic protocol, in the journal or about to be.
func (c *Coordinator) consumer(id string, journal int) *stored.Consumer {
	var state *stored.Consumer
	metastore.View(c.replica(journal), func(s *stored.State) { state = s.Consumer(id) })
	c.mu.Lock()
	g := c.mu.groups[id]
	c.mu.Unlock()
	if g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.dead && (g.state != empty || len(g.pending) > 0) {
			return nil
		}
	}
	return state
}

func consumerState(c *stored.Consumer) string {
	switch {
	case len(c.Members) == 0:
		return consumerEmpty
	case c.Epoch > c.TargetEpoch:
		return consumerAssigning
	case slices.ContainsFunc(c.Members, func(m *stored.ConsumerMember) bool {
		return m.State != stored.MemberStable || m.Epoch != c.TargetEpoch
	}):
		return consumerReconciling
	}
	return consumerStable
}

// CheckReader says whether a member may read its group's offsets; one that says nothing
// of itself may.
func (c *Coordinator) CheckReader(ctx context.Context, id, member string, epoch int32) error {
	journal, err := c.await(ctx, id)
	if err != nil {
		return err
	}
	check := func() error {
		state := c.consumer(id, journal)
		if state == nil || member == "" && epoch < 0 {
			return nil
		}
		return admitConsumer(state, member, epoch)
	}
	if check() == nil {
		return nil
	}
	// What is refused must not be refused by what is old.
	if err := c.confirm(ctx, journal); err != nil {
		return err
	}
	return check()
}

func admitConsumer(state *stored.Consumer, member string, epoch int32) error {
	switch m := state.Member(member); {
	case m == nil:
		return ErrUnknownMember
	case m.Epoch != epoch && m.Classic != nil:
		return ErrIllegalGeneration
	case m.Epoch != epoch || epoch < 0:
		return ErrStaleMemberEpoch
	}
	return nil
}

// commitConsumer writes the offsets of a member of a group of the consumer group protocol.
func (c *Coordinator) commitConsumer(ctx context.Context, m Commit, offsets []stored.PlacedOffset) error {
	for range decisionsMax {
		g, err := c.lockMixed(ctx, m.Group)
		if err != nil {
			return err
		}
		if m.Generation < 0 && (g.state == nil || len(g.state.Members) == 0) && !g.storing {
			g.unlock() // It is for a group without members.
			return errMoved
		}
		err = admitConsumer(g.state, m.MemberID, m.Generation)
		expect := g.written
		g.unlock()
		if err != nil || len(offsets) == 0 {
			return err
		}
		x := stored.Commit{Group: m.Group, Member: m.MemberID, Epoch: m.Generation, Expires: stored.Never, Offsets: offsets}
		outcome, err := c.append(ctx, g.journal, stored.AppendCommit(nil, x))
		if err != nil {
			return refusal(err)
		}
		if stood, _ := outcome.(bool); stood {
			return nil
		}
		if c.isConsumerAt(g, expect) {
			return ErrNotCoordinator
		}
	}
	return ErrNotAvailable
}

// isConsumerAt tells whether this coordinator has not moved a group on since it
// expected something of it. So another one has: the group is forgotten.
func (c *Coordinator) isConsumerAt(g *consumerGroup, expect metastore.Version) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead || g.storing || g.written != expect {
		return false
	}
	c.deps.Log.Warn("another coordinator has the group", "group", g.id)
	g.forget(ErrNotCoordinator)
	return true
}

// subscribedConsumer tells which of some topics the members of a group are subscribed to.
func (c *Coordinator) subscribedConsumer(state *stored.Consumer) map[uint64]bool {
	sizes, _ := c.sizes()
	g := &consumerGroup{regexes: newRegexes()}
	w := newConsumerWork(state, sizes, func(regex string) []string { return g.matches(regex, sizes) }, 0)
	subscribed := map[uint64]bool{}
	for _, m := range w.members {
		for _, topic := range w.subscribed(m) {
			subscribed[topic] = true
		}
	}
	return subscribed
}

// deleteConsumerOffsets is DeleteOffsets of a group with members of the consumer group protocol.
func (c *Coordinator) deleteConsumerOffsets(ctx context.Context, id string, journal int, places []stored.Place) ([]error, error) {
	var state *stored.Consumer
	var generation *stored.Generation
	metastore.View(c.replica(journal), func(s *stored.State) { state, generation = s.Consumer(id), s.Generation(id) })
	if state == nil || generation == nil {
		return nil, ErrNotAvailable
	}
	subscribed := c.subscribedConsumer(state)
	x := stored.OffsetsDeletion{Group: id, Generation: generation.Written}
	outcomes := make([]error, len(places))
	for i, p := range places {
		if subscribed[p.Topic] {
			outcomes[i] = ErrSubscribed
			continue
		}
		x.Places = append(x.Places, stored.DeletedPlace{Place: p})
	}
	if len(x.Places) == 0 {
		return outcomes, nil
	}
	x.Places = eachOnce(x.Places)
	outcome, err := c.append(ctx, journal, stored.AppendOffsetsDeleted(nil, x))
	if err != nil {
		return nil, refusal(err)
	}
	if deleted, _ := outcome.(int); deleted < 0 {
		return nil, errors.Join(ErrNotAvailable, errors.New("the group changed meanwhile"))
	}
	return outcomes, nil
}
