package transaction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// Answer is what a request came to.
type Answer struct {
	ProducerID int64
	Epoch      int16
	Number     uint64 // of the transaction
}

// verdict is what a request comes to on some state: what is to be appended for it or, if
// nothing is, what to answer.
type verdict struct {
	effect   []byte
	decision *stored.Decided     // its markers go along if they can
	finish   *stored.Transaction // Prepared: its markers, ends and completion are appended
	// Once what is to be appended stands, or at once if there is nothing.
	answer Answer
	err    error
	sure   bool // an answer without an append that no newer state would change
	// timedOut: the decision was made because the transaction's time was up.
	timedOut bool
}

// settled tells whether there is nothing to append.
func (v *verdict) settled() bool { return v.effect == nil && v.decision == nil && v.finish == nil }

// request is a wish about one id that waits for its lane.
type request struct {
	id    string
	judge func(s *stored.State) verdict // under the replica's lock: it must not block
	left  func() bool                   // whether nobody waits for it any more; nil: nobody does, and it is to be done
	alone bool                          // a strict append of it was refused: it goes without its markers
	done  chan outcome                  // has room for one
	own   bool                          // the coordinator's; of an id there is one in the queue
}

// outcome is what became of a request in its lane.
type outcome struct {
	verdict verdict
	stood   bool // what it appended
	number  uint64
	err     error // of the append, or because there was none
}

// lane is the way into one transactions journal: one append in flight, gathered from
// what waits.
type lane struct {
	c           *Coordinator
	journal     int
	wake        chan struct{}
	strictAfter time.Time         // of run: no strict append before it
	partly      map[string]uint64 // of run: transactions whose markers are appended but for those of stopped shards
	mu          struct {
		sync.Mutex
		queue  []*request
		own    map[string]bool // ids of the queue's own requests
		closed error
	}
}

func newLane(c *Coordinator, journal int) *lane {
	l := &lane{c: c, journal: journal, wake: make(chan struct{}, 1), partly: map[string]uint64{}}
	l.mu.own = map[string]bool{}
	return l
}

func (l *lane) replica() *metastore.Replica {
	return l.c.deps.Follower.Replica(metastore.TransactionsJournal(l.journal))
}

// submit queues a request; after an error nothing comes of it.
func (l *lane) submit(r *request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.mu.closed != nil:
		return l.mu.closed
	case len(l.mu.queue) >= l.c.cfg.QueueMax:
		return fmt.Errorf("%w: too many requests wait", ErrNotAvailable)
	}
	if r.own && l.mu.own[r.id] {
		return nil
	}
	l.putLocked(len(l.mu.queue), r)
	return nil
}

// putLocked puts requests into the queue, at a place of it.
func (l *lane) putLocked(at int, requests ...*request) {
	for _, r := range requests {
		if r.own {
			l.mu.own[r.id] = true
		}
	}
	l.mu.queue = slices.Insert(l.mu.queue, at, requests...)
	l.wakeUp()
}

// take empties the queue.
func (l *lane) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.mu.queue
	l.mu.queue, l.mu.own = nil, map[string]bool{}
	return queue
}

// putBack puts requests before all that has come since they were taken.
func (l *lane) putBack(requests []*request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.putLocked(0, requests...)
}

func (l *lane) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run appends until ctx ends, or the term does.
func (l *lane) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			l.close(fmt.Errorf("%w: %w", ErrNotCoordinator, context.Canceled))
			return nil
		case <-l.wake:
		}
		if err := l.flush(ctx); err != nil {
			l.close(err)
			return err
		}
	}
}

// close fails what waits, and whatever comes.
func (l *lane) close(err error) {
	l.mu.Lock()
	queue := l.mu.queue
	l.mu.queue, l.mu.closed = nil, err
	l.mu.Unlock()
	for _, r := range queue {
		r.done <- outcome{err: err}
	}
}

// flush appends what waits, as much of it as fits. Its error ends the term.
func (l *lane) flush(ctx context.Context) error {
	f := l.gather()
	for _, s := range f.settled {
		s.request.done <- outcome{verdict: s.verdict}
	}
	if len(f.drafts) == 0 {
		return nil
	}
	landed, err := l.c.deps.Writer.Append(ctx, f.list())
	var lost *metastore.StrictLostError
	switch {
	case errors.As(err, &lost):
		l.strictAfter = l.c.now().Add(l.c.cfg.StrictPause)
		l.again(f)
		return nil
	case err != nil:
		for _, s := range f.flying {
			s.request.done <- outcome{verdict: s.verdict, err: err}
		}
		if errors.Is(err, metastore.ErrTermEnded) || errors.Is(err, metastore.ErrUnknown) {
			return err
		}
		return nil
	}
	for _, s := range f.flying {
		o := outcome{verdict: s.verdict, stood: true}
		if s.effect >= 0 {
			switch came := landed.Parts[0].Outcomes[s.effect].(type) {
			case bool:
				o.stood = came
			case stored.Addition:
				o.stood, o.number = came.Stood, came.Number
			}
		}
		if o.stood {
			l.c.ended.count(&s.verdict)
		}
		if o.stood && s.prepared {
			l.finish(s.request.id)
		}
		s.request.done <- o
	}
	return nil
}

// again puts what a refused append was made of before all that waits.
func (l *lane) again(f *flight) {
	front := make([]*request, 0, len(f.flying))
	for _, s := range f.flying {
		s.request.alone = s.request.alone || s.strict
		front = append(front, s.request)
	}
	l.putBack(front)
}

// finish has a Prepared transaction's markers, ends and completion appended. Nobody waits for it:
// if it fails, it is resumed.
func (l *lane) finish(id string) {
	// After an error the term has ended or the queue is full: resume comes by.
	_ = l.submit(&request{id: id, own: true, done: make(chan outcome, 1), judge: func(s *stored.State) verdict {
		if t := s.Get(id); t != nil && t.Status.Prepared() {
			return verdict{finish: t}
		}
		return verdict{}
	}})
}
