package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

const snapshotsSQL = `select journal, version, object, hash, size from snapshots
	where journal in (select value from json_each(?)) order by journal`

// Snapshots implements metastore.Store.
func (s *Store) Snapshots(ctx context.Context, journals []metastore.JournalID) ([]metastore.SnapshotPlace, error) {
	if err := s.cluster.Check(journals...); err != nil {
		return nil, err
	}
	list, err := json.Marshal(journals)
	if err != nil {
		return nil, err
	}
	rows, err := s.statements[snapshotsSQL].QueryContext(ctx, string(list))
	if err != nil {
		return nil, fmt.Errorf("find snapshots: %w", err)
	}
	defer rows.Close()
	var places []metastore.SnapshotPlace
	for rows.Next() {
		var p metastore.SnapshotPlace
		var hash []byte
		if err := rows.Scan(&p.Journal, &p.Version, &p.Object, &hash, &p.Size); err != nil {
			return nil, fmt.Errorf("find snapshots: %w", err)
		}
		copy(p.Hash[:], hash)
		places = append(places, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find snapshots: %w", err)
	}
	return places, nil
}

const placedSQL = `select version, object, hash, size, trimmed from snapshots where journal = ?`

const placeSQL = `insert into snapshots (journal, version, object, hash, size, placed_at) values (?, ?, ?, ?, ?, ?)`

const replaceSQL = `update snapshots set version = ?, object = ?, hash = ?, size = ?, placed_at = ? where journal = ?`

// placed returns the place of a journal's snapshot, nil if it has none, and how
// far the journal has been trimmed.
func (t *writeTx) placed(j metastore.JournalID) (place *metastore.SnapshotPlace, trimmed metastore.Version, err error) {
	p := metastore.SnapshotPlace{Journal: j}
	var hash []byte
	err = t.row(placedSQL, j).Scan(&p.Version, &p.Object, &hash, &p.Size, &trimmed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("find the snapshot of %v: %w", j, err)
	}
	copy(p.Hash[:], hash)
	return &p, trimmed, nil
}

// PlaceSnapshot implements metastore.Store. A version that is placed already is ignored too.
func (s *Store) PlaceSnapshot(ctx context.Context, term metastore.Term, place metastore.SnapshotPlace) (*metastore.SnapshotPlace, error) {
	if err := s.cluster.Check(place.Journal); err != nil {
		return nil, err
	}
	var replaced *metastore.SnapshotPlace
	what := fmt.Sprintf("place a snapshot of %v", place.Journal)
	err := s.write(ctx, what, func(tx *writeTx) error {
		if err := tx.checkLive(term); err != nil {
			return err
		}
		head, err := tx.head(place.Journal)
		if err != nil {
			return err
		}
		if place.Version > head {
			return fmt.Errorf("%s at version %d: its head is %d", what, place.Version, head)
		}
		old, _, err := tx.placed(place.Journal)
		switch {
		case err != nil:
			return err
		case old == nil:
			_, err = tx.exec(placeSQL, place.Journal, place.Version, place.Object, place.Hash[:], place.Size, tx.now)
		case place.Version > old.Version:
			replaced = old
			_, err = tx.exec(replaceSQL, place.Version, place.Object, place.Hash[:], place.Size, tx.now, place.Journal)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return replaced, nil
}

const trimSQL = `delete from journal_entries where journal = ? and version > ? and version <= ?`

const trimmedSQL = `update snapshots set trimmed = ? where journal = ?`

// Trim implements metastore.Store.
func (s *Store) Trim(ctx context.Context, journal metastore.JournalID, through metastore.Version, rowsMax int) (int, error) {
	if err := s.cluster.Check(journal); err != nil {
		return 0, err
	}
	var deleted int64
	what := fmt.Sprintf("trim %v", journal)
	err := s.write(ctx, what, func(tx *writeTx) error {
		snapshot, trimmed, err := tx.placed(journal)
		if err != nil || snapshot == nil {
			return err
		}
		head, err := tx.head(journal)
		if err != nil || head == 0 {
			return err
		}
		last := min(through, snapshot.Version, head-1, trimmed+metastore.Version(max(rowsMax, 0)))
		if last <= trimmed {
			return nil
		}
		if deleted, err = tx.exec(trimSQL, journal, trimmed, last); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if _, err = tx.exec(trimmedSQL, last, journal); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
	return int(deleted), err
}
