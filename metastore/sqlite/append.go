package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

const liveSQL = `select 1 from terms where term = ? and ended_at is null and expires_at > ?`

// checkLive refuses a term that has ended or expired. Nothing can end it before
// the transaction does: there is one writer.
func (t *writeTx) checkLive(term metastore.Term) error {
	var one int
	err := t.row(liveSQL, term, t.now).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return metastore.ErrTermEnded
	}
	if err != nil {
		return fmt.Errorf("look for term %d: %w", term, err)
	}
	return nil
}

const headSQL = `select coalesce(max(version), 0) from journal_entries where journal = ?`

func (t *writeTx) head(j metastore.JournalID) (metastore.Version, error) {
	var head metastore.Version
	if err := t.row(headSQL, j).Scan(&head); err != nil {
		return 0, fmt.Errorf("read the head of %v: %w", j, err)
	}
	return head, nil
}

const appendSQL = `insert into journal_entries (journal, version, payload) values (?, ?, ?)`

// Append implements metastore.Store.
func (s *Store) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	if err := s.cluster.CheckParts(parts); err != nil {
		return nil, err
	}
	versions := make([]metastore.Version, len(parts))
	err := s.write(ctx, fmt.Sprintf("append to %d journals", len(parts)), func(tx *writeTx) error {
		if err := tx.checkLive(term); err != nil {
			return err
		}
		for i, p := range parts {
			head, err := tx.head(p.Journal)
			if err != nil {
				return err
			}
			if p.Strict && p.Expect != head {
				return &metastore.StrictLostError{Journal: p.Journal, Head: head} // rolls the rest back
			}
			versions[i] = head + 1
		}
		for i, p := range parts {
			if _, err := tx.exec(appendSQL, p.Journal, versions[i], p.Payload); err != nil {
				return fmt.Errorf("append to %v: %w", p.Journal, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Committed and synced: the entries are in the journals for good.
	return versions, nil
}
