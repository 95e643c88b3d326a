package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

var _ metastore.LostTails = (*Store)(nil)

const lostSQL = `select head, seen from lost_tails where journal = ? and recovered_at is null and recovery is not ?`

// checkTail refuses a journal that lost its tail, but to the term that recovers it.
func (t *writeTx) checkTail(j metastore.JournalID, term metastore.Term) error {
	lost := &metastore.LostTailError{Journal: j}
	switch err := t.row(lostSQL, j, term).Scan(&lost.Head, &lost.Seen); {
	case err == nil:
		return lost
	case errors.Is(err, sql.ErrNoRows):
		return nil
	default:
		return fmt.Errorf("look whether %v lost its tail: %w", j, err)
	}
}

const liveTermsSQL = `select coalesce(json_group_array(term), '[]') from (select term from terms indexed by terms_node where ended_at is null order by node)`

const markLostSQL = `insert into lost_tails (journal, head, seen, terms, found_at) values (?, ?, ?, ?, ?)
	on conflict (journal) do update set
		head = iif(recovered_at is null, head, excluded.head),
		terms = iif(recovered_at is null, terms, excluded.terms),
		found_at = iif(recovered_at is null, found_at, excluded.found_at),
		recovery = iif(recovered_at is null, recovery, null),
		seen = excluded.seen, recovered_at = null
	where recovered_at is not null or seen < excluded.seen`

const lostTermSQL = `insert into terms (term, node, process, zone, kafka_host, kafka_port, begun_at, expires_at, ended_at)
	values (?1, 1, 'lost', '', '', 0, ?2, ?2, ?2)`

// MarkLost implements metastore.LostTails.
func (s *Store) MarkLost(ctx context.Context, e metastore.Evidence) (marked int, err error) {
	err = s.write(ctx, "mark journals that lost their tails", func(tx *writeTx) error {
		var last metastore.Term
		if err := tx.row(lastTermSQL).Scan(&last); err != nil {
			return err
		}
		var text string
		if err := tx.row(liveTermsSQL).Scan(&text); err != nil {
			return err
		}
		var terms []metastore.Term
		if err := json.Unmarshal([]byte(text), &terms); err != nil {
			return err
		}
		for t := last + 1; t <= e.LastTerm; t++ {
			terms = append(terms, t)
		}
		list, err := json.Marshal(terms)
		if err != nil {
			return err
		}
		for _, j := range s.cluster.Journals() {
			head, err := tx.head(j)
			if err != nil {
				return err
			}
			if e.Seen[j] <= head {
				continue
			}
			n, err := tx.exec(markLostSQL, j, head, e.Seen[j], string(list), tx.now)
			if err != nil {
				return fmt.Errorf("mark %v: %w", j, err)
			}
			marked += int(n)
		}
		if e.LastTerm > last {
			// Only what is lost knew of it: its number is not given out again.
			if _, err := tx.exec(lostTermSQL, e.LastTerm, tx.now); err != nil {
				return err
			}
		}
		return nil
	})
	return marked, err
}

const lostTailsSQL = `select journal, head, seen, terms, found_at from lost_tails where recovered_at is null order by journal`

// LostTails implements metastore.LostTails.
func (s *Store) LostTails(ctx context.Context) ([]metastore.LostTail, error) {
	rows, err := s.statements[lostTailsSQL].QueryContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("list lost tails: %w", err)
	}
	defer rows.Close()
	var lost []metastore.LostTail
	for rows.Next() {
		var l metastore.LostTail
		var terms string
		var found int64
		if err := rows.Scan(&l.Journal, &l.Head, &l.Seen, &terms, &found); err != nil {
			return nil, fmt.Errorf("list lost tails: %w", err)
		}
		if err := json.Unmarshal([]byte(terms), &l.Terms); err != nil {
			return nil, fmt.Errorf("list lost tails: %w", err)
		}
		l.FoundAt = time.UnixMicro(found)
		lost = append(lost, l)
	}
	return lost, rows.Err()
}

const recoverTailSQL = `update lost_tails set recovery = ? where journal = ? and recovered_at is null`

// RecoverTail implements metastore.LostTails.
func (s *Store) RecoverTail(ctx context.Context, term metastore.Term, journal metastore.JournalID) error {
	return s.changeMark(ctx, term, journal, func(tx *writeTx) (int64, error) { return tx.exec(recoverTailSQL, term, journal) })
}

const tailRecoveredSQL = `update lost_tails set recovered_at = ? where journal = ? and recovered_at is null and recovery = ?`

// TailRecovered implements metastore.LostTails.
func (s *Store) TailRecovered(ctx context.Context, term metastore.Term, journal metastore.JournalID) error {
	return s.changeMark(ctx, term, journal, func(tx *writeTx) (int64, error) { return tx.exec(tailRecoveredSQL, tx.now, journal, term) })
}

func (s *Store) changeMark(ctx context.Context, term metastore.Term, journal metastore.JournalID, change func(tx *writeTx) (int64, error)) error {
	return s.write(ctx, fmt.Sprintf("recover %v", journal), func(tx *writeTx) error {
		n, err := change(tx)
		if err == nil && n == 0 {
			err = fmt.Errorf("%v has no lost tail that term %d recovers", journal, term)
		}
		return err
	})
}
