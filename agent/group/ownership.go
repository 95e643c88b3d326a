package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// holding is what a coordinator has of a journal.
type holding struct {
	held  bool          // its groups are this coordinator's
	taken bool          // those with members have been taken up
	ready chan struct{} // closed while held and read since
}

func (c *Coordinator) owns(journal int) bool { return c.deps.Owns == nil || c.deps.Owns(journal) }

func (c *Coordinator) settled(journal int) bool {
	return c.deps.Settled == nil || c.deps.Settled(journal)
}

// changed is closed when ownership may have changed; nil, which never is, if it can't.
func (c *Coordinator) changed() <-chan struct{} {
	if c.deps.Changed == nil {
		return nil
	}
	return c.deps.Changed()
}

// loadPause is the pause after a read of the journals that failed.
const loadPause = 100 * time.Millisecond

// own takes up and lets go of journals as they become this coordinator's and cease to
// be, and sweeps those that it has, until ctx ends.
func (c *Coordinator) own(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.SweepEvery)
	defer tick.Stop()
	trouble := metastore.Trouble{Log: c.deps.Log, Level: slog.LevelWarn, Begun: "groups can't be taken up: their clients wait", Over: "groups are taken up again"}
	for {
		changed := c.changed()
		var again <-chan time.Time
		if err := c.reconcile(ctx); err == nil {
			trouble.End()
		} else if ctx.Err() == nil {
			trouble.Meet(err)
			again = time.After(loadPause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		case <-c.regain:
		case <-tick.C:
			c.sweep(ctx)
		}
	}
}

// reconcile lets go of the journals that are this coordinator's no more and takes up
// those that have become so. What the journals hold is read first: it may be from another coordinator.
func (c *Coordinator) reconcile(ctx context.Context) error {
	var gained []int
	var journals []metastore.JournalID
	for i := range c.cfg.Journals {
		owned := c.owns(i)
		switch held := c.holds(i); {
		case held && !owned:
			c.letGo(i)
		case owned && !held:
			gained = append(gained, i)
			journals = append(journals, metastore.GroupsJournal(i))
		}
	}
	if len(gained) > 0 {
		if err := c.deps.Follower.Refresh(ctx, journals...); err != nil && !c.anyStopped(journals) {
			return fmt.Errorf("read the groups: %w", err)
		}
		if err := c.take(ctx, gained); err != nil {
			return fmt.Errorf("take the groups over: %w", err)
		}
		c.mu.Lock()
		for _, i := range gained {
			c.mu.journals[i].held = true
			close(c.mu.journals[i].ready)
		}
		c.mu.Unlock()
	}
	c.takeUp()
	return nil
}

// take has the journals say that their groups are this coordinator's: what another one has on
// its way there is void from then on.
func (c *Coordinator) take(ctx context.Context, journals []int) error {
	if c.deps.Level != nil && c.deps.Level() < metastore.LevelOf(metastore.EffectGroupsTaken) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWaitMax)
	defer cancel()
	landed := make(chan error, len(journals))
	left := 0
	for _, i := range journals {
		if c.replica(i).Err() != nil || c.isHolder(i) {
			continue
		}
		err := c.committer.submit(&job{journal: i, effect: stored.AppendTaken(nil), done: func(_ metastore.Version, _ any, err error) { landed <- err }})
		if err != nil {
			return err
		}
		left++
	}
	for range left {
		select {
		case err := <-landed:
			if err != nil && !errors.Is(err, metastore.ErrStopped) {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// isHolder tells whether the journal names this term as the one that has its groups.
func (c *Coordinator) isHolder(journal int) bool { return c.holder(journal) == c.deps.Writer.Term() }

func (c *Coordinator) holder(journal int) (holder metastore.Term) {
	metastore.View(c.replica(journal), func(s *stored.State) { holder = s.Holder() })
	return holder
}

// lost tells, of what was void, whether another coordinator has taken the groups. They are let go
// of then, and taken back if they are this coordinator's after all.
func (c *Coordinator) lost(journal int) bool {
	if holder := c.holder(journal); holder == 0 || holder == c.deps.Writer.Term() {
		return false
	}
	if c.holds(journal) {
		c.letGo(journal)
	}
	select {
	case c.regain <- struct{}{}:
	default:
	}
	return true
}

// anyStopped tells whether one of the journals has stopped: reading it will never succeed.
func (c *Coordinator) anyStopped(journals []metastore.JournalID) bool {
	for _, id := range journals {
		if c.deps.Follower.Replica(id).Err() != nil {
			return true
		}
	}
	return false
}

func (c *Coordinator) holds(journal int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.journals[journal].held
}

// takeUp takes up each generation with members of the journals that nobody else may
// still coordinate, and begins their sessions: a member that doesn't come back by then is removed.
func (c *Coordinator) takeUp() {
	groups, members := 0, 0
	for i := range c.cfg.Journals {
		c.mu.Lock()
		due := c.mu.journals[i].held && !c.mu.journals[i].taken
		c.mu.Unlock()
		if !due || !c.settled(i) {
			continue
		}
		generations := map[string]*stored.Generation{}
		metastore.View(c.replica(i), func(s *stored.State) {
			for _, id := range s.WithMembers() {
				generations[id] = s.Generation(id)
			}
		})
		c.mu.Lock()
		for id, generation := range generations {
			if !c.mu.resigned && c.mu.groups[id] == nil {
				c.mu.groups[id] = c.restored(id, i, generation)
				groups++
				members += len(generation.Members)
			}
		}
		c.mu.journals[i].taken = true
		c.mu.Unlock()
		g, m := c.loadConsumers(i)
		groups, members = groups+g, members+m
	}
	if groups > 0 {
		c.deps.Log.Info("groups go on with their generations", "groups", groups, "members", members)
	}
}

// letGo lets go of a journal that another agent coordinates now. The generations stand:
// members go on with them there.
func (c *Coordinator) letGo(journal int) {
	var groups []*group
	var consumers []*consumerGroup
	c.mu.Lock()
	c.mu.journals[journal] = holding{ready: make(chan struct{})}
	for id, g := range c.mu.groups {
		if g.journal == journal {
			groups = append(groups, g)
			delete(c.mu.groups, id)
		}
	}
	for id, g := range c.mu.consumers {
		if g.journal == journal {
			consumers = append(consumers, g)
			delete(c.mu.consumers, id)
		}
	}
	c.mu.Unlock()
	kill(groups, consumers)
	if n := len(groups) + len(consumers); n > 0 {
		c.deps.Log.Info("groups go on with another coordinator", "journal", metastore.GroupsJournal(journal), "groups", n)
	}
}

// kill answers what waits with ErrNotCoordinator.
func kill(groups []*group, consumers []*consumerGroup) {
	for _, g := range consumers {
		g.mu.Lock()
		g.die(ErrNotCoordinator)
		g.mu.Unlock()
	}
	for _, g := range groups {
		g.mu.Lock()
		if !g.dead {
			g.die(ErrNotCoordinator)
		}
		g.mu.Unlock()
	}
}

// await waits until the groups of a group's journal are taken up, and says which it is.
func (c *Coordinator) await(ctx context.Context, id string) (journal int, err error) {
	journal = stored.Journal(id, c.cfg.Journals)
	return journal, c.awaitJournal(ctx, journal)
}

func (c *Coordinator) awaitJournal(ctx context.Context, journal int) error {
	for {
		changed := c.changed()
		if !c.owns(journal) {
			return ErrNotCoordinator
		}
		c.mu.Lock()
		ready := c.mu.journals[journal].ready
		c.mu.Unlock()
		select {
		case <-ready:
			return nil
		default:
		}
		select {
		case <-ready:
			return nil
		case <-changed:
		case <-c.gone:
			return ErrNotCoordinator
		case <-ctx.Done():
			return refusal(ctx.Err())
		}
	}
}

// readWaitMax bounds the wait for what other agents have written.
const readWaitMax = 5 * time.Second

// Confirm reads what other agents may have written of some groups, and the catalog that
// names their topics: what Read, Describe and DescribeConsumer say afterwards is as new as
// this call, whoever else takes itself for the coordinator, and whoever does so by the
// time of those calls. Journals that have stopped are passed over; those calls tell of them.
func (c *Coordinator) Confirm(ctx context.Context, groups ...string) error {
	journals := make([]int, 0, len(groups))
	for _, id := range groups {
		journals = append(journals, stored.Journal(id, c.cfg.Journals))
	}
	return c.confirm(ctx, journals...)
}

func (c *Coordinator) confirm(ctx context.Context, journals ...int) error {
	if !c.deps.Shared {
		return nil
	}
	ids := []metastore.JournalID{metastore.CatalogJournal}
	for _, i := range journals {
		if c.replica(i).Err() == nil {
			ids = append(ids, metastore.GroupsJournal(i))
		}
	}
	if len(ids) == 1 {
		return nil
	}
	slices.Sort(ids)
	ctx, cancel := context.WithTimeout(ctx, readWaitMax)
	defer cancel()
	err := c.deps.Follower.Refresh(ctx, slices.Compact(ids)...)
	if err != nil && !errors.Is(err, metastore.ErrStopped) {
		return refusal(err)
	}
	return nil
}
