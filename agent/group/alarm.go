package group

import "time"

// alarm is a timer of a group. Its fields are guarded by the group's lock.
type alarm struct {
	timer *time.Timer
	round uint64 // a timer of an earlier round has nothing to say
}

// set rings the alarm after d, and not as it was set before. ring runs under the group's
// lock, unless the group has died.
func (g *group) set(a *alarm, d time.Duration, ring func()) {
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

func (g *group) stop(a *alarm) {
	a.round++
	if a.timer != nil {
		a.timer.Stop()
	}
}
