package simulation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// standby is the server that takes the metastore's place when that fails over. It is synchronous: nothing is
// acknowledged, and no news are read, that it lacks (metastore/postgres: wadi.prove). While it is away, commits whose
// wait is cut off are there for whoever looks, and lost if it takes over.
type standby struct {
	mu struct {
		sync.Mutex
		has   *memory.Mark                          // while it is away; nil: it has everything
		moves int                                   // times that it took over
		told  map[metastore.Term]metastore.TermInfo // what was known of terms, and lost when it took over
	}
}

// errStandby is what a call gets whose commit, or whose proof, waited for the standby until its connection broke.
var errStandby = errors.New("simulated: the connection was lost: the standby is away")

// termsMax bounds the terms of a seed that are looked at.
const termsMax = 500

// standbyWaitMax bounds how long a call waits for the standby.
const standbyWaitMax = 3 * time.Second

// leave begins the time in which the standby gets nothing; false if it has begun.
func (s *standby) leave(store *memory.Store) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.has != nil {
		return false
	}
	s.mu.has = store.Mark()
	return true
}

// back ends it. If the standby takes over, all that it did not get is lost.
func (s *standby) back(store *memory.Store, takesOver bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if takesOver {
		s.keepTermsLocked(store)
		store.Return(s.mu.has)
		s.mu.moves++
	}
	s.mu.has = nil
}

// keepTermsLocked remembers what agents said of terms, or saw of them: it is true, although it is lost.
func (s *standby) keepTermsLocked(store *memory.Store) {
	all := make([]metastore.Term, termsMax)
	for i := range all {
		all[i] = metastore.Term(i + 1)
	}
	infos, err := store.Terms(context.Background(), all...)
	if err != nil {
		return
	}
	if s.mu.told == nil {
		s.mu.told = map[metastore.Term]metastore.TermInfo{}
	}
	for _, t := range infos {
		was := s.mu.told[t.Term]
		t.Ended, t.Settled = t.Ended || was.Ended, max(t.Settled, was.Settled)
		s.mu.told[t.Term] = t
	}
}

// known returns a term as it was known before the standby took over, too.
func (s *standby) known(t metastore.TermInfo) metastore.TermInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.mu.told[t.Term]
	t.Ended, t.Settled = t.Ended || was.Ended, max(t.Settled, was.Settled)
	return t
}

func (s *standby) away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.has != nil
}

func (s *standby) moves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.moves
}

// write asks the store for a change.
func write[T any](ctx context.Context, l *storeLink, what string, request func(context.Context) (T, error)) (T, error) {
	w := l.gate.world
	sentTo := w.standby.moves()
	answer, err := ask(ctx, l.gate, what, commitMin, commitSpread, func(ctx context.Context) (T, error) {
		var none T
		switch {
		case w.standby.moves() != sentTo:
			return none, errLink // it was sent to a server that is no more
		case !w.standby.away():
			return request(ctx)
		}
		// Half of them wait behind another's lock, and never run.
		if l.gate.chance(0.5) {
			answer, err := request(ctx)
			w.note("not on the standby", "%s: %s (%v)", l.gate.host, what, err)
			if err != nil {
				return answer, err // a refusal waits for nothing
			}
		}
		return none, errStandby
	})
	return answer, l.waited(ctx, err)
}

// waited returns an error after as long as it took to come.
func (l *storeLink) waited(ctx context.Context, err error) error {
	if errors.Is(err, errStandby) {
		if err := l.gate.sleep(ctx, l.gate.between(0, standbyWaitMax)); err != nil {
			return err
		}
	}
	return err
}

// change is write of what answers nothing.
func (l *storeLink) change(ctx context.Context, what string, request func(context.Context) error) error {
	_, err := write(ctx, l, what, func(ctx context.Context) (struct{}, error) { return struct{}{}, request(ctx) })
	return err
}

// prove asks the store for what must not be lost afterwards: if there is any, the answer waits for the standby.
func prove[T any](ctx context.Context, l *storeLink, what string, any func(T) bool, request func(context.Context) (T, error)) (T, error) {
	answer, err := ask(ctx, l.gate, what, queryMin, querySpread, func(ctx context.Context) (T, error) {
		answer, err := request(ctx)
		if err == nil && l.gate.world.standby.away() && any(answer) {
			var none T
			return none, errStandby
		}
		return answer, err
	})
	return answer, l.waited(ctx, err)
}

// news tells whether a read found anything new.
func news(positions []metastore.Position) func([]metastore.Tail) bool {
	return func(tails []metastore.Tail) bool {
		for i, t := range tails {
			if t.Head > positions[i].After {
				return true
			}
		}
		return false
	}
}
