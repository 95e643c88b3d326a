package group

import (
	"time"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// memberTimers are the time-outs of a member.
type memberTimers struct {
	session alarm
	revoke  alarm // of one that is to give up something
	// Of a classic member:
	join  alarm // it has been told to join again
	joins bool  // that is set
	sync  alarm // it has joined
}

func (g *consumerGroup) timersOf(id string) *memberTimers {
	t := g.timers[id]
	if t == nil {
		t = &memberTimers{}
		g.timers[id] = t
	}
	return t
}

func (t *memberTimers) all() []*alarm { return []*alarm{&t.session, &t.revoke, &t.join, &t.sync} }

// keepSession lets a member's session begin anew.
func (g *consumerGroup) keepSession(id string) {
	g.set(&g.timersOf(id).session, g.sessionOf(g.state.Member(id)), func() { g.expel(id, "its session has expired") })
}

// watchRevokes gives the members that are to give up something since this state the time
// of their rebalance time-out for it; a classic one has it to join again and to sync.
func (g *consumerGroup) watchRevokes(before *stored.Consumer) {
	for id, t := range g.timers {
		if m := g.state.Member(id); m == nil || m.State != stored.MemberUnrevoked {
			g.stop(&t.revoke)
		}
	}
	if g.state == nil || g.state == before {
		return
	}
	for _, m := range g.state.Members {
		was := before.Member(m.ID)
		if m.Classic != nil || m.State != stored.MemberUnrevoked || was != nil && was.State == m.State && was.Epoch == m.Epoch {
			continue
		}
		g.set(&g.timersOf(m.ID).revoke, milliseconds(m.RebalanceTimeout), func() { g.expel(m.ID, "it has not given up its partitions in time") })
	}
}

// expel removes a member that is late.
func (g *consumerGroup) expel(id, reason string) {
	g.c.deps.Log.Info("a member is removed", "group", g.id, "member", id, "reason", reason)
	g.calls = append(g.calls, &consumerCall{answer: func(error) {},
		change: func(w *consumerWork) error {
			if w.members[id] == nil {
				return ErrUnknownMember
			}
			w.remove(id)
			return nil
		}})
	g.process()
}

// set rings the alarm after d, and not as it was set before. ring runs under the group's lock.
func (g *consumerGroup) set(a *alarm, d time.Duration, ring func()) {
	g.stop(a)
	round := a.round
	a.timer = time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if a.round == round && !g.dead {
			ring()
		}
	})
}

func (g *consumerGroup) stop(a *alarm) {
	a.round++
	if a.timer != nil {
		a.timer.Stop()
	}
}

// tellToJoin gives a classic member its rebalance time-out to join again.
func (g *consumerGroup) tellToJoin(m *stored.ConsumerMember) error {
	id := m.ID
	if t := g.timersOf(id); !t.joins {
		t.joins = true
		g.set(&t.join, milliseconds(m.RebalanceTimeout), func() { g.expel(id, "it has not joined again in time") })
	}
	return ErrRebalanceInProgress
}

// sessionOf is a member's session time-out.
func (g *consumerGroup) sessionOf(m *stored.ConsumerMember) time.Duration {
	if m != nil && m.Classic != nil {
		return milliseconds(m.Classic.SessionTimeout)
	}
	session, _ := g.c.consumerTimes(g.id)
	return session
}
