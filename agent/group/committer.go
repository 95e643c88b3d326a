package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// job is one effect on its way into a groups journal.
type job struct {
	journal int
	effect  []byte
	// done is told, on the committer's goroutine, in which version the effect was
	// folded and what it came to. It must not block.
	done func(version metastore.Version, outcome any, err error)
}

// committer appends the effects of all groups, gathered: one append in flight, over
// as many of the groups journals as have something to say.
type committer struct {
	writer   Writer
	follower Follower
	budget   pace
	wake     chan struct{}
	mu       struct {
		sync.Mutex
		queue  []*job // in order; bounded by what waits for it
		closed error
	}
}

func newCommitter(w Writer, f Follower, p pace) *committer {
	return &committer{writer: w, follower: f, budget: p, wake: make(chan struct{}, 1)}
}

// submit queues a job; after an error done is not called. Jobs of one journal land in
// the order they were submitted.
func (c *committer) submit(j *job) error {
	if len(j.effect) > effectsBytesMax {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(j.effect))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed != nil {
		return c.mu.closed
	}
	c.mu.queue = append(c.mu.queue, j)
	c.wakeUp()
	return nil
}

func (c *committer) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// effectsBytesMax bounds the effects of one entry, in bytes.
const effectsBytesMax = metastore.EntryBytesMax - metastore.HeaderBytesMax

// pace is a budget of appends: one each every, and a burst of those that were spared.
type pace struct {
	every time.Duration
	burst int
	spent time.Time // the budget is spent up to then
}

// wait says how long the next append is to wait, and spends its part of the budget.
func (p *pace) wait(now time.Time) time.Duration {
	if spared := now.Add(-time.Duration(p.burst) * p.every); p.spent.Before(spared) {
		p.spent = spared
	}
	p.spent = p.spent.Add(p.every)
	return max(p.spent.Sub(now), 0)
}

// run appends until ctx ends, or the term does.
func (c *committer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			c.close(fmt.Errorf("%w: %w", ErrNotCoordinator, context.Canceled))
			return nil
		case <-c.wake:
		}
		select {
		case <-ctx.Done():
			c.close(fmt.Errorf("%w: %w", ErrNotCoordinator, context.Canceled))
			return nil
		case <-time.After(c.budget.wait(time.Now())):
		}
		if err := c.flush(ctx); err != nil {
			c.close(err)
			return err
		}
	}
}

// close fails what waits, and whatever comes.
func (c *committer) close(err error) {
	c.mu.Lock()
	queue := c.mu.queue
	c.mu.queue, c.mu.closed = nil, err
	c.mu.Unlock()
	for _, j := range queue {
		j.done(0, nil, err)
	}
}

// entry is what one append adds to one journal.
type entry struct {
	draft metastore.Draft
	jobs  []*job
}

// flush appends what is queued, as much of each journal as an entry holds. Its error ends the term.
func (c *committer) flush(ctx context.Context) error {
	entries := c.gather()
	if len(entries) == 0 {
		return nil
	}
	drafts := make([]metastore.Draft, len(entries))
	for i, e := range entries {
		drafts[i] = e.draft
	}
	landed, err := c.writer.Append(ctx, drafts)
	for i, e := range entries {
		for k, j := range e.jobs {
			if err != nil {
				j.done(0, nil, err)
				continue
			}
			j.done(landed.Parts[i].Version, landed.Parts[i].Outcomes[k], nil)
		}
	}
	if errors.Is(err, metastore.ErrTermEnded) || errors.Is(err, metastore.ErrUnknown) {
		return err
	}
	return nil
}

// gather takes from the queue, in order, the jobs of the next append.
func (c *committer) gather() []*entry {
	c.mu.Lock()
	queue := c.mu.queue
	c.mu.queue = nil
	var entries []*entry
	byJournal := map[int]*entry{}
	full := map[int]bool{}
	var stopped []*job
	for _, j := range queue {
		id := metastore.GroupsJournal(j.journal)
		e := byJournal[j.journal]
		switch {
		case full[j.journal] || e != nil && len(e.draft.Effects)+len(j.effect) > effectsBytesMax:
			full[j.journal] = true
			c.mu.queue = append(c.mu.queue, j)
			continue
		case e == nil && c.follower.Replica(id).Err() != nil:
			stopped = append(stopped, j)
			continue
		case e == nil:
			e = &entry{draft: metastore.Draft{Journal: id}}
			byJournal[j.journal] = e
			entries = append(entries, e)
		}
		e.draft.Effects = append(e.draft.Effects, j.effect...)
		e.jobs = append(e.jobs, j)
	}
	if len(c.mu.queue) > 0 {
		c.wakeUp()
	}
	c.mu.Unlock()
	for _, j := range stopped {
		j.done(0, nil, c.follower.Replica(metastore.GroupsJournal(j.journal)).Err())
	}
	return entries
}
