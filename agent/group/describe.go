package group

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// Description is a group as an administrator sees it.
type Description struct {
	Group        string
	State        string // Kafka's name
	Consumer     bool   // of the consumer group protocol
	ProtocolType string
	Protocol     string // of a stable group
	Members      []DescribedMember
}

// DescribedMember is a member of a Description.
type DescribedMember struct {
	ID         string
	Instance   string
	ClientID   string
	ClientHost string
	Metadata   []byte // of a stable group
	Assignment []byte
}

// Describe returns a group; ErrNotFound for one unknown. Call Confirm before it.
func (c *Coordinator) Describe(ctx context.Context, id string) (Description, error) {
	if journal, err := c.await(ctx, id); err == nil && c.replica(journal).Err() == nil && c.consumer(id, journal) != nil {
		return Description{}, ErrNotFound
	}
	g, err := c.lock(ctx, id, false)
	switch {
	case err != nil:
		return Description{}, err
	case g == nil:
		return Description{}, ErrNotFound
	}
	defer g.mu.Unlock()
	d := Description{Group: id, State: g.state.String(), ProtocolType: g.protocolType}
	if g.state == stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.order {
		x := DescribedMember{ID: m.id, Instance: m.instance, ClientID: m.clientID, ClientHost: m.clientHost, Assignment: m.assignment}
		if g.state == stable {
			x.Metadata = m.metadata(g.protocol)
		}
		d.Members = append(d.Members, x)
	}
	return d, nil
}

// List returns all groups of this coordinator by id, without their members.
func (c *Coordinator) List(ctx context.Context) ([]Description, error) {
	found := map[string]Description{}
	var owned []int
	for i := range c.cfg.Journals {
		if c.owns(i) {
			owned = append(owned, i)
		}
	}
	if err := c.confirm(ctx, owned...); err != nil {
		return nil, err
	}
	for _, i := range owned {
		switch err := c.awaitJournal(ctx, i); {
		case errors.Is(err, ErrNotCoordinator) && !c.owns(i):
			continue
		case err != nil:
			return nil, err
		}
		r := c.replica(i)
		if err := r.Err(); err != nil {
			return nil, refusal(err)
		}
		metastore.View(r, func(s *stored.State) {
			for _, id := range s.Groups() {
				d := Description{Group: id, State: empty.String(), ProtocolType: s.Generation(id).ProtocolType}
				if consumer := s.Consumer(id); consumer != nil {
					d.State, d.Consumer = consumerState(consumer), true
				}
				found[id] = d
			}
		})
	}
	for _, g := range c.inMemory() {
		g.mu.Lock()
		if !g.dead && !g.overtaken() && !(found[g.id].Consumer && g.state == empty) {
			found[g.id] = Description{Group: g.id, State: g.state.String(), ProtocolType: g.protocolType}
		}
		g.mu.Unlock()
	}
	all := make([]Description, 0, len(found))
	for _, d := range found {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Description) int { return strings.Compare(a.Group, b.Group) })
	return all, nil
}

// Delete deletes groups without members, with their offsets, and says of each what became of it.
func (c *Coordinator) Delete(ctx context.Context, ids []string) []error {
	outcomes := make([]error, len(ids))
	answers := make([]chan error, len(ids))
	for i, id := range ids {
		answers[i] = make(chan error, 1)
		if outcomes[i] = c.startDelete(ctx, id, answers[i]); outcomes[i] != nil {
			answers[i] = nil
		}
	}
	for i, answer := range answers {
		if answer == nil {
			continue
		}
		select {
		case outcomes[i] = <-answer:
		case <-ctx.Done():
			outcomes[i] = ErrNotAvailable
		}
	}
	return outcomes
}

// lockSettled returns a group without members, locked; nil for one unknown. One whose last
// member has just left is waited for, until that stands in the journal.
func (c *Coordinator) lockSettled(ctx context.Context, id string) (*group, error) {
	for range decisionsMax {
		g, err := c.lock(ctx, id, false)
		switch {
		case errors.Is(err, ErrOtherProtocol):
			other, err := c.lockMixed(ctx, id)
			if errors.Is(err, errMoved) {
				continue
			}
			if err != nil {
				return nil, err
			}
			occupied := other.storing || other.state != nil && len(other.state.Members) > 0
			if other.unlock(); occupied {
				return nil, ErrNonEmpty
			}
			continue
		case g == nil || err != nil:
			return nil, err
		case g.state != empty || !g.storing:
			return g, nil
		}
		landed := g.whenStored()
		g.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
			return nil, refusal(ctx.Err())
		}
	}
	return nil, ErrNotAvailable
}

// startDelete decides a deletion and sends it on its way. Where it returns nil, answer is told.
func (c *Coordinator) startDelete(ctx context.Context, id string, answer chan error) error {
	g, err := c.lockSettled(ctx, id)
	switch {
	case err != nil:
		return err
	case g == nil:
		return ErrNotFound
	}
	defer g.mu.Unlock()
	switch {
	case g.state != empty:
		return ErrNonEmpty
	case g.written == 0:
		g.die(ErrUnknownMember)
		c.forget(g)
		answer <- nil
		return nil
	}
	x := stored.GroupDeletion{Group: id, Generation: g.written}
	return refusal(c.committer.submit(&job{journal: g.journal, effect: stored.AppendGroupDeleted(nil, x),
		done: func(_ metastore.Version, outcome any, err error) {
			stood, _ := outcome.(bool)
			switch {
			case err != nil:
				answer <- refusal(err)
				return
			case !stood:
				answer <- c.judgeUndeleted(g, x.Generation)
				return
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.deleted(x.Generation)
			answer <- nil
		}}))
}

// judgeUndeleted says why a deletion didn't stand.
func (c *Coordinator) judgeUndeleted(g *group, expect metastore.Version) error {
	if c.changedSince(g, expect) {
		return ErrNonEmpty // Members came meanwhile.
	}
	return ErrNotCoordinator
}

// deleted takes up that the journal holds nothing of the group any more.
func (g *group) deleted(generation metastore.Version) {
	switch {
	case g.dead || g.written != generation:
	case g.state == empty && !g.storing:
		g.die(ErrUnknownMember)
		g.c.forget(g)
	default:
		g.written = 0 // Members have come meanwhile: theirs is another group.
	}
}
