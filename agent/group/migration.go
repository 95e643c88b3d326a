package group

import (
	"fmt"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// takeOver turns a classic group with members into one of the consumer group protocol,
// which is returned locked; its first change writes it. The classic group is locked. ErrNotFound
// where Kafka refuses it.
func (c *Coordinator) takeOver(g *group) (*consumerGroup, error) {
	switch {
	case c.deps.Level != nil && c.deps.Level() < metastore.LevelOf(metastore.EffectConsumerMixed):
		return nil, fmt.Errorf("%w: it is a classic group, and stays one until all agents are of the newer release", ErrNotFound)
	case !c.cfg.Upgrades:
		return nil, fmt.Errorf("%w: it is a classic group, and online upgrade is disabled", ErrNotFound)
	case g.protocolType != consumerType:
		return nil, fmt.Errorf("%w: its members are no consumers", ErrNotFound)
	case len(g.order) > c.cfg.ConsumerSizeMax:
		return nil, fmt.Errorf("%w: it has more than group.consumer.max.size members", ErrNotFound)
	}
	sizes, _ := c.sizes()
	state, err := g.asConsumer(sizes)
	if err != nil {
		return nil, err
	}
	next := newConsumerGroup(c, g.id, g.journal, state)
	next.written, next.unwritten = g.written, true
	next.mu.Lock()
	for _, m := range state.Members {
		next.keepSession(m.ID)
	}
	// Joins and syncs that wait are to begin anew, in the other group.
	g.die(ErrRebalanceInProgress)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.resigned {
		next.die(ErrNotCoordinator)
		next.mu.Unlock()
		return nil, ErrNotCoordinator
	}
	delete(c.mu.groups, g.id)
	c.mu.consumers[g.id] = next
	c.deps.Log.Info("a classic group goes over to the consumer group protocol", "group", g.id, "generation", g.number, "members", len(state.Members))
	return next, nil
}

// asConsumer is the group as one of the consumer group protocol: its members have, and
// are to have, what the last leader gave them.
func (g *group) asConsumer(sizes topicSizes) (*stored.Consumer, error) {
	c := &stored.Consumer{Epoch: g.number, TargetEpoch: g.number}
	taken := map[stored.Place]bool{}
	for _, m := range g.order {
		metadata := m.protocols[0].Metadata
		if own := m.metadata(g.protocol); own != nil {
			metadata = own
		}
		s, ok := parseSubscription(metadata)
		if !ok {
			return nil, fmt.Errorf("%w: the subscription of %s is malformed", ErrNotFound, m.id)
		}
		assigned, custom, ok := parseAssignment(m.assignment)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: the assignment of %s is malformed", ErrNotFound, m.id)
		case custom:
			return nil, fmt.Errorf("%w: an assignor of its own is in use", ErrNotFound)
		case len(m.assignment) == 0:
			assigned = s.owned // It may still have them from an earlier generation.
		}
		next := &stored.ConsumerMember{ID: m.id, Instance: m.instance, Rack: s.rack, ClientID: m.clientID, ClientHost: m.clientHost,
			RebalanceTimeout: int32(m.rebalanceTimeout.Milliseconds()), Epoch: g.number, PreviousEpoch: g.number}
		r := ConsumerHeartbeat{MemberID: m.id, ClientID: m.clientID, ClientHost: m.clientHost, RebalanceTimeout: -1, Topics: s.topics}
		next = r.applied(next)
		next.Classic = &stored.ClassicMember{SessionTimeout: int32(m.sessionTimeout.Milliseconds())}
		for _, p := range sizes.places(assigned) {
			if !taken[p] {
				taken[p] = true
				next.Assigned = append(next.Assigned, p)
			}
		}
		next.Target = next.Assigned
		for _, p := range m.protocols {
			next.Classic.Protocols = append(next.Classic.Protocols, stored.ClassicProtocol{Name: p.Name, Metadata: p.Metadata})
		}
		c.Members = append(c.Members, next)
	}
	sortMembers(c.Members)
	return c, nil
}

// downgrade is the effect that makes a classic group of the members, who are all classic.
func (g *consumerGroup) downgrade(w *consumerWork) []byte {
	generation := w.generation(w.catalog.names())
	g.c.deps.Log.Info("a group goes back to the classic protocol", "group", g.id, "generation", generation.Number, "members", len(generation.Members))
	return stored.AppendConsumerDowngraded(nil, g.id, g.written, generation)
}

// retake takes up a group with members anew from the journal, so that their sessions are watched.
func (c *Coordinator) retake(id string, journal int) {
	var generation *stored.Generation
	var consumer *stored.Consumer
	metastore.View(c.replica(journal), func(s *stored.State) { generation, consumer = s.Generation(id), s.Consumer(id) })
	switch {
	case consumer != nil && len(consumer.Members) > 0:
		c.findConsumer(id, journal, false)
	case generation != nil && len(generation.Members) > 0:
		c.find(id, journal, false)
	}
}
