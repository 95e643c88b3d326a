package group

import (
	"context"
	"errors"
)

// Sync is a SyncGroup.
type Sync struct {
	Group        string
	Generation   int32
	MemberID     string
	Instance     string
	ProtocolType *string // nil: not said
	Protocol     *string
	Assignments  map[string][]byte // by member id, of the leader; kept
}

// Synced answers a Sync.
type Synced struct {
	Err          error
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Sync returns a member's assignment, once the leader's assignments stand in the
// journal, or ctx ends.
func (c *Coordinator) Sync(ctx context.Context, s Sync) Synced {
	if s.Group == "" {
		return Synced{Err: ErrInvalidGroupID}
	}
	for range decisionsMax {
		if synced := c.sync(ctx, s); !errors.Is(synced.Err, errMoved) {
			return synced
		}
	}
	return Synced{Err: ErrNotAvailable}
}

func (c *Coordinator) sync(ctx context.Context, s Sync) Synced {
	g, err := c.lock(ctx, s.Group, false)
	switch {
	case errors.Is(err, ErrOtherProtocol):
		return c.syncConsumer(ctx, s)
	case err != nil:
		return Synced{Err: err}
	case g == nil:
		return Synced{Err: ErrUnknownMember}
	}
	answer := make(chan Synced, 1)
	if err := g.checkSync(s); err != nil {
		answer <- Synced{Err: err}
	} else {
		g.sync(s, answer)
	}
	g.mu.Unlock()
	select {
	case synced := <-answer:
		return synced
	case <-ctx.Done():
		return Synced{Err: refusal(ctx.Err())}
	}
}

func (g *group) checkSync(s Sync) error {
	differs := func(said *string, is string) bool { return said != nil && is != "" && *said != is }
	if g.state == empty {
		return ErrUnknownMember
	}
	if err := g.check(s.MemberID, s.Instance); err != nil {
		return err
	}
	switch {
	case s.Generation != g.number:
		return ErrIllegalGeneration
	case differs(s.ProtocolType, g.protocolType), differs(s.Protocol, g.protocol):
		return ErrInconsistentProtocol
	case g.state == preparing:
		return ErrRebalanceInProgress
	}
	return nil
}

func (g *group) sync(s Sync, answer chan Synced) {
	m := g.members[s.MemberID]
	delete(g.unsynced, m.id)
	if len(g.unsynced) == 0 {
		g.stop(&g.syncAlarm)
	}
	if g.state == stable {
		answer <- g.synced(m)
		return
	}
	m.answerSync(Synced{Err: ErrRebalanceInProgress}) // It asked again, by another connection.
	m.syncing = answer
	if g.leader != m.id || g.leaderSyncedAt == g.number {
		return
	}
	number := g.number
	g.leaderSyncedAt = number
	// From here on the generation may be in the journal; its members are answered when it is.
	g.store(g.generation(s.Assignments), func(err error) {
		g.leaderSyncedAt = -1
		if g.state != completing || g.number != number {
			return // The members have been told to join again.
		}
		if err != nil {
			for _, m := range g.order {
				m.assignment = nil
			}
			g.answerSyncs(err)
			g.prepare("the assignments could not be written")
			return
		}
		for _, m := range g.order {
			m.assignment = s.Assignments[m.id]
		}
		g.answerSyncs(nil)
		g.become(stable)
	})
}

func (g *group) synced(m *member) Synced {
	return Synced{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// answerSyncs answers all syncs that wait, and lets their members' sessions begin anew.
func (g *group) answerSyncs(err error) {
	for _, m := range g.order {
		s := Synced{Err: err}
		if err == nil {
			s = g.synced(m)
		}
		if m.answerSync(s) {
			g.keepSession(m)
		}
	}
}
