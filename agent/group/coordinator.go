package group

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// Coordinator coordinates groups for one term.
type Coordinator struct {
	cfg         Config
	deps        Deps
	committer   *committer
	loaded      chan struct{} // closed once the stable generations have been taken up
	gone        chan struct{} // closed once it has resigned
	memberBytes atomic.Int64  // of the protocols of all members
	mu          struct {
		sync.Mutex
		groups    map[string]*group
		consumers map[string]*consumerGroup // with members, or about to have some
		resigned  bool
	}
}

// New returns a Coordinator; Run starts it.
func New(cfg Config, deps Deps) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, deps: deps, loaded: make(chan struct{}), gone: make(chan struct{}),
		committer: newCommitter(deps.Writer, deps.Follower, pace{every: cfg.AppendEvery, burst: cfg.AppendBurst})}
	c.mu.groups, c.mu.consumers = map[string]*group{}, map[string]*consumerGroup{}
	return c, nil
}

// Run takes up the groups that the journals hold and serves until ctx ends, or until
// an append says that the term has ended.
func (c *Coordinator) Run(ctx context.Context) error {
	defer c.Resign()
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return c.committer.run(ctx) })
	tasks.Go(func() error {
		if !c.load(ctx) {
			return nil
		}
		return c.sweepEvery(ctx)
	})
	return tasks.Wait()
}

// loadPause is the pause after a read of the journals that failed.
const loadPause = 100 * time.Millisecond

// load takes up each stable generation with members as the newest entries have it, and begins
// their sessions: a member that doesn't come back by then is removed.
func (c *Coordinator) load(ctx context.Context) bool {
	journals := make([]metastore.JournalID, c.cfg.Journals)
	for i := range journals {
		journals[i] = metastore.GroupsJournal(i)
	}
	for {
		err := c.deps.Follower.Refresh(ctx, journals...)
		if err == nil || c.anyStopped() {
			break
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(loadPause):
		}
	}
	members := 0
	for i := range journals {
		if !c.owns(i) {
			continue
		}
		generations := map[string]*stored.Generation{}
		metastore.View(c.replica(i), func(s *stored.State) {
			for _, id := range s.WithMembers() {
				generations[id] = s.Generation(id)
			}
		})
		for id, generation := range generations {
			c.mu.Lock()
			if !c.mu.resigned {
				c.mu.groups[id] = c.restored(id, i, generation)
			}
			c.mu.Unlock()
			members += len(generation.Members)
		}
		members += c.loadConsumers(i)
	}
	close(c.loaded)
	c.mu.Lock()
	groups := len(c.mu.groups) + len(c.mu.consumers)
	c.mu.Unlock()
	if groups > 0 {
		c.deps.Log.Info("groups go on with their generations", "groups", groups, "members", members)
	}
	return true
}

// anyStopped tells whether a groups journal has stopped: reading it will never succeed.
func (c *Coordinator) anyStopped() bool {
	for i := range c.cfg.Journals {
		if c.replica(i).Err() != nil {
			return true
		}
	}
	return false
}

func (c *Coordinator) replica(journal int) *metastore.Replica {
	return c.deps.Follower.Replica(metastore.GroupsJournal(journal))
}

func (c *Coordinator) owns(journal int) bool { return c.deps.Owns == nil || c.deps.Owns(journal) }

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
	for _, g := range consumers {
		g.mu.Lock()
		g.die(ErrNotCoordinator)
		g.mu.Unlock()
	}
	for _, g := range groups {
		g.mu.Lock()
		g.die(ErrNotCoordinator)
		g.mu.Unlock()
	}
}

// await waits until the groups are taken up, and says in which journal a group lies.
func (c *Coordinator) await(ctx context.Context, id string) (journal int, err error) {
	journal = stored.Journal(id, c.cfg.Journals)
	if !c.owns(journal) {
		return journal, ErrNotCoordinator
	}
	return journal, c.awaitLoad(ctx)
}

func (c *Coordinator) awaitLoad(ctx context.Context) error {
	select {
	case <-c.loaded:
		return nil
	default:
	}
	select {
	case <-c.loaded:
		return nil
	case <-c.gone:
		return ErrNotCoordinator
	case <-ctx.Done():
		return refusal(ctx.Err())
	}
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
	if c.mu.resigned {
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
