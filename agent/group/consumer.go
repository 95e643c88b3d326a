package group

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// consumerGroup is a group of the consumer group protocol in memory. What changes in it
// goes into the journal before anyone is told; what is asked for meanwhile goes into
// the next change, together.
type consumerGroup struct {
	c       *Coordinator
	id      string
	journal int

	mu       sync.Mutex
	dead     bool
	written  metastore.Version // 0: the group is unknown
	state    *stored.Consumer  // as the journal has it; nil: nobody ever joined
	catalog  metastore.Version // the state's targets are of the topics as of it, or as they were since
	regexes  map[string]*regexp.Regexp
	calls    []*consumerCall
	storing  bool
	sessions map[string]*alarm // by member id
	revokes  map[string]*alarm // of members that are to give up something
}

// consumerCall is one request, or one time-out, on its way.
type consumerCall struct {
	change func(w *consumerWork) (ConsumerAnswer, error)
	answer func(ConsumerAnswer, error) // must not block
	member string                      // whose session it keeps; empty: nobody's

	result ConsumerAnswer
	err    error
}

// ConsumerHeartbeat lets a member join, go on or leave, and returns what it is to have,
// once that stands in the journal.
func (c *Coordinator) ConsumerHeartbeat(ctx context.Context, r ConsumerHeartbeat) (ConsumerAnswer, error) {
	if r.Assignor != "" && !slices.Contains(assignors[:], r.Assignor) {
		return ConsumerAnswer{}, ErrUnsupportedAssignor
	}
	if r.Regex != nil {
		if _, err := compileRegex(*r.Regex); err != nil {
			return ConsumerAnswer{}, errors.Join(ErrInvalidRegex, err)
		}
	}
	g, err := c.lockConsumer(ctx, r.Group, r.Epoch == epochJoin)
	if err != nil {
		return ConsumerAnswer{}, err
	}
	type answer struct {
		ConsumerAnswer
		err error
	}
	answered := make(chan answer, 1)
	g.calls = append(g.calls, &consumerCall{member: r.MemberID,
		change: func(w *consumerWork) (ConsumerAnswer, error) { return w.heartbeat(&r) },
		answer: func(a ConsumerAnswer, err error) { answered <- answer{a, err} }})
	if a, ok := g.unchanged(&r); ok && len(g.calls) == 1 {
		g.calls = nil
		g.keepSession(r.MemberID)
		g.mu.Unlock()
		return a, nil
	}
	g.process()
	g.mu.Unlock()
	select {
	case a := <-answered:
		return a.ConsumerAnswer, a.err
	case <-ctx.Done():
		return ConsumerAnswer{}, refusal(ctx.Err())
	}
}

// HeartbeatInterval is the interval that a group's members of the consumer group protocol are told.
func (c *Coordinator) HeartbeatInterval(group string) time.Duration {
	_, heartbeat := c.consumerTimes(group)
	return heartbeat
}

// consumerTimes are a group's session time-out and heartbeat interval: its own, else everyone's.
func (c *Coordinator) consumerTimes(group string) (session, heartbeat time.Duration) {
	if c.deps.ConsumerTimes != nil {
		session, heartbeat = c.deps.ConsumerTimes(group)
	}
	if session == 0 {
		session = c.cfg.ConsumerSession
	}
	if heartbeat == 0 {
		heartbeat = c.cfg.ConsumerHeartbeat
	}
	return session, heartbeat
}

// unchanged answers a heartbeat of a member that has what it is to have, and says nothing new.
func (g *consumerGroup) unchanged(r *ConsumerHeartbeat) (ConsumerAnswer, bool) {
	m := g.state.Member(r.MemberID)
	if g.storing || m == nil || r.Epoch <= epochJoin || m.Epoch != r.Epoch || m.State != stored.MemberStable ||
		g.state.Epoch != m.Epoch || g.state.TargetEpoch != m.Epoch || g.catalog != g.c.deps.Catalog.Version() ||
		r.Topics != nil || r.Regex != nil || r.RebalanceTimeout >= 0 || r.Assignor != "" || r.Rack != "" || r.Instance != m.Instance {
		return ConsumerAnswer{}, false
	}
	return ConsumerAnswer{Epoch: m.Epoch}, true
}

// compileRegex compiles a subscription, which must match all of a topic's name.
func compileRegex(expression string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(expression); err != nil {
		return nil, err
	}
	return regexp.Compile(`^(?:` + expression + `)$`)
}

// lockConsumer returns a group of the consumer group protocol, locked. One that there isn't
// is made if create, else it is ErrNotFound; so is one whose members use the classic protocol.
func (c *Coordinator) lockConsumer(ctx context.Context, id string, create bool) (*consumerGroup, error) {
	journal, err := c.await(ctx, id)
	if err != nil {
		return nil, err
	}
	for {
		if err := c.yieldClassic(id); err != nil {
			return nil, err
		}
		g, err := c.findConsumer(id, journal, create)
		if err != nil {
			return nil, err
		}
		if g == nil {
			continue
		}
		g.mu.Lock()
		if !g.dead {
			return g, nil
		}
		g.mu.Unlock()
	}
}

// yieldClassic forgets a group of the classic protocol that has no members.
func (c *Coordinator) yieldClassic(id string) error {
	c.mu.Lock()
	g := c.mu.groups[id]
	c.mu.Unlock()
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.dead:
	case g.state != empty || len(g.pending) > 0:
		return ErrNotFound
	case g.storing:
		return ErrNotAvailable
	default:
		g.die(ErrNotCoordinator)
		c.forget(g)
	}
	return nil
}

// findConsumer returns nil when a group of the classic protocol has come meanwhile.
func (c *Coordinator) findConsumer(id string, journal int, create bool) (*consumerGroup, error) {
	r := c.replica(journal)
	if err := r.Err(); err != nil {
		return nil, refusal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.resigned:
		return nil, ErrNotCoordinator
	case c.mu.consumers[id] != nil:
		return c.mu.consumers[id], nil
	case c.mu.groups[id] != nil:
		return nil, nil
	}
	var generation *stored.Generation
	var consumer *stored.Consumer
	metastore.View(r, func(s *stored.State) { generation, consumer = s.Generation(id), s.Consumer(id) })
	switch {
	case consumer == nil && !create, generation != nil && len(generation.Members) > 0:
		return nil, ErrNotFound
	case len(c.mu.groups)+len(c.mu.consumers) >= c.cfg.GroupsMax:
		return nil, ErrNotAvailable
	}
	g := c.restoredConsumer(id, journal, generation, consumer)
	c.mu.consumers[id] = g
	return g, nil
}

// restoredConsumer returns a group as the journal has it, and begins its members' sessions.
func (c *Coordinator) restoredConsumer(id string, journal int, generation *stored.Generation, consumer *stored.Consumer) *consumerGroup {
	g := &consumerGroup{c: c, id: id, journal: journal, state: consumer, regexes: newRegexes(),
		sessions: map[string]*alarm{}, revokes: map[string]*alarm{}}
	if generation != nil {
		g.written = generation.Written
	}
	if consumer != nil {
		g.mu.Lock() // from its alarms
		defer g.mu.Unlock()
		for _, m := range consumer.Members {
			g.keepSession(m.ID)
		}
		g.watchRevokes(&stored.Consumer{})
	}
	return g
}

// loadConsumers takes up the groups of a journal that have members, and returns how many members.
func (c *Coordinator) loadConsumers(journal int) (members int) {
	type found struct {
		generation *stored.Generation
		consumer   *stored.Consumer
	}
	all := map[string]found{}
	metastore.View(c.replica(journal), func(s *stored.State) {
		for _, id := range s.Consumers() {
			all[id] = found{s.Generation(id), s.Consumer(id)}
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.resigned {
		return 0
	}
	for id, f := range all {
		c.mu.consumers[id] = c.restoredConsumer(id, journal, f.generation, f.consumer)
		members += len(f.consumer.Members)
	}
	return members
}

// process takes what waits, and sends the change that comes of it on its way.
func (g *consumerGroup) process() {
	if g.storing || g.dead || len(g.calls) == 0 {
		return
	}
	calls := g.calls
	g.calls = nil
	sizes, version := g.c.sizes()
	w := newConsumerWork(g.state, sizes, func(regex string) []string { return g.matches(regex, sizes) }, min(g.c.cfg.ConsumerSizeMax, stored.MembersMax))
	for _, call := range calls {
		call.result, call.err = call.change(w)
	}
	change, after := w.change()
	if change == nil {
		g.landed(calls, g.state, version)
		return
	}
	change.Group, change.Expect = g.id, g.written
	g.storing = true
	finish := func(written metastore.Version, stood bool, err error) {
		g.storing = false
		if err == nil && !stood {
			err = ErrNotCoordinator
			g.c.deps.Log.Warn("another coordinator has the group", "group", g.id, "epoch", after.Epoch)
		}
		if err != nil {
			// Whether or not it is in the journal: the group is taken up anew from there.
			for _, call := range calls {
				call.answer(ConsumerAnswer{}, refusal(err))
			}
			g.forget(refusal(err))
			return
		}
		g.written = written
		if g.dead {
			for _, call := range calls {
				call.answer(ConsumerAnswer{}, ErrNotCoordinator)
			}
			return
		}
		g.landed(calls, after, version)
	}
	err := g.c.committer.submit(&job{journal: g.journal, effect: stored.AppendConsumerChange(nil, *change),
		done: func(version metastore.Version, outcome any, err error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			stood, _ := outcome.(bool)
			finish(version, stood, err)
		}})
	if err != nil {
		finish(0, false, err)
	}
}

// landed takes up what stands in the journal, and tells those who asked for it.
func (g *consumerGroup) landed(calls []*consumerCall, state *stored.Consumer, catalog metastore.Version) {
	before := g.state
	g.state, g.catalog = state, catalog
	g.watchRevokes(before)
	for id, a := range g.sessions {
		if state.Member(id) == nil {
			g.stop(a)
			delete(g.sessions, id)
		}
	}
	for _, call := range calls {
		if call.err == nil && call.member != "" && state.Member(call.member) != nil {
			g.keepSession(call.member)
		}
		call.answer(call.result, call.err)
	}
	if (state == nil || len(state.Members) == 0) && len(g.calls) == 0 {
		g.forget(ErrNotCoordinator)
		return
	}
	g.process()
}

// keepSession lets a member's session begin anew.
func (g *consumerGroup) keepSession(id string) {
	a := g.sessions[id]
	if a == nil {
		a = &alarm{}
		g.sessions[id] = a
	}
	session, _ := g.c.consumerTimes(g.id)
	g.set(a, session, func() { g.expel(id, "its session has expired") })
}

// watchRevokes gives the members that are to give up something since this state the time
// of their rebalance time-out for it.
func (g *consumerGroup) watchRevokes(before *stored.Consumer) {
	for id, a := range g.revokes {
		if m := g.state.Member(id); m == nil || m.State != stored.MemberUnrevoked {
			g.stop(a)
			delete(g.revokes, id)
		}
	}
	if g.state == nil || g.state == before {
		return
	}
	for _, m := range g.state.Members {
		was := before.Member(m.ID)
		if m.State != stored.MemberUnrevoked || was != nil && was.State == m.State && was.Epoch == m.Epoch {
			continue
		}
		if g.revokes[m.ID] == nil {
			g.revokes[m.ID] = &alarm{}
		}
		g.set(g.revokes[m.ID], milliseconds(m.RebalanceTimeout), func() { g.expel(m.ID, "it has not given up its partitions in time") })
	}
}

// expel removes a member that is late.
func (g *consumerGroup) expel(id, reason string) {
	g.c.deps.Log.Info("a member is removed", "group", g.id, "member", id, "reason", reason)
	g.calls = append(g.calls, &consumerCall{answer: func(ConsumerAnswer, error) {},
		change: func(w *consumerWork) (ConsumerAnswer, error) {
			if w.members[id] == nil {
				return ConsumerAnswer{}, ErrUnknownMember
			}
			w.remove(id)
			return ConsumerAnswer{}, nil
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

// forget lets the group die, and takes it out of the map.
func (g *consumerGroup) forget(err error) {
	g.die(err)
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	if g.c.mu.consumers[g.id] == g {
		delete(g.c.mu.consumers, g.id)
	}
}

// die answers what waits. What is on its way into the journal is answered when it lands.
func (g *consumerGroup) die(err error) {
	g.dead = true
	for _, alarms := range []map[string]*alarm{g.sessions, g.revokes} {
		for _, a := range alarms {
			g.stop(a)
		}
	}
	for _, call := range g.calls {
		call.answer(ConsumerAnswer{}, err)
	}
	g.calls = nil
}

// sizes are the topics as of a version of the catalog.
func (c *Coordinator) sizes() (sizes topicSizes, version metastore.Version) {
	sizes = topicSizes{numbers: map[string]uint64{}, partitions: map[uint64]int32{}}
	version = c.deps.Catalog.Version() // before the view: what comes between is looked at again
	metastore.View(c.deps.Catalog, func(s *catalog.State) {
		for _, t := range s.Topics() {
			sizes.numbers[t.Name], sizes.partitions[t.Number] = t.Number, t.Partitions
		}
	})
	return sizes, version
}

func newRegexes() map[string]*regexp.Regexp { return map[string]*regexp.Regexp{} }

// matches are the names of the topics that a regular expression matches.
func (g *consumerGroup) matches(expression string, sizes topicSizes) []string {
	compiled := g.regexes[expression]
	if compiled == nil {
		var err error
		if compiled, err = compileRegex(expression); err != nil {
			return nil
		}
		g.regexes[expression] = compiled
	}
	var names []string
	for name := range sizes.numbers {
		if compiled.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}
