package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

// A read that finds something new succeeds only once that is on the synchronous standby.
const readSQL = `select t.place, t.head, t.version, t.payload, case when t.head is not null then
		(select l.seen from wadi.lost_tails l where l.journal = ($1::integer[])[t.place] and l.recovered_at is null) end,
	case when t.head > ($2::bigint[])[t.place] then wadi.prove() end
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
	for tries := 0; tries < 2; tries++ {
		known, sight, err := s.sighted(ctx)
		if err != nil {
			return nil, err
		}
		tails, settled, err := s.readOnce(ctx, known, positions, journals, afters, bytesMax)
		if err != nil {
			return nil, err
		}
		if settled {
			return tails, s.server.take(sight, tails, positions)
		}
		s.server.doubted(sight) // the next try confirms it
	}
	return nil, errMoved
}

// readOnce reads, unless the server is not the known one.
func (s *Store) readOnce(ctx context.Context, known string, positions []metastore.Position, journals []int32, afters []int64, bytesMax int) (tails []metastore.Tail, settled bool, err error) {
	tails = make([]metastore.Tail, len(positions))
	for i, p := range positions {
		tails[i].Journal = p.Journal
	}
	scan := func(rows pgx.Rows) error {
		settled = true // there is a row for each position
		var place int32
		var head, version, lost pgtype.Int8
		var payload []byte
		var proved *bool
		if err := rows.Scan(&place, &head, &version, &payload, &lost, &proved); err != nil {
			return err
		}
		tail := &tails[place-1]
		if head.Valid {
			tail.Head, tail.Lost = metastore.Version(head.Int64), metastore.Version(lost.Int64)
		} else {
			tail.Entries = append(tail.Entries, metastore.StoredEntry{Version: metastore.Version(version.Int64), Payload: payload})
		}
		return nil
	}
	if err := s.pool.each(ctx, s.sql[readSQL], scan, journals, afters, int64(bytesMax), known); err != nil {
		return nil, false, failed(ctx, s.pool, "read the journals", err)
	}
	for i := range tails {
		tails[i].Trimmed = tails[i].Head > positions[i].After && len(tails[i].Entries) == 0
	}
	return tails, settled, nil
}
