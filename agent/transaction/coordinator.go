package transaction

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// Coordinator coordinates transactional ids for one term, and adds to transactions for
// whichever agent coordinates them.
type Coordinator struct {
	cfg   Config
	deps  Deps
	lanes []*lane // by journal
	ended ended
}

// New returns a Coordinator; Run starts it.
func New(cfg Config, deps Deps) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, deps: deps}
	for i := range cfg.Journals {
		c.lanes = append(c.lanes, newLane(c, i))
	}
	return c, nil
}

// Run serves until ctx ends, or until an append says that the term has ended.
func (c *Coordinator) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for _, l := range c.lanes {
		tasks.Go(func() error { return l.run(ctx) })
	}
	tasks.Go(func() error {
		c.sweepEvery(ctx)
		return nil
	})
	return tasks.Wait()
}

func (c *Coordinator) owns(journal int) bool { return c.deps.Owns == nil || c.deps.Owns(journal) }

func (c *Coordinator) lane(id string) *lane { return c.lanes[stored.Journal(id, c.cfg.Journals)] }

// owned returns the lane of an id that this agent coordinates.
func (c *Coordinator) owned(id string) (*lane, error) {
	l := c.lane(id)
	if !c.owns(l.journal) {
		return nil, ErrNotCoordinator
	}
	return l, nil
}

// judgementsMax bounds how often a request is judged anew, because what it would append was void.
const judgementsMax = 20

// do has a request judged and what comes of it appended, again if it was void. An answer
// without an append is given on a state that was read since.
func (l *lane) do(ctx context.Context, id string, judge func(s *stored.State) verdict) (Answer, error) {
	r, fresh := l.replica(), false
	for range judgementsMax {
		if err := r.Err(); err != nil {
			return Answer{}, unavailable(err)
		}
		var v verdict
		metastore.View(r, func(s *stored.State) { v = judge(s) })
		if v.settled() {
			if fresh || v.sure {
				return v.answer, v.err
			}
			if err := l.refresh(ctx); err != nil {
				return Answer{}, err
			}
			fresh = true
			continue
		}
		o, err := l.await(ctx, &request{id: id, judge: judge, left: func() bool { return ctx.Err() != nil }, done: make(chan outcome, 1)})
		switch {
		case err != nil:
			return Answer{}, err
		case errors.Is(o.err, metastore.ErrStopped):
			continue // A shard, maybe: it goes without that.
		case o.err != nil:
			return Answer{}, unavailable(o.err)
		case o.stood:
			if o.number != 0 {
				o.verdict.answer.Number = o.number
			}
			return o.verdict.answer, o.verdict.err
		case !o.verdict.settled():
			fresh = true // Void; its entry was folded behind what made it so.
		}
	}
	return Answer{}, fmt.Errorf("%w: the transactional id kept changing", ErrNotAvailable)
}

// await has a request go its way in the lane. If ctx ends and it is in an append, it may still.
func (l *lane) await(ctx context.Context, r *request) (outcome, error) {
	if err := l.submit(r); err != nil {
		return outcome{}, unavailable(err)
	}
	select {
	case o := <-r.done:
		return o, nil
	case <-ctx.Done():
		return outcome{}, unavailable(ctx.Err())
	}
}

// refresh brings the journal up to date.
func (l *lane) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.c.cfg.RefreshMax)
	defer cancel()
	if err := l.c.deps.Follower.Refresh(ctx, metastore.TransactionsJournal(l.journal)); err != nil {
		return unavailable(err)
	}
	return nil
}

// withProducerID calls try, and again with a producer id that nobody has if it needs one.
func withProducerID(ctx context.Context, newID func(ctx context.Context) (int64, error), try func(fresh int64) (Answer, error)) (Answer, error) {
	a, err := try(stored.None)
	if !errors.Is(err, errNeedsID) {
		return a, err
	}
	fresh, err := newID(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotAvailable, err)
	}
	return try(fresh)
}

// sweepEvery resumes, ends and removes what is due, until ctx ends.
func (c *Coordinator) sweepEvery(ctx context.Context) {
	resume, abort, expire := time.NewTicker(c.cfg.ResumeEvery), time.NewTicker(c.cfg.AbortEvery), time.NewTicker(c.cfg.ExpireEvery)
	defer resume.Stop()
	defer abort.Stop()
	defer expire.Stop()
	for {
		var due func(ctx context.Context, l *lane)
		select {
		case <-ctx.Done():
			return
		case <-resume.C:
			due = c.resume
		case <-abort.C:
			due = c.abortTimedOut
		case <-expire.C:
			due = c.removeIdle
		}
		for _, l := range c.lanes {
			if c.owns(l.journal) && l.replica().Err() == nil {
				due(ctx, l)
			}
		}
	}
}
