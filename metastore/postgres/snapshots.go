package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

const snapshotsSQL = `select journal, version, object, hash, size from wadi.snapshots where journal = any ($1) order by journal`

// Snapshots implements metastore.Store.
func (s *Store) Snapshots(ctx context.Context, journals []metastore.JournalID) ([]metastore.SnapshotPlace, error) {
	if err := s.cluster.Check(journals...); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, s.sql[snapshotsSQL], journalIDs(journals))
	if err != nil {
		return nil, failed(ctx, s.pool, "find snapshots", err)
	}
	defer rows.Close()
	var places []metastore.SnapshotPlace
	for rows.Next() {
		var journal int32
		var version, size int64
		var object string
		var hash []byte
		if err := rows.Scan(&journal, &version, &object, &hash, &size); err != nil {
			return nil, failed(ctx, s.pool, "find snapshots", err)
		}
		p := metastore.SnapshotPlace{
			Journal: metastore.JournalID(journal), Version: metastore.Version(version), Object: object, Size: size,
		}
		copy(p.Hash[:], hash)
		places = append(places, p)
	}
	if err := rows.Err(); err != nil {
		return nil, failed(ctx, s.pool, "find snapshots", err)
	}
	return places, nil
}

const placeSnapshotSQL = `select outcome, old_version, old_object, old_hash, old_size
	from wadi.place_snapshot($1, $2, $3, $4, $5, $6)`

// PlaceSnapshot implements metastore.Store. A version that is placed already is ignored too.
func (s *Store) PlaceSnapshot(ctx context.Context, term metastore.Term, place metastore.SnapshotPlace) (*metastore.SnapshotPlace, error) {
	if err := s.cluster.Check(place.Journal); err != nil {
		return nil, err
	}
	var outcome string
	var version, size pgtype.Int8
	var object pgtype.Text
	var hash []byte
	err := s.pool.QueryRow(ctx, s.sql[placeSnapshotSQL],
		int64(term), int32(place.Journal), int64(place.Version), place.Object, place.Hash[:], place.Size).
		Scan(&outcome, &version, &object, &hash, &size)
	if err != nil {
		return nil, failed(ctx, s.pool, fmt.Sprintf("place a snapshot of %v", place.Journal), err)
	}
	switch outcome {
	case "ended":
		return nil, metastore.ErrTermEnded
	case "replaced":
		old := &metastore.SnapshotPlace{
			Journal: place.Journal, Version: metastore.Version(version.Int64), Object: object.String, Size: size.Int64,
		}
		copy(old.Hash[:], hash)
		return old, nil
	}
	return nil, nil
}

const trimSQL = `select wadi.trim($1, $2, $3)`

// Trim implements metastore.Store.
func (s *Store) Trim(ctx context.Context, journal metastore.JournalID, through metastore.Version, rowsMax int) (int, error) {
	if err := s.cluster.Check(journal); err != nil {
		return 0, err
	}
	var deleted int64
	err := s.pool.QueryRow(ctx, s.sql[trimSQL], int32(journal), int64(through), int64(rowsMax)).Scan(&deleted)
	if err != nil {
		return 0, failed(ctx, s.pool, fmt.Sprintf("trim %v", journal), err)
	}
	return int(deleted), nil
}
