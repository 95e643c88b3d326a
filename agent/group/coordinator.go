package group

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// Coordinator coordinates groups for one term.
type Coordinator struct {
	cfg         Config
	deps        Deps
	committer   *committer
	gone        chan struct{} // closed once it has resigned
	regain      chan struct{} // journals may be this coordinator's that another one has taken
	memberBytes atomic.Int64  // of the protocols of all members
	mu          struct {
		sync.Mutex
		groups    map[string]*group
		consumers map[string]*consumerGroup // with members, or about to have some
		journals  []holding
		resigned  bool
	}
}

// New returns a Coordinator; Run starts it.
func New(cfg Config, deps Deps) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, deps: deps, gone: make(chan struct{}), regain: make(chan struct{}, 1),
		committer: newCommitter(deps.Writer, deps.Follower, pace{every: cfg.AppendEvery, burst: cfg.AppendBurst})}
	c.mu.groups, c.mu.consumers = map[string]*group{}, map[string]*consumerGroup{}
	c.mu.journals = make([]holding, cfg.Journals)
	for i := range c.mu.journals {
		c.mu.journals[i].ready = make(chan struct{})
	}
	return c, nil
}

// Run takes up the groups of the journals that it owns, lets go of those that it owns no
// more, and serves until ctx ends, or until an append says that the term has ended.
func (c *Coordinator) Run(ctx context.Context) error {
	defer c.Resign()
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return c.committer.run(ctx) })
	tasks.Go(func() error { return c.own(ctx) })
	return tasks.Wait()
}

func (c *Coordinator) replica(journal int) *metastore.Replica {
	return c.deps.Follower.Replica(metastore.GroupsJournal(journal))
}

// Resign answers all that waits with ErrNotCoordinator, and whatever comes. Commits
// that are on their way are still answered when they land.
func (c *Coordinator) Resign() {
	c.mu.Lock()
	if !c.mu.resigned {
		close(c.gone)
	}
	c.mu.resigned = true
	groups := c.mu.groups
	consumers := c.mu.consumers
	c.mu.groups, c.mu.consumers = map[string]*group{}, map[string]*consumerGroup{}
	c.mu.Unlock()
	kill(slices.Collect(maps.Values(groups)), slices.Collect(maps.Values(consumers)))
}

// lock returns a group, locked: as it is in memory, else as the journal has it. One that
// is neither there nor here is made if create, else nil is returned.
func (c *Coordinator) lock(ctx context.Context, id string, create bool) (*group, error) {
	journal, err := c.await(ctx, id)
	if err != nil {
		return nil, err
	}
	for {
		g, err := c.find(id, journal, create)
		if g == nil || err != nil {
			return nil, err
		}
		g.mu.Lock()
		if !g.dead && g.overtaken() {
			g.die(ErrNotCoordinator)
			c.forget(g)
		}
		if !g.dead {
			return g, nil
		}
		g.mu.Unlock() // Whoever let it die takes it out of the map.
	}
}

func (c *Coordinator) find(id string, journal int, create bool) (*group, error) {
	r := c.replica(journal)
	if err := r.Err(); err != nil {
		return nil, refusal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.resigned || !c.mu.journals[journal].held {
		return nil, ErrNotCoordinator
	}
	if g := c.mu.groups[id]; g != nil {
		return g, nil
	}
	var generation *stored.Generation
	var consumer *stored.Consumer
	metastore.View(r, func(s *stored.State) { generation, consumer = s.Generation(id), s.Consumer(id) })
	if c.mu.consumers[id] != nil || consumer != nil && len(consumer.Members) > 0 {
		return nil, ErrOtherProtocol
	}
	if generation == nil && !create {
		return nil, nil
	}
	if len(c.mu.groups) >= c.cfg.GroupsMax {
		return nil, ErrNotAvailable
	}
	g := c.restored(id, journal, generation)
	c.mu.groups[id] = g
	return g, nil
}

// overtaken tells whether the journal has another generation in the place of the
// one in memory: another agent was the coordinator in between.
func (g *group) overtaken() bool {
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

// restored returns a group as the journal has it; generation is nil for one unknown.
func (c *Coordinator) restored(id string, journal int, generation *stored.Generation) *group {
	g := newGroup(c, id, journal)
	g.mu.Lock() // from its alarms
	defer g.mu.Unlock()
	if generation != nil {
		g.restore(generation)
	}
	return g
}

// inMemory returns the groups that are held in memory, in no order.
func (c *Coordinator) inMemory() []*group {
	c.mu.Lock()
	defer c.mu.Unlock()
	groups := make([]*group, 0, len(c.mu.groups))
	for _, g := range c.mu.groups {
		groups = append(groups, g)
	}
	return groups
}

// forget takes a group that has died out of the map. The group's lock is held.
func (c *Coordinator) forget(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.groups[g.id] == g {
		delete(c.mu.groups, g.id)
	}
}
