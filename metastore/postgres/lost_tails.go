package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
)

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
