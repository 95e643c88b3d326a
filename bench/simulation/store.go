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
		answer = a
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
	return ask(ctx, l.gate, "append", commitMin, commitSpread, func(ctx context.Context) ([]metastore.Version, error) {
		return l.Store.Append(ctx, term, parts)
	})
}

func (l *storeLink) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	return ask(ctx, l.gate, "read", queryMin, querySpread, func(ctx context.Context) ([]metastore.Tail, error) {
		return l.Store.Read(ctx, positions, bytesMax)
	})
}

func (l *storeLink) Snapshots(ctx context.Context, journals []metastore.JournalID) ([]metastore.SnapshotPlace, error) {
	return ask(ctx, l.gate, "snapshots", queryMin, querySpread, func(ctx context.Context) ([]metastore.SnapshotPlace, error) {
		return l.Store.Snapshots(ctx, journals)
	})
}

func (l *storeLink) PlaceSnapshot(ctx context.Context, term metastore.Term, place metastore.SnapshotPlace) (*metastore.SnapshotPlace, error) {
	return ask(ctx, l.gate, "place a snapshot", commitMin, commitSpread, func(ctx context.Context) (*metastore.SnapshotPlace, error) {
		return l.Store.PlaceSnapshot(ctx, term, place)
	})
}

func (l *storeLink) Trim(ctx context.Context, journal metastore.JournalID, through metastore.Version, rowsMax int) (int, error) {
	return ask(ctx, l.gate, "trim", commitMin, commitSpread, func(ctx context.Context) (int, error) {
		return l.Store.Trim(ctx, journal, through, rowsMax)
	})
}

func (l *storeLink) BeginTerm(ctx context.Context, agent metastore.AgentInfo, lease time.Duration) (metastore.TermInfo, error) {
	return ask(ctx, l.gate, "begin a term", commitMin, commitSpread, func(ctx context.Context) (metastore.TermInfo, error) {
		return l.Store.BeginTerm(ctx, agent, lease)
	})
}

func (l *storeLink) RenewTerm(ctx context.Context, term metastore.Term, lease time.Duration, settled uint64) error {
	return l.gate.call(ctx, hostStore, "renew a term", commitMin, commitSpread, func(ctx context.Context) error {
		return l.Store.RenewTerm(ctx, term, lease, settled)
	})
}

func (l *storeLink) EndTerm(ctx context.Context, term metastore.Term, force bool) (bool, error) {
	return ask(ctx, l.gate, "end a term", commitMin, commitSpread, func(ctx context.Context) (bool, error) {
		return l.Store.EndTerm(ctx, term, force)
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
