package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

var _ metastore.Inspector = (*Store)(nil)

const journalSQL = `select (select count(*) from journal_entries where journal = ?1),
	(select coalesce(sum(length(payload)), 0) from journal_entries where journal = ?1),
	(select coalesce(max(version), 0) from journal_entries where journal = ?1),
	(select version from snapshots where journal = ?1), (select placed_at from snapshots where journal = ?1)`

// Journals implements metastore.Inspector.
func (s *Store) Journals(ctx context.Context) ([]metastore.JournalInfo, error) {
	var infos []metastore.JournalInfo
	for _, j := range s.cluster.Journals() {
		i := metastore.JournalInfo{Journal: j}
		var snapshot, placed sql.NullInt64
		if err := s.statements[journalSQL].QueryRowContext(ctx, j).Scan(&i.Entries, &i.Bytes, &i.Head, &snapshot, &placed); err != nil {
			return nil, fmt.Errorf("look at %v: %w", j, err)
		}
		if snapshot.Valid {
			i.Snapshot, i.PlacedAt = metastore.Version(snapshot.Int64), time.UnixMicro(placed.Int64)
		}
		infos = append(infos, i)
	}
	return infos, nil
}
