package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

const readSQL = `select t.place, t.head, t.version, t.payload, case when t.head is not null then
		(select l.seen from wadi.lost_tails l where l.journal = ($1::integer[])[t.place] and l.recovered_at is null) end
	from wadi.tails($1, $2, $3) t where wadi.settled($4)`

// Read implements metastore.Store. It returns at most 1024 entries of each journal.
func (s *Store) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	journals := make([]int32, len(positions))
	afters := make([]int64, len(positions))
	for i, p := range positions {
		if err := s.cluster.Check(p.Journal); err != nil {
			return nil, err
		}
		journals[i], afters[i] = int32(p.Journal), int64(p.After)
	}
	s.server.asked(positions)
	tails, settled, err := s.readOnce(ctx, positions, journals, afters, bytesMax)
	if err == nil && !settled {
		// Another server than the one that was read from before.
		if err := s.confirm(ctx); err != nil {
			return nil, err
		}
		if tails, settled, err = s.readOnce(ctx, positions, journals, afters, bytesMax); err == nil && !settled {
			err = errMovedAgain
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range tails {
		s.server.take(&tails[i], positions[i].After)
	}
	return tails, nil
}

// readOnce reads, unless the server is not the one that was confirmed.
func (s *Store) readOnce(ctx context.Context, positions []metastore.Position, journals []int32, afters []int64, bytesMax int) (tails []metastore.Tail, settled bool, err error) {
	tails = make([]metastore.Tail, len(positions))
	for i, p := range positions {
		tails[i].Journal = p.Journal
	}
	rows, err := s.pool.Query(ctx, s.sql[readSQL], journals, afters, int64(bytesMax), s.server.known())
	if err != nil {
		return nil, false, failed(ctx, s.pool, "read the journals", err)
	}
	defer rows.Close()
	for rows.Next() {
		settled = true // there is a row for each position
		var place int32
		var head, version, lost pgtype.Int8
		var payload []byte
		if err := rows.Scan(&place, &head, &version, &payload, &lost); err != nil {
			return nil, false, failed(ctx, s.pool, "read the journals", err)
		}
		tail := &tails[place-1]
		if head.Valid {
			tail.Head, tail.Lost = metastore.Version(head.Int64), metastore.Version(lost.Int64)
		} else {
			tail.Entries = append(tail.Entries, metastore.StoredEntry{Version: metastore.Version(version.Int64), Payload: payload})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, false, failed(ctx, s.pool, "read the journals", err)
	}
	for i := range tails {
		tails[i].Trimmed = tails[i].Head > positions[i].After && len(tails[i].Entries) == 0
	}
	return tails, settled, nil
}
