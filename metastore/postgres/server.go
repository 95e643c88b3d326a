package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
)

// errMovedAgain: the caller tries again, as after any error.
var errMovedAgain = errors.New("the metastore has moved to yet another server")

// seenServer is what a Store knows of the Postgres that it talks to: which one was
// confirmed, and what was seen of its journals.
type seenServer struct {
	confirming chan struct{} // holds one: a confirmation at a time
	witness    metastore.Witness
	mu         struct {
		sync.Mutex
		known  string // the identity that was confirmed
		seen   metastore.Evidence
		term   metastore.Term                                  // the last begun here
		left   map[metastore.JournalID]metastore.LostTailError // of journals that the others went on with, after less than was seen here
		told   metastore.Evidence                              // what the server toldTo was told, which then waited for others
		toldTo string                                          // its identity
	}
}

func (s *seenServer) known() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.known
}

func (s *seenServer) saw(j metastore.JournalID, v metastore.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.seen.See(j, v)
}

// asked notes what the caller has: other agents may have told it of versions that
// were not read here.
func (s *seenServer) asked(positions []metastore.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range positions {
		if _, left := s.mu.left[p.Journal]; !left && p.After > 0 {
			s.mu.seen.See(p.Journal, p.After)
		}
	}
}

func (s *seenServer) begun(t metastore.Term) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.term = t
	s.mu.seen.LastTerm = max(s.mu.seen.LastTerm, t)
}

// take notes what a read saw. Of a journal that went on without this agent's
// newest entries the tail ends where that began, which stops its replica.
func (s *seenServer) take(t *metastore.Tail, after metastore.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lost, ok := s.mu.left[t.Journal]; ok && after > lost.Head {
		*t = metastore.Tail{Journal: t.Journal, Head: lost.Head, Lost: lost.Seen}
		return
	}
	if t.Lost == 0 {
		s.mu.seen.See(t.Journal, max(t.Head, after))
	}
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

// evidence is what this process has seen.
func (s *seenServer) evidence() (metastore.Term, metastore.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := metastore.Evidence{LastTerm: s.mu.seen.LastTerm}
	for j, v := range s.mu.seen.Seen {
		e.See(j, v)
	}
	return s.mu.term, e
}

// toldBefore is what this process told a server that waited for others then, if it
// did. Once they have gone on there, what was seen since is no evidence of what that
// server lacks: they push what they append.
func (s *seenServer) toldBefore(identity string) (metastore.Evidence, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.told, s.mu.toldTo == identity
}

// waits notes what a server was told that waits for others.
func (s *seenServer) waits(identity string, told metastore.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.told, s.mu.toldTo = told, identity
}

// confirmed notes the server that calls go on with, and what it had left.
func (s *seenServer) confirmed(identity string, left map[metastore.JournalID]metastore.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.known = identity
	from := s.mu.seen
	if s.mu.toldTo == identity {
		from = s.mu.told
	}
	s.mu.told, s.mu.toldTo = metastore.Evidence{}, ""
	for j, v := range from.Seen {
		if head := left[j]; v > head {
			if s.mu.left == nil {
				s.mu.left = map[metastore.JournalID]metastore.LostTailError{}
			}
			s.mu.left[j] = metastore.LostTailError{Journal: j, Head: head, Seen: v}
			delete(s.mu.seen.Seen, j)
		}
	}
}

// MovedError says that the database is another server, or another timeline, than
// before, and that agents whose terms live have not yet said what they had seen.
type MovedError struct {
	To      string
	Waiting []int64 // terms
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("the metastore has moved to the server %s; nothing is appended before the live terms %v have said what they had seen, or expired", e.To, e.Waiting)
}

// Witness has w asked, beside what this process has seen, whenever the database is
// another server than before. Call it before the first other call.
func (s *Store) Witness(w metastore.Witness) { s.server.witness = w }

const meetSQL = `select identity from wadi.server`

// meet learns which server was confirmed last.
func (s *Store) meet(ctx context.Context) error {
	s.server.confirming = make(chan struct{}, 1)
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
		_, settled, err := s.readOnce(ctx, []metastore.Position{{Journal: metastore.CatalogJournal}}, []int32{int32(metastore.CatalogJournal)}, []int64{0}, 1)
		if err != nil || settled {
			return err
		}
		var moved *MovedError
		if err := s.confirm(ctx); err != nil && !errors.As(err, &moved) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePause):
		}
	}
}

const settledSQL = `select wadi.here(s.by_start), wadi.settled(null) from wadi.server s where s.one`

const confirmSQL = `select outcome, identity, waiting, journals, heads from wadi.confirm($1, $2, $3, $4)`

// confirm tells a server that is another than before what was seen on that one. It
// returns nil once calls may go on.
func (s *Store) confirm(ctx context.Context) error {
	select {
	case s.server.confirming <- struct{}{}:
		defer func() { <-s.server.confirming }()
	case <-ctx.Done():
		return ctx.Err()
	}
	term, evidence := s.server.evidence()
	var bucket metastore.Evidence
	if s.server.witness != nil {
		var err error
		if bucket, err = s.server.witness(ctx); err != nil {
			return fmt.Errorf("the metastore has moved to another server; compare it with the bucket: %w", err)
		}
	}
	// Asked for after both: once the others have confirmed this server, they tell also
	// of what was appended there since.
	var here string
	var settled bool
	if err := s.pool.QueryRow(ctx, s.sql[settledSQL]).Scan(&here, &settled); err != nil {
		return failed(ctx, s.pool, "ask whether the metastore's server is confirmed", err)
	}
	if told, ok := s.server.toldBefore(here); settled && ok {
		evidence = told
	} else if !settled {
		for j, v := range bucket.Seen {
			evidence.See(j, v)
		}
		evidence.LastTerm = max(evidence.LastTerm, bucket.LastTerm)
	}
	journals, versions := s.columns(evidence)
	var outcome, identity string
	var waiting, heads []int64
	var all []int32
	err := s.pool.QueryRow(ctx, s.sql[confirmSQL], int64(term), journals, versions, int64(evidence.LastTerm)).
		Scan(&outcome, &identity, &waiting, &all, &heads)
	if err != nil {
		return failed(ctx, s.pool, "confirm the metastore's server", err)
	}
	if outcome == "waiting" {
		if identity == here {
			s.server.waits(identity, evidence)
		}
		return &MovedError{To: identity, Waiting: waiting}
	}
	left := make(map[metastore.JournalID]metastore.Version, len(all))
	for i, j := range all {
		left[metastore.JournalID(j)] = metastore.Version(heads[i])
	}
	if s.server.known() != identity { // not by another call meanwhile
		s.server.confirmed(identity, left)
	}
	return nil
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

var _ metastore.LostTails = (*Store)(nil)

const lostNowSQL = `select wadi.lost_now($1, $2, $3)`

// MarkLost implements metastore.LostTails.
func (s *Store) MarkLost(ctx context.Context, e metastore.Evidence) (marked int, err error) {
	journals, versions := s.columns(e)
	if err := s.pool.QueryRow(ctx, s.sql[lostNowSQL], journals, versions, int64(e.LastTerm)).Scan(&marked); err != nil {
		return 0, failed(ctx, s.pool, "mark journals that lost their tails", err)
	}
	return marked, nil
}

const lostTailsSQL = `select journal, head, seen, terms, found_at from wadi.lost_tails where recovered_at is null order by journal`

// LostTails implements metastore.LostTails.
func (s *Store) LostTails(ctx context.Context) ([]metastore.LostTail, error) {
	rows, err := s.pool.Query(ctx, s.sql[lostTailsSQL])
	if err != nil {
		return nil, failed(ctx, s.pool, "list lost tails", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l metastore.LostTail, err error) {
		var journal int32
		var head, seen int64
		var terms []int64
		err = row.Scan(&journal, &head, &seen, &terms, &l.FoundAt)
		l.Journal, l.Head, l.Seen = metastore.JournalID(journal), metastore.Version(head), metastore.Version(seen)
		for _, t := range terms {
			l.Terms = append(l.Terms, metastore.Term(t))
		}
		return l, err
	})
}

const recoverTailSQL = `with held as (select journal from wadi.journals where journal = $1 for no key update)
	update wadi.lost_tails l set recovery = $2 from held where l.journal = held.journal and l.recovered_at is null`

// RecoverTail implements metastore.LostTails.
func (s *Store) RecoverTail(ctx context.Context, term metastore.Term, journal metastore.JournalID) error {
	return s.changeMark(ctx, recoverTailSQL, term, journal)
}

const tailRecoveredSQL = `with held as (select journal from wadi.journals where journal = $1 for no key update)
	update wadi.lost_tails l set recovered_at = clock_timestamp() from held
	where l.journal = held.journal and l.recovered_at is null and l.recovery = $2`

// TailRecovered implements metastore.LostTails.
func (s *Store) TailRecovered(ctx context.Context, term metastore.Term, journal metastore.JournalID) error {
	return s.changeMark(ctx, tailRecoveredSQL, term, journal)
}

func (s *Store) changeMark(ctx context.Context, sql string, term metastore.Term, journal metastore.JournalID) error {
	done, err := s.pool.Exec(ctx, s.sql[sql], int32(journal), int64(term))
	if err != nil {
		return failed(ctx, s.pool, fmt.Sprintf("recover %v", journal), err)
	}
	if done.RowsAffected() == 0 {
		return fmt.Errorf("%v has no lost tail that term %d recovers", journal, term)
	}
	return nil
}
