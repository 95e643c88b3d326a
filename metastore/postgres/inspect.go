package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

var _ metastore.Inspector = (*Store)(nil)

const journalsSQL = `select j.journal, coalesce(e.head, 0), coalesce(e.entries, 0), coalesce(e.bytes, 0), s.version, s.placed_at
	from wadi.journals j left join wadi.snapshots s using (journal)
	left join (select journal, max(version) as head, count(*) as entries, sum(octet_length(payload))::bigint as bytes
		from wadi.journal_entries group by journal) e using (journal)
	order by j.journal`

// Journals implements metastore.Inspector.
func (s *Store) Journals(ctx context.Context) ([]metastore.JournalInfo, error) {
	rows, err := s.pool.Query(ctx, s.sql[journalsSQL])
	if err != nil {
		return nil, failed(ctx, s.pool, "look at the journals", err)
	}
	infos, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i metastore.JournalInfo, err error) {
		var journal int32
		var head int64
		var snapshot pgtype.Int8
		var placed pgtype.Timestamptz
		err = row.Scan(&journal, &head, &i.Entries, &i.Bytes, &snapshot, &placed)
		i.Journal, i.Head, i.Snapshot, i.PlacedAt = metastore.JournalID(journal), metastore.Version(head), metastore.Version(snapshot.Int64), placed.Time
		return i, err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the journals: %w", err)
	}
	return infos, nil
}
