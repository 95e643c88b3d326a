package group

import (
	"context"
	"errors"
)

// Identity is a member as it speaks for itself.
type Identity struct {
	Group      string
	Generation int32
	MemberID   string
	Instance   string
}

// Heartbeat keeps a member's session.
func (c *Coordinator) Heartbeat(ctx context.Context, i Identity) error {
	if i.Group == "" {
		return ErrInvalidGroupID
	}
	for range decisionsMax {
		if err := c.heartbeat(ctx, i); !errors.Is(err, errMoved) {
			return err
		}
	}
	return ErrNotAvailable
}

func (c *Coordinator) heartbeat(ctx context.Context, i Identity) error {
	g, err := c.lock(ctx, i.Group, false)
	switch {
	case errors.Is(err, ErrOtherProtocol):
		return c.heartbeatConsumer(ctx, i)
	case err != nil:
		return err
	case g == nil:
		return ErrUnknownMember
	}
	defer g.mu.Unlock()
	if err := g.check(i.MemberID, i.Instance); err != nil {
		return err
	}
	if i.Generation != g.number {
		return ErrIllegalGeneration
	}
	g.keepSession(g.members[i.MemberID])
	if g.state == preparing {
		return ErrRebalanceInProgress
	}
	return nil
}

// Leaver is a member that leaves, or is made to.
type Leaver struct {
	MemberID string // empty: named by its instance id alone
	Instance string
}

// Leave removes members, and says of each what became of it; or what became of all.
func (c *Coordinator) Leave(ctx context.Context, id string, leavers []Leaver) ([]error, error) {
	if id == "" {
		return nil, ErrInvalidGroupID
	}
	for range decisionsMax {
		if outcomes, err := c.leave(ctx, id, leavers); !errors.Is(err, errMoved) {
			return outcomes, err
		}
	}
	return nil, ErrNotAvailable
}

func (c *Coordinator) leave(ctx context.Context, id string, leavers []Leaver) ([]error, error) {
	outcomes := make([]error, len(leavers))
	g, err := c.lock(ctx, id, false)
	if errors.Is(err, ErrOtherProtocol) {
		return c.leaveConsumer(ctx, id, leavers)
	}
	if err != nil {
		return nil, err
	}
	if g == nil {
		for i := range outcomes {
			outcomes[i] = ErrUnknownMember
		}
		return outcomes, nil
	}
	defer g.mu.Unlock()
	left := 0
	for i, l := range leavers {
		if outcomes[i] = g.leave(l); outcomes[i] == nil {
			left++
		}
	}
	switch {
	case left == 0:
	case g.state == stable || g.state == completing:
		g.rebalance("members left")
	case g.state == preparing:
		g.maybeCompleteJoin()
	}
	return outcomes, nil
}

func (g *group) leave(l Leaver) error {
	id := l.MemberID
	switch {
	case id == "" && l.Instance == "":
		return ErrUnknownMember
	case id == "":
		if id = g.static[l.Instance]; id == "" {
			return ErrUnknownMember
		}
	case g.pending[id] != nil:
		g.remove(id)
		return nil
	default:
		if err := g.check(id, l.Instance); err != nil {
			return err
		}
	}
	m := g.members[id]
	m.answerJoin(refusedJoin("", ErrUnknownMember))
	m.answerSync(Synced{Err: ErrUnknownMember})
	g.remove(id)
	return nil
}
