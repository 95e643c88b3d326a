package group

import (
	"context"
	"errors"

	"github.com/google/uuid"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// Requests of the classic protocol to a group of the consumer group protocol, as of members
// that a rolling upgrade has not reached yet (KIP-848, online migration). errMoved: the group has gone back.

// joinConsumer is Join.
func (c *Coordinator) joinConsumer(ctx context.Context, j Join) Joined {
	g, err := c.lockMixed(ctx, j.Group)
	if err != nil {
		return refusedJoin(j.MemberID, err)
	}
	id := j.MemberID
	if id == "" {
		id = uuid.NewString()
	}
	var generation classicGeneration
	err = g.ask(ctx, &consumerCall{member: id,
		change: func(w *consumerWork) (err error) {
			generation, err = w.classicJoin(&j, id)
			return err
		},
		landed: func() {
			t := g.timersOf(id)
			g.stop(&t.join)
			t.joins = false
			g.set(&t.sync, j.RebalanceTimeout, func() { g.expel(id, "it has joined and doesn't sync") })
		}})
	switch {
	case errors.Is(err, ErrMemberIDRequired):
		return refusedJoin(id, err)
	case err != nil:
		return refusedJoin(j.MemberID, err)
	}
	// No leader is named: the coordinator assigns.
	return Joined{MemberID: id, Generation: generation.number, ProtocolType: consumerType, Protocol: generation.protocol}
}

// heartbeatConsumer is Heartbeat.
func (c *Coordinator) heartbeatConsumer(ctx context.Context, i Identity) error {
	g, err := c.lockMixed(ctx, i.Group)
	if err != nil {
		return err
	}
	defer g.unlock()
	m, err := g.classicMember(i)
	if err != nil {
		return err
	}
	g.keepSession(m.ID)
	if mustRejoin(g.state, m) {
		return g.tellToJoin(m)
	}
	return nil
}

// syncConsumer is Sync.
func (c *Coordinator) syncConsumer(ctx context.Context, s Sync) Synced {
	g, err := c.lockMixed(ctx, s.Group)
	if err != nil {
		return Synced{Err: err}
	}
	defer g.unlock()
	m, err := g.classicMember(Identity{s.Group, s.Generation, s.MemberID, s.Instance})
	if err != nil {
		return Synced{Err: err}
	}
	protocol := m.Classic.Protocols[0]
	switch {
	case s.ProtocolType != nil && *s.ProtocolType != consumerType, s.Protocol != nil && *s.Protocol != protocol.Name:
		return Synced{Err: ErrInconsistentProtocol}
	case m.Epoch < g.state.Epoch && m.State != stored.MemberUnrevoked:
		return Synced{Err: g.tellToJoin(m)}
	}
	g.stop(&g.timersOf(m.ID).sync)
	g.keepSession(m.ID)
	sizes, _ := c.sizes()
	subscription, _ := parseSubscription(protocol.Metadata)
	return Synced{ProtocolType: consumerType, Protocol: protocol.Name,
		Assignment: appendAssignment(nil, subscription.version, m.Assigned, sizes.names())}
}

// leaveConsumer is Leave; members of the consumer group protocol are removed as well.
func (c *Coordinator) leaveConsumer(ctx context.Context, id string, leavers []Leaver) ([]error, error) {
	g, err := c.lockMixed(ctx, id)
	if err != nil {
		return nil, err
	}
	outcomes := make([]error, len(leavers))
	err = g.ask(ctx, &consumerCall{change: func(w *consumerWork) error {
		for i, l := range leavers {
			outcomes[i] = w.depart(l)
		}
		return nil
	}})
	return outcomes, err
}

// lockMixed returns a group of the consumer group protocol, locked.
func (c *Coordinator) lockMixed(ctx context.Context, id string) (*consumerGroup, error) {
	g, err := c.lockConsumer(ctx, id, false)
	if errors.Is(err, ErrNotFound) {
		return nil, errMoved
	}
	return g, err
}

// unlock unlocks a group, and forgets one that nothing is left of.
func (g *consumerGroup) unlock() {
	if !g.dead && !g.storing && len(g.calls) == 0 && (g.state == nil || len(g.state.Members) == 0) {
		g.forget(ErrNotCoordinator)
	}
	g.mu.Unlock()
}

// classicMember is the classic member that speaks for itself.
func (g *consumerGroup) classicMember(i Identity) (*stored.ConsumerMember, error) {
	m := g.state.Member(i.MemberID)
	if i.Instance != "" {
		static := g.state.Static(i.Instance)
		if static != nil && static.ID != i.MemberID {
			return nil, ErrFencedInstance
		}
		m = static
	}
	switch {
	case m == nil || m.Classic == nil:
		return nil, ErrUnknownMember
	case m.Epoch != i.Generation:
		return nil, ErrIllegalGeneration
	}
	return m, nil
}
