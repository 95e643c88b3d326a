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
	var versions []metastore.Version
	err := s.write(ctx, fmt.Sprintf("append to %d journals", len(parts)), func(tx *writeTx) (err error) {
		versions, err = tx.append(term, parts)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Committed and synced: the entries are in the journals for good.
	return versions, nil
}

// append adds the parts; what it refuses is rolled back with all the rest.
func (t *writeTx) append(term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	if err := t.checkLive(term); err != nil {
		return nil, err
	}
	versions := make([]metastore.Version, len(parts))
	for i, p := range parts {
		if err := t.checkTail(p.Journal, term); err != nil {
			return nil, err
		}
		head, err := t.head(p.Journal)
		if err != nil {
			return nil, err
		}
		if p.Strict && p.Expect != head {
			return nil, &metastore.StrictLostError{Journal: p.Journal, Head: head}
		}
		versions[i] = head + 1
	}
	for i, p := range parts {
		if _, err := t.exec(appendSQL, p.Journal, versions[i], p.Payload); err != nil {
			return nil, fmt.Errorf("append to %v: %w", p.Journal, err)
		}
	}
	return versions, nil
}
