package group

import (
	"time"
)

// rebalance begins a rebalance, or goes on with the one under way.
func (g *group) rebalance(reason string) {
	if g.state == preparing {
		g.maybeCompleteJoin()
		return
	}
	g.prepare(reason)
}

// prepare begins a rebalance: the members are to join again.
func (g *group) prepare(reason string) {
	if g.state == completing {
		for _, m := range g.order {
			m.assignment = nil
		}
		g.answerSyncs(ErrRebalanceInProgress)
	}
	g.endSync()
	first := g.state == empty
	if first {
		// More members may come; wait for them.
		delay := g.c.cfg.InitialRebalanceDelay
		remaining := max(g.rebalanceTimeout()-delay, 0)
		g.set(&g.joinAlarm, delay, func() { g.endDelay(delay, remaining) })
	}
	g.become(preparing)
	g.c.deps.Log.Debug("a group rebalances", "group", g.id, "generation", g.number, "reason", reason)
	switch {
	case first:
	case g.allJoined():
		g.completeJoin()
	default:
		g.set(&g.joinAlarm, g.rebalanceTimeout(), g.completeJoin)
	}
}

// endDelay ends the delay of a first rebalance, unless members came meanwhile.
func (g *group) endDelay(delay, remaining time.Duration) {
	if !g.newMember || remaining == 0 {
		g.completeJoin()
		return
	}
	g.newMember = false
	next := min(g.c.cfg.InitialRebalanceDelay, remaining)
	g.set(&g.joinAlarm, next, func() { g.endDelay(next, max(remaining-delay, 0)) })
}

// maybeCompleteJoin ends the joins once all members have joined; not while a first
// rebalance is delayed.
func (g *group) maybeCompleteJoin() {
	if g.state == preparing && g.before != empty && g.allJoined() {
		g.completeJoin()
	}
}

// completeJoin begins the next generation with those that have joined.
func (g *group) completeJoin() {
	g.stop(&g.joinAlarm)
	var missing []*member
	for _, m := range g.order {
		if m.joining == nil && m.instance == "" {
			missing = append(missing, m)
		}
	}
	for _, m := range missing {
		g.remove(m.id)
	}
	if len(g.order) > 0 && !g.electLeader() {
		// Only static members are left, and none has joined: their sessions decide.
		g.set(&g.joinAlarm, g.rebalanceTimeout(), g.completeJoin)
		return
	}
	g.number++
	clear(g.unsynced)
	g.newMember = false
	if len(g.order) == 0 {
		g.protocol = ""
		g.subscribed = g.subscriptions()
		g.become(empty)
		// Durable or not: until it is, the generation before is the journal's, whose members are gone.
		g.store(g.generation(nil), func(err error) {
			if err != nil {
				g.c.deps.Log.Warn("an empty generation could not be written", "group", g.id, "generation", g.number, "err", err)
			}
		})
		return
	}
	g.protocol = g.choose()
	g.subscribed = g.subscriptions()
	g.become(completing)
	for _, m := range g.order {
		m.answerJoin(g.joined(m, true))
		g.keepSession(m)
		m.isNew = false
		g.unsynced[m.id] = true
	}
	number := g.number
	g.set(&g.syncAlarm, g.rebalanceTimeout(), func() { g.expireSync(number) })
}

// electLeader makes a member that has joined the leader. False: none has.
func (g *group) electLeader() bool {
	if m := g.members[g.leader]; m != nil && m.joining != nil {
		return true
	}
	for _, m := range g.order {
		if m.joining != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// keepSession lets a member's session begin anew.
func (g *group) keepSession(m *member) {
	g.set(&m.session, m.sessionTimeout, func() { g.expire(m) })
}

// expire ends a session. A member that waits for us is not to blame, unless it is new:
// then it may have given up long ago.
func (g *group) expire(m *member) {
	if g.members[m.id] != m || !m.isNew && (m.joining != nil || m.syncing != nil) {
		return
	}
	g.c.deps.Log.Info("a member's session has expired", "group", g.id, "member", m.id, "generation", g.number)
	m.answerJoin(refusedJoin("", ErrUnknownMember))
	g.remove(m.id)
	switch {
	case g.state == stable || g.state == completing:
		g.rebalance("the session of " + m.id + " expired")
	case g.state == preparing && g.allJoined():
		g.completeJoin()
	}
}

// expirePending gives up a member that was given an id and didn't join with it.
func (g *group) expirePending(id string) {
	g.remove(id)
	if g.state == preparing && g.allJoined() {
		g.completeJoin()
	}
}

// expireSync removes the members that have joined and don't sync.
func (g *group) expireSync(number int32) {
	if number != g.number || g.state != completing && g.state != stable || len(g.unsynced) == 0 {
		return
	}
	for _, m := range append([]*member(nil), g.order...) {
		if g.unsynced[m.id] {
			g.remove(m.id)
		}
	}
	g.prepare("members didn't sync in time")
}

// endSync stops waiting for syncs.
func (g *group) endSync() {
	clear(g.unsynced)
	g.stop(&g.syncAlarm)
}
