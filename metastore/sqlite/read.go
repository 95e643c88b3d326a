package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

const headsSQL = `select coalesce((select version from journal_entries e where e.journal = p.value order by version desc limit 1), 0),
	coalesce((select seen from lost_tails l where l.journal = p.value and recovered_at is null), 0)
	from json_each(?) p order by p.key`

const entriesSQL = `select version, payload from journal_entries where journal = ? and version > ? order by version`

// Read implements metastore.Store.
func (s *Store) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	journals := make([]metastore.JournalID, len(positions))
	for i, p := range positions {
		journals[i] = p.Journal
	}
	if err := s.cluster.Check(journals...); err != nil {
		return nil, err
	}
	tx, err := s.reader.BeginTx(ctx, nil) // one moment for all statements
	if err != nil {
		return nil, fmt.Errorf("read the journals: %w", err)
	}
	defer tx.Rollback()
	tails, err := s.readHeads(ctx, tx, journals)
	if err != nil {
		return nil, fmt.Errorf("read the journals' heads: %w", err)
	}
	for i := range tails {
		if err := s.readEntries(ctx, tx, &tails[i], positions[i].After, bytesMax); err != nil {
			return nil, fmt.Errorf("read %v: %w", tails[i].Journal, err)
		}
	}
	return tails, nil
}

func (s *Store) readHeads(ctx context.Context, tx *sql.Tx, journals []metastore.JournalID) ([]metastore.Tail, error) {
	list, err := json.Marshal(journals)
	if err != nil {
		return nil, err
	}
	rows, err := tx.StmtContext(ctx, s.statements[headsSQL]).QueryContext(ctx, string(list))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	tails := make([]metastore.Tail, 0, len(journals))
	for rows.Next() {
		tail := metastore.Tail{Journal: journals[len(tails)]}
		if err := rows.Scan(&tail.Head, &tail.Lost); err != nil {
			return nil, err
		}
		tails = append(tails, tail)
	}
	return tails, rows.Err()
}

// readEntries fills in the entries after a version. Only rows that are returned
// are read, and one more.
func (s *Store) readEntries(ctx context.Context, tx *sql.Tx, tail *metastore.Tail, after metastore.Version, bytesMax int) error {
	if tail.Head <= after {
		return nil
	}
	rows, err := tx.StmtContext(ctx, s.statements[entriesSQL]).QueryContext(ctx, tail.Journal, after)
	if err != nil {
		return err
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		var e metastore.StoredEntry
		if err := rows.Scan(&e.Version, &e.Payload); err != nil {
			return err
		}
		if len(tail.Entries) == 0 && e.Version != after+1 {
			tail.Trimmed = true
			return nil
		}
		if size += len(e.Payload); size > bytesMax && len(tail.Entries) > 0 {
			return nil
		}
		tail.Entries = append(tail.Entries, e)
	}
	return rows.Err()
}
