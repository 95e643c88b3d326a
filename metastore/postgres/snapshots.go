package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

// A row without a journal says whether the server is the known one.
const snapshotsSQL = `select h.settled, s.journal, s.version, s.object, s.hash, s.size
	from (select wadi.settled($2) as settled) h left join wadi.snapshots s on h.settled and s.journal = any ($1) order by s.journal`

// Snapshots implements metastore.Store. It waits until the server is confirmed: a
// replica that began with another server's snapshot would find its tail lost here.
func (s *Store) Snapshots(ctx context.Context, journals []metastore.JournalID) ([]metastore.SnapshotPlace, error) {
	if err := s.cluster.Check(journals...); err != nil {
		return nil, err
	}
	for tries := 0; tries < 2; tries++ {
		known, sight, err := s.sighted(ctx)
		if err != nil {
			return nil, err
		}
		places, settled, err := s.snapshotsOnce(ctx, known, journals)
		if err != nil || settled {
			return places, err
		}
		s.server.doubted(sight) // the next try confirms it
	}
	return nil, errMoved
}

func (s *Store) snapshotsOnce(ctx context.Context, known string, journals []metastore.JournalID) (places []metastore.SnapshotPlace, settled bool, err error) {
	scan := func(rows pgx.Rows) error {
		var journal pgtype.Int4
		var version, size pgtype.Int8
		var object pgtype.Text
		var hash []byte
		if err := rows.Scan(&settled, &journal, &version, &object, &hash, &size); err != nil || !journal.Valid {
			return err
		}
		p := metastore.SnapshotPlace{Journal: metastore.JournalID(journal.Int32), Version: metastore.Version(version.Int64),
			Object: object.String, Size: size.Int64}
		copy(p.Hash[:], hash)
		places = append(places, p)
		return nil
	}
	if err := s.pool.each(ctx, s.sql[snapshotsSQL], scan, journalIDs(journals), known); err != nil {
		return nil, false, failed(ctx, s.pool, "find snapshots", err)
	}
	return places, settled, nil
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
