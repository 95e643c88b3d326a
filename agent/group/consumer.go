package group

import (
	"context"
	"errors"
	"fmt"
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

	mu      sync.Mutex
	dead    bool
	written metastore.Version // 0: the group is unknown
	state   *stored.Consumer  // as the journal has it; nil: nobody ever joined
	catalog metastore.Version // the state's targets are of the topics as of it, or as they were since
	regexes map[string]*regexp.Regexp
	calls   []*consumerCall
	storing bool
	// unwritten: state is that of a classic group, whose members the first change takes over.
	unwritten bool
	timers    map[string]*memberTimers // by member id
}

func newConsumerGroup(c *Coordinator, id string, journal int, state *stored.Consumer) *consumerGroup {
	return &consumerGroup{c: c, id: id, journal: journal, state: state, regexes: newRegexes(), timers: map[string]*memberTimers{}}
}

// consumerCall is one request, or one time-out, on its way.
type consumerCall struct {
	change func(w *consumerWork) error // may run again, in another group
	answer func(error)                 // must not block
	member string                      // whose session it keeps; empty: nobody's
	landed func()                      // runs under the lock once the change stands; nil: nothing

	err error
}

// ask has a call taken, and returns once what comes of it stands in the journal. The
// group is locked; ask unlocks it.
func (g *consumerGroup) ask(ctx context.Context, call *consumerCall) error {
	answered := make(chan error, 1)
	call.answer = func(err error) { answered <- err }
	g.calls = append(g.calls, call)
	g.process()
	g.mu.Unlock()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return refusal(ctx.Err())
	}
}

// ConsumerHeartbeat lets a member join, go on or leave, and returns what it is to have,
// once that stands in the journal.
func (c *Coordinator) ConsumerHeartbeat(ctx context.Context, r ConsumerHeartbeat) (ConsumerAnswer, error) {
	if r.Assignor != "" && !slices.Contains(c.cfg.Assignors, r.Assignor) {
		return ConsumerAnswer{}, ErrUnsupportedAssignor
	}
	if r.Regex != nil {
		if _, err := compileRegex(*r.Regex); err != nil {
			return ConsumerAnswer{}, errors.Join(ErrInvalidRegex, err)
		}
	}
	for range decisionsMax {
		g, err := c.lockConsumer(ctx, r.Group, r.Epoch == epochJoin)
		if err != nil {
			return ConsumerAnswer{}, err
		}
		if a, ok := g.unchanged(&r); ok && len(g.calls) == 0 {
			g.keepSession(r.MemberID)
			g.mu.Unlock()
			return a, nil
		}
		var a ConsumerAnswer
		err = g.ask(ctx, &consumerCall{member: r.MemberID, change: func(w *consumerWork) (err error) {
			a, err = w.heartbeat(&r)
			return err
		}})
		switch {
		case err == nil:
			return a, nil
		case !errors.Is(err, errMoved):
			return ConsumerAnswer{}, err
		}
	}
	return ConsumerAnswer{}, ErrNotAvailable
}

// Assignors are the names of the assignors that members may ask for.
func (c *Coordinator) Assignors() []string { return c.cfg.Assignors }

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
	if g.storing || m == nil || m.Classic != nil || r.Epoch <= epochJoin || m.Epoch != r.Epoch || m.State != stored.MemberStable ||
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
// is made if create, also of one whose members use the classic protocol; else it is ErrNotFound.
func (c *Coordinator) lockConsumer(ctx context.Context, id string, create bool) (*consumerGroup, error) {
	journal, err := c.await(ctx, id)
	if err != nil {
		return nil, err
	}
	for {
		g, err := c.yieldClassic(ctx, id, create)
		if g != nil || err != nil {
			return g, err
		}
		if g, err = c.findConsumer(id, journal, create); err != nil {
			return nil, err
		}
		if g == nil {
			continue
		}
		g.mu.Lock()
		if !g.dead && g.overtaken() {
			g.forget(ErrNotCoordinator)
		}
		if !g.dead {
			return g, nil
		}
		g.mu.Unlock()
	}
}

// overtaken tells whether another agent was the coordinator since this one wrote.
func (g *consumerGroup) overtaken() bool {
	if g.storing || g.written == 0 {
		return false
	}
	overtaken := false
	metastore.View(g.c.replica(g.journal), func(s *stored.State) {
		generation := s.Generation(g.id)
		overtaken = generation == nil || generation.Written != g.written
	})
	return overtaken
}

// yieldClassic forgets a group of the classic protocol that has no members. One that has
// some is taken over if create, and returned.
func (c *Coordinator) yieldClassic(ctx context.Context, id string, create bool) (*consumerGroup, error) {
	for {
		c.mu.Lock()
		g := c.mu.groups[id]
		c.mu.Unlock()
		if g == nil {
			return nil, nil
		}
		next, landing, err := c.tryYield(g, create)
		if landing == nil {
			return next, err
		}
		select {
		case <-landing:
		case <-ctx.Done():
			return nil, refusal(ctx.Err())
		}
	}
}

// tryYield is yieldClassic of a group that nothing of is on its way into the journal; else
// landing is closed when that has landed.
func (c *Coordinator) tryYield(g *group, create bool) (next *consumerGroup, landing <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.dead:
	case g.state != empty && !create:
		return nil, nil, ErrNotFound
	case g.storing:
		return nil, g.whenStored(), nil
	case g.state != empty:
		next, err = c.takeOver(g)
		return next, nil, err
	default:
		g.die(ErrNotCoordinator)
		c.forget(g)
	}
	return nil, nil, nil
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
	case c.mu.resigned, !c.mu.journals[journal].held:
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
	case generation != nil && len(generation.Members) > 0:
		if create {
			c.mu.groups[id] = c.restored(id, journal, generation)
			return nil, nil
		}
		return nil, ErrNotFound
	case consumer == nil && !create:
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
	g := newConsumerGroup(c, id, journal, consumer)
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

// loadConsumers takes up the groups of a journal that have members, and returns how many.
func (c *Coordinator) loadConsumers(journal int) (groups, members int) {
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
		return 0, 0
	}
	for id, f := range all {
		if c.mu.consumers[id] != nil {
			continue
		}
		groups++
		c.mu.consumers[id] = c.restoredConsumer(id, journal, f.generation, f.consumer)
		members += len(f.consumer.Members)
	}
	return groups, members
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
	w.assignors = g.c.cfg.Assignors
	downgrade := false
	for i, call := range calls {
		w.replaced = false
		call.err = call.change(w)
		if g.c.cfg.Downgrades && w.onlyClassic() && len(w.members) <= g.c.cfg.GroupSizeMax {
			// What comes after it is for the classic group.
			downgrade, g.calls, calls = true, calls[i+1:], calls[:i+1]
			break
		}
	}
	change, after := w.change(g.unwritten)
	if change == nil || g.unwritten && calls[0].err != nil {
		g.landed(calls, g.state, version)
		return
	}
	change.Group, change.Expect = g.id, g.written
	effect := func() []byte {
		switch {
		case downgrade:
			return g.downgrade(w)
		case g.unwritten || slices.ContainsFunc(change.Put, func(m *stored.ConsumerMember) bool { return m.Classic != nil }):
			return stored.AppendConsumerMixed(nil, *change)
		}
		return stored.AppendConsumerChange(nil, *change)
	}()
	g.storing = true
	finish := func(written metastore.Version, stood bool, err error) {
		g.storing = false
		if err == nil && !stood {
			err = ErrNotCoordinator
			g.c.deps.Log.Warn("another coordinator has the group", "group", g.id, "epoch", after.Epoch)
		}
		if errors.Is(err, ErrTooLarge) {
			err = fmt.Errorf("%w: %w", ErrGroupMaxSize, err) // It can't grow any more.
		}
		if err != nil {
			// Whether or not it is in the journal: the group is taken up anew from there.
			for _, call := range calls {
				call.answer(refusal(err))
			}
			g.forget(refusal(err))
			return
		}
		g.written, g.unwritten = written, false
		switch {
		case g.dead:
			for _, call := range calls {
				call.answer(ErrNotCoordinator)
			}
		case downgrade:
			for _, call := range calls {
				call.answer(call.err)
			}
			g.forget(errMoved)
			g.c.retake(g.id, g.journal)
		default:
			g.landed(calls, after, version)
		}
	}
	err := g.c.committer.submit(&job{journal: g.journal, effect: effect,
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
	for id, t := range g.timers {
		if state.Member(id) == nil {
			for _, a := range t.all() {
				g.stop(a)
			}
			delete(g.timers, id)
		}
	}
	for _, call := range calls {
		if call.err == nil && call.member != "" && state.Member(call.member) != nil {
			g.keepSession(call.member)
			if call.landed != nil {
				call.landed()
			}
		}
		call.answer(call.err)
	}
	switch {
	case g.unwritten && len(g.calls) == 0:
		// Nobody could come: its members go on in the classic group that the journal has.
		g.forget(errMoved)
		g.c.retake(g.id, g.journal)
	case (state == nil || len(state.Members) == 0) && len(g.calls) == 0:
		g.forget(ErrNotCoordinator)
	default:
		g.process()
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
	for _, t := range g.timers {
		for _, a := range t.all() {
			g.stop(a)
		}
	}
	for _, call := range g.calls {
		call.answer(err)
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
