package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// errMoved: the database is another server than when the call began, or may be. The
// call's outcome is unknown; the caller tries again, as after any error.
var errMoved = errors.New("the metastore has moved to another server meanwhile")

// seenServer is what a Store knows of the Postgres that it talks to: which one was
// confirmed, and what was seen of its journals.
//
// What is seen counts only if it was seen on the known server and before there was a
// doubt of that: by then it is told to the next one. What comes later, a read's
// or an append's answer or an entry that another agent pushed, is dropped. So no
// replica holds, and no client was told, anything that the next server is not asked for,
// and what another agent appended there is never taken for something that it lost.
type seenServer struct {
	confirming chan struct{} // holds one: a confirmation at a time
	witness    metastore.Witness
	lifetime   context.Context // of the looks at the bucket
	close      func()
	looks      sync.WaitGroup
	mu         struct {
		sync.Mutex
		known string // the identity that was confirmed
		sight uint64 // rises when known changes and when a doubt of it comes
		doubt bool   // a call met another server
		seen  metastore.Evidence
		term  metastore.Term                                  // the last begun here
		left  map[metastore.JournalID]metastore.LostTailError // of journals that the others went on with, after less than was seen here
		asked *bucketAsked
	}
}

// look returns the known server, by which a call goes out and its answer is taken.
func (s *seenServer) look() (known string, sight uint64, doubt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.known, s.mu.sight, s.mu.doubt
}

// doubted notes that a call met another server than the known one.
func (s *seenServer) doubted(sight uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sight == sight {
		s.mu.doubt = true
		s.mu.sight++
	}
}

// appended notes what an append that went out at a sight has got.
func (s *seenServer) appended(sight uint64, journals []int32, versions []metastore.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sight != sight {
		return errMoved
	}
	for i, v := range versions {
		s.mu.seen.See(metastore.JournalID(journals[i]), v)
	}
	return nil
}

// pushed notes an entry that another agent appended on a server. It returns whether
// the entry may be folded: it is of the known server, which is not in doubt.
func (s *seenServer) pushed(origin string, j metastore.JournalID, v metastore.Version) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, left := s.mu.left[j]; left || s.mu.doubt || origin != s.mu.known {
		return false
	}
	s.mu.seen.See(j, v)
	return true
}

func (s *seenServer) begun(sight uint64, t metastore.Term) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sight != sight {
		return errMoved
	}
	s.mu.term = t
	s.mu.seen.LastTerm = max(s.mu.seen.LastTerm, t)
	return nil
}

// take notes what a read saw. Of a journal that went on without this agent's
// newest entries the tail ends where that began, which stops its replica.
func (s *seenServer) take(sight uint64, tails []metastore.Tail, asked []metastore.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sight != sight {
		return errMoved
	}
	for i := range tails {
		t := &tails[i]
		if lost, ok := s.mu.left[t.Journal]; ok && asked[i].After > lost.Head {
			*t = metastore.Tail{Journal: t.Journal, Head: lost.Head, Lost: lost.Seen}
		} else if t.Lost == 0 {
			s.mu.seen.See(t.Journal, t.Head)
		}
	}
	return nil
}

// diverged refuses appends to journals that went on without what was seen here.
func (s *seenServer) diverged(journals []int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range journals {
		if lost, ok := s.mu.left[metastore.JournalID(j)]; ok {
			return &lost
		}
	}
	return nil
}

// evidence is what this process has seen on the known server.
func (s *seenServer) evidence() (metastore.Term, metastore.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := metastore.Evidence{LastTerm: s.mu.seen.LastTerm}
	for j, v := range s.mu.seen.Seen {
		e.See(j, v)
	}
	return s.mu.term, e
}

// trust ends a doubt: the server is the known one after all.
func (s *seenServer) trust() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.doubt = false
	s.mu.sight++
}

// confirmed notes the server that calls go on with, and what the journals were left
// with since the one before. What that held goes on to be evidence.
func (s *seenServer) confirmed(identity string, left map[metastore.JournalID]metastore.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.known, s.mu.doubt = identity, false
	s.mu.sight++
	s.mu.asked = nil
	for j, v := range s.mu.seen.Seen {
		if head, ok := left[j]; ok && v > head {
			if s.mu.left == nil {
				s.mu.left = map[metastore.JournalID]metastore.LostTailError{}
			}
			s.mu.left[j] = metastore.LostTailError{Journal: j, Head: head, Seen: v}
			delete(s.mu.seen.Seen, j)
		}
	}
}

// bucketAsked is one look at the bucket, which any call may wait for: it may take
// longer than any of them.
type bucketAsked struct {
	of       string // the server that was not confirmed when it began
	done     chan struct{}
	evidence metastore.Evidence
	err      error
}

// ask returns the look at the bucket for a server, which is begun unless it has been.
// One that failed is begun again.
func (s *seenServer) ask(here string) *bucketAsked {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.mu.asked; a != nil && a.of == here {
		select {
		case <-a.done:
			if a.err == nil {
				return a
			}
		default:
			return a
		}
	}
	a := &bucketAsked{of: here, done: make(chan struct{})}
	s.mu.asked = a
	s.looks.Go(func() {
		defer close(a.done)
		a.evidence, a.err = s.witness(s.lifetime)
	})
	return a
}

// MovedError says that the database is another server, or another timeline, than
// before, and that agents whose terms live have not yet said what they had seen.
type MovedError struct {
	To      string
	Waiting []int64 // terms; 0 is the bucket
}

func (e *MovedError) Error() string {
	if len(e.Waiting) > 0 && e.Waiting[0] == theBucket {
		return fmt.Sprintf("the metastore has moved to the server %s; nothing is appended before one agent has compared it with the bucket, and the live terms %v have said what they had seen, or expired", e.To, e.Waiting[1:])
	}
	return fmt.Sprintf("the metastore has moved to the server %s; nothing is appended before the live terms %v have said what they had seen, or expired", e.To, e.Waiting)
}

// Witness has w asked, beside what this process has seen, whenever the database is
// another server than before. Call it before the first other call.
func (s *Store) Witness(w metastore.Witness) { s.server.witness = w }

var _ metastore.Mover = (*Store)(nil)

// Origin implements metastore.Mover.
func (s *Store) Origin() string {
	known, _, _ := s.server.look()
	return known
}

// Pushed implements metastore.Mover.
func (s *Store) Pushed(origin string, j metastore.JournalID, v metastore.Version) bool {
	return s.server.pushed(origin, j, v)
}

const meetSQL = `select identity from wadi.server`

// meet learns which server was confirmed last.
func (s *Store) meet(ctx context.Context) error {
	s.server.confirming = make(chan struct{}, 1)
	s.server.lifetime, s.server.close = context.WithCancel(context.Background())
	var identity string
	if err := s.pool.QueryRow(ctx, s.sql[meetSQL]).Scan(&identity); err != nil {
		return fmt.Errorf("read which server was confirmed: %w", err)
	}
	s.server.confirmed(identity, nil)
	return nil
}

// settlePause is between two looks whether the others have confirmed a server, too.
const settlePause = 200 * time.Millisecond

// Settle returns once the server is one that all live agents have confirmed.
func (s *Store) Settle(ctx context.Context) error {
	for {
		_, sight, _ := s.server.look()
		s.server.doubted(sight)
		err := s.confirm(ctx)
		var moved *MovedError
		if !errors.As(err, &moved) && !errors.Is(err, errMoved) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePause):
		}
	}
}

// sighted returns the server that a call goes out to, once there is no doubt of it.
func (s *Store) sighted(ctx context.Context) (known string, sight uint64, err error) {
	known, sight, doubt := s.server.look()
	if doubt {
		if err := s.confirm(ctx); err != nil {
			return "", 0, err
		}
		if known, sight, doubt = s.server.look(); doubt {
			return "", 0, errMoved
		}
	}
	return known, sight, nil
}

const settledSQL = `select wadi.here(s.by_start), wadi.settled(null) from wadi.server s where s.one`

// where asks which server this is, and whether the others have confirmed it.
func (s *Store) where(ctx context.Context) (here string, settled bool, err error) {
	if err := s.pool.QueryRow(ctx, s.sql[settledSQL]).Scan(&here, &settled); err != nil {
		return "", false, failed(ctx, s.pool, "ask whether the metastore's server is confirmed", err)
	}
	return here, settled, nil
}

const confirmSQL = `select outcome, identity, waiting, journals, heads from wadi.confirm($1, $2, $3, $4, $5, $6)`

// confirm ends a doubt: it tells a server that is another than before what was seen on
// that one. It returns nil once calls may go on.
func (s *Store) confirm(ctx context.Context) error {
	select {
	case s.server.confirming <- struct{}{}:
		defer func() { <-s.server.confirming }()
	case <-ctx.Done():
		return ctx.Err()
	}
	known, _, doubt := s.server.look()
	if !doubt {
		return nil // another call has ended it
	}
	here, settled, err := s.where(ctx)
	if err != nil {
		return err
	}
	if settled && here == known {
		s.server.trust()
		return nil
	}
	term, evidence := s.server.evidence()
	err = s.report(ctx, known, term, evidence, s.server.witness == nil)
	var moved *MovedError
	if !errors.As(err, &moved) || moved.Waiting[0] != theBucket {
		return err
	}
	// The others need not wait for this agent's look at the bucket, nor it for theirs.
	bucket, err := s.askBucket(ctx, here)
	if err != nil {
		return err
	}
	for j, v := range bucket.Seen {
		evidence.See(j, v)
	}
	evidence.LastTerm = max(evidence.LastTerm, bucket.LastTerm)
	return s.report(ctx, known, term, evidence, true)
}

// theBucket stands among the terms that have said what they had seen. Persisted.
const theBucket = 0

// report tells a server what was seen on the known one; bucket says that this is also
// what the bucket shows.
func (s *Store) report(ctx context.Context, known string, term metastore.Term, evidence metastore.Evidence, bucket bool) error {
	journals, versions := s.columns(evidence)
	var outcome, identity string
	var waiting, heads []int64
	var all []int32
	err := s.pool.QueryRow(ctx, s.sql[confirmSQL], known, int64(term), bucket, journals, versions, int64(evidence.LastTerm)).
		Scan(&outcome, &identity, &waiting, &all, &heads)
	if err != nil {
		return failed(ctx, s.pool, "confirm the metastore's server", err)
	}
	if outcome == "waiting" {
		return &MovedError{To: identity, Waiting: waiting}
	}
	left := make(map[metastore.JournalID]metastore.Version, len(all))
	for i, j := range all {
		left[metastore.JournalID(j)] = metastore.Version(heads[i])
	}
	s.server.confirmed(identity, left)
	return nil
}

// askBucket returns what the bucket tells of the journals, if all of it is from before
// a server was confirmed. Once the others have confirmed it, the bucket tells also of
// what was appended there since: then nothing is returned.
func (s *Store) askBucket(ctx context.Context, here string) (metastore.Evidence, error) {
	asked := s.server.ask(here)
	select {
	case <-asked.done:
	case <-ctx.Done():
		return metastore.Evidence{}, fmt.Errorf("the metastore has moved to another server; compare it with the bucket: %w", ctx.Err())
	}
	if asked.err != nil {
		return metastore.Evidence{}, fmt.Errorf("the metastore has moved to another server; compare it with the bucket: %w", asked.err)
	}
	again, settled, err := s.where(ctx)
	switch {
	case err != nil:
		return metastore.Evidence{}, err
	case again != here:
		return metastore.Evidence{}, errMoved
	case settled:
		return metastore.Evidence{}, nil
	}
	return asked.evidence, nil
}

// columns are the evidence's versions, of journals that there are.
func (s *Store) columns(e metastore.Evidence) (journals []int32, versions []int64) {
	journals, versions = []int32{}, []int64{}
	for j, v := range e.Seen {
		if s.cluster.Has(j) {
			journals, versions = append(journals, int32(j)), append(versions, int64(v))
		}
	}
	return journals, versions
}
