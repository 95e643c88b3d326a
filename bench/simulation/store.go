package simulation

import (
	"context"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Times of the simulated metastore.
const (
	commitMin, commitSpread = 500 * time.Microsecond, 4 * time.Millisecond
	queryMin, querySpread   = 300 * time.Microsecond, 2 * time.Millisecond
)

// storeLink is the metastore as one agent reaches it.
type storeLink struct {
	metastore.Store
	gate *gate
}

// ask calls the store, and returns its answer unless the link failed.
func ask[T any](ctx context.Context, g *gate, what string, there, spread time.Duration, request func(context.Context) (T, error)) (T, error) {
	var answer T
	err := g.call(ctx, hostStore, what, there, spread, func(ctx context.Context) error {
		a, err := request(ctx)
		if err == nil {
			answer = a
		}
		return err
	})
	if err != nil {
		// A request that is done late may still write its answer.
		var none T
		return none, err
	}
	return answer, nil
}

func (l *storeLink) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	return write(ctx, l, "append", func(ctx context.Context) ([]metastore.Version, error) {
		versions, err := l.Store.Append(ctx, term, parts)
		if err == nil {
			l.gate.appended(parts)
		}
		return versions, err
	})
}

func (l *storeLink) AppendRows(ctx context.Context, term metastore.Term, parts []metastore.AppendPart, rows metastore.Rows) ([]metastore.Version, error) {
	return write(ctx, l, "append with rows", func(ctx context.Context) ([]metastore.Version, error) {
		return l.Store.AppendRows(ctx, term, parts, rows)
	})
}

func (l *storeLink) Extents(ctx context.Context, q metastore.ExtentQuery) ([]metastore.ExtentRow, error) {
	return ask(ctx, l.gate, "read extents", queryMin, querySpread, func(ctx context.Context) ([]metastore.ExtentRow, error) {
		return l.Store.Extents(ctx, q)
	})
}

func (l *storeLink) ExtentTopics(ctx context.Context, after uint64, limit int) ([]uint64, error) {
	return ask(ctx, l.gate, "read topics of extents", queryMin, querySpread, func(ctx context.Context) ([]uint64, error) {
		return l.Store.ExtentTopics(ctx, after, limit)
	})
}

func (l *storeLink) ArchiveFiles(ctx context.Context, q metastore.ArchiveQuery) ([]metastore.ArchiveFile, error) {
	return ask(ctx, l.gate, "read the archive's files", queryMin, querySpread, func(ctx context.Context) ([]metastore.ArchiveFile, error) {
		return l.Store.ArchiveFiles(ctx, q)
	})
}

func (l *storeLink) RemoveArchiveFiles(ctx context.Context, term metastore.Term, reason string, objects []string) error {
	return l.change(ctx, "remove the archive's files", func(ctx context.Context) error {
		return l.Store.RemoveArchiveFiles(ctx, term, reason, objects)
	})
}

func (l *storeLink) Retire(ctx context.Context, term metastore.Term, reason string, objects []metastore.SegmentRow) error {
	return l.change(ctx, "retire", func(ctx context.Context) error {
		l.gate.world.checkRetire(ctx, l.gate.host, objects)
		return l.Store.Retire(ctx, term, reason, objects)
	})
}

func (l *storeLink) Retired(ctx context.Context, age time.Duration, limit int) ([]metastore.SegmentRow, error) {
	return prove(ctx, l, "read what is retired", func(rows []metastore.SegmentRow) bool { return len(rows) > 0 }, func(ctx context.Context) ([]metastore.SegmentRow, error) {
		return l.Store.Retired(ctx, age, limit)
	})
}

func (l *storeLink) Collected(ctx context.Context, term metastore.Term, objects []string) error {
	return l.change(ctx, "collected", func(ctx context.Context) error {
		return l.Store.Collected(ctx, term, objects)
	})
}

func (l *storeLink) Segments(ctx context.Context, after string, limit int) ([]metastore.SegmentRow, error) {
	return ask(ctx, l.gate, "read segments", queryMin, querySpread, func(ctx context.Context) ([]metastore.SegmentRow, error) {
		return l.Store.Segments(ctx, after, limit)
	})
}

func (l *storeLink) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	return prove(ctx, l, "read", news(positions), func(ctx context.Context) ([]metastore.Tail, error) {
		return l.Store.Read(ctx, positions, bytesMax)
	})
}

func (l *storeLink) Snapshots(ctx context.Context, journals []metastore.JournalID) ([]metastore.SnapshotPlace, error) {
	return ask(ctx, l.gate, "snapshots", queryMin, querySpread, func(ctx context.Context) ([]metastore.SnapshotPlace, error) {
		return l.Store.Snapshots(ctx, journals)
	})
}

func (l *storeLink) PlaceSnapshot(ctx context.Context, term metastore.Term, place metastore.SnapshotPlace) (*metastore.SnapshotPlace, error) {
	return write(ctx, l, "place a snapshot", func(ctx context.Context) (*metastore.SnapshotPlace, error) {
		return l.Store.PlaceSnapshot(ctx, term, place)
	})
}

func (l *storeLink) Trim(ctx context.Context, journal metastore.JournalID, through metastore.Version, rowsMax int) (int, error) {
	return write(ctx, l, "trim", func(ctx context.Context) (int, error) {
		return l.Store.Trim(ctx, journal, through, rowsMax)
	})
}

func (l *storeLink) BeginTerm(ctx context.Context, agent metastore.AgentInfo, lease time.Duration) (metastore.TermInfo, error) {
	return write(ctx, l, "begin a term", func(ctx context.Context) (metastore.TermInfo, error) {
		return l.Store.BeginTerm(ctx, agent, lease)
	})
}

func (l *storeLink) RenewTerm(ctx context.Context, term metastore.Term, lease time.Duration, settled uint64) error {
	return l.change(ctx, "renew a term", func(ctx context.Context) error {
		return l.Store.RenewTerm(ctx, term, lease, settled)
	})
}

func (l *storeLink) EndTerm(ctx context.Context, term metastore.Term, force bool) (bool, error) {
	return write(ctx, l, "end a term", func(ctx context.Context) (bool, error) {
		return l.Store.EndTerm(ctx, term, force)
	})
}

func (l *storeLink) DrainTerm(ctx context.Context, term metastore.Term) error {
	return l.change(ctx, "drain a term", func(ctx context.Context) error {
		return l.Store.DrainTerm(ctx, term)
	})
}

func (l *storeLink) PruneTerms(ctx context.Context, age time.Duration, keep []metastore.Term, rowsMax int) (int, error) {
	return write(ctx, l, "prune terms", func(ctx context.Context) (int, error) {
		return l.Store.PruneTerms(ctx, age, keep, rowsMax)
	})
}

func (l *storeLink) ClaimBucket(ctx context.Context, name string) (string, error) {
	return write(ctx, l, "claim the bucket", func(ctx context.Context) (string, error) {
		return l.Store.ClaimBucket(ctx, name)
	})
}

func (l *storeLink) Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error) {
	return ask(ctx, l.gate, "terms", queryMin, querySpread, func(ctx context.Context) ([]metastore.TermInfo, error) {
		return l.Store.Terms(ctx, ended...)
	})
}

func (l *storeLink) Now(ctx context.Context) (time.Time, error) {
	return ask(ctx, l.gate, "now", queryMin, querySpread, l.Store.Now)
}
