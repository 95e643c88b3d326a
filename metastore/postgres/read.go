package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

const readSQL = `select place, head, version, payload from wadi.tails($1, $2, $3)`

// Read implements metastore.Store. It returns at most 1024 entries of each journal.
func (s *Store) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	journals := make([]int32, len(positions))
	afters := make([]int64, len(positions))
	tails := make([]metastore.Tail, len(positions))
	for i, p := range positions {
		if err := s.cluster.Check(p.Journal); err != nil {
			return nil, err
		}
		journals[i], afters[i] = int32(p.Journal), int64(p.After)
		tails[i].Journal = p.Journal
	}
	rows, err := s.pool.Query(ctx, s.sql[readSQL], journals, afters, int64(bytesMax))
	if err != nil {
		return nil, failed(ctx, s.pool, "read the journals", err)
	}
	defer rows.Close()
	for rows.Next() {
		var place int32
		var head, version pgtype.Int8
		var payload []byte
		if err := rows.Scan(&place, &head, &version, &payload); err != nil {
			return nil, failed(ctx, s.pool, "read the journals", err)
		}
		tail := &tails[place-1]
		if head.Valid {
			tail.Head = metastore.Version(head.Int64)
		} else {
			tail.Entries = append(tail.Entries, metastore.StoredEntry{Version: metastore.Version(version.Int64), Payload: payload})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, failed(ctx, s.pool, "read the journals", err)
	}
	for i := range tails {
		tails[i].Trimmed = tails[i].Head > positions[i].After && len(tails[i].Entries) == 0
	}
	return tails, nil
}
