package metastore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/wadi-io/wadi/metastore"
)

// losing is a store that does the next append and loses its reply. The first read of journals[1] after that
// comes after whatever happens meanwhile.
type losing struct {
	metastore.Store
	next      bool
	meanwhile func()
}

func (l *losing) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	versions, err := l.Store.Append(ctx, term, parts)
	if l.next {
		l.next = false
		return nil, errNetwork
	}
	return versions, err
}

func (l *losing) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	for _, p := range positions {
		if p.Journal == journals[1] && !l.next && l.meanwhile != nil {
			l.meanwhile()
			l.meanwhile = nil
		}
	}
	return l.Store.Read(ctx, positions, bytesMax)
}

// TestWriter_ASnapshotGoesByItsEntry: a strict append is found in one journal, and its entry in another was
// trimmed before it was read. What it came to there nobody can tell any more, whether or not the
// journal still has the term's number; the metastore has lost nothing.
func TestWriter_ASnapshotGoesByItsEntry(t *testing.T) {
	for _, row := range []struct {
		name     string
		earlier  int      // appends of its term
		happens  []string // once it has landed, before it is looked for
		snapshot bool     // a snapshot is made, and trimmed to, just before it is appended
		want     error
	}{
		{"its term lives", 1, []string{"snapshot"}, false, metastore.ErrUnknown},
		{"its term has ended at the snapshot", 1, []string{"end", "snapshot"}, false, metastore.ErrUnknown},
		{"its term ends after the snapshot", 1, []string{"snapshot", "end"}, false, metastore.ErrUnknown},
		{"the first of its term", 0, []string{"snapshot"}, false, metastore.ErrUnknown},
		{"the first of its term, which has ended at the snapshot", 0, []string{"end", "snapshot"}, false, metastore.ErrUnknown},
		{"the first of its term, which ends after the snapshot", 0, []string{"snapshot", "end"}, false, metastore.ErrUnknown},
		{"the snapshot is of before", 1, nil, true, nil},
		{"the snapshot is of before, and its term ends", 1, []string{"end"}, true, nil},
		{"the first of its term, the snapshot is of before", 0, nil, true, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bucket := objects{}
				store := &losing{Store: newStore(t)}
				a, b := newAgentOn(t, t.Context(), store, bucket), newAgent(t, t.Context(), store.Store)
				a.run(t, t.Context())
				b.run(t, t.Context())
				must := func(err error) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
				}
				happens := map[string]func(){
					"end": func() {
						_, err := store.EndTerm(t.Context(), a.term, true)
						must(err)
						_, err = b.writer.Append(t.Context(), []metastore.Draft{{Journal: journals[1], Effects: metastore.AppendTermEnded(nil, a.term)}})
						must(err)
					},
					"snapshot": func() {
						cfg := metastore.DefaultSnapshotConfig()
						must(metastore.NewSnapshotter(store.Store, bucket, b.follower, b.writer, cfg).Snapshot(t.Context(), journals[1]))
						places, err := store.Snapshots(t.Context(), journals[1:])
						must(err)
						_, err = store.Trim(t.Context(), journals[1], places[0].Version, cfg.TrimRowsMax)
						must(err)
					},
				}
				for range row.earlier {
					_, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, "a"), draft(1, "a")})
					must(err)
				}
				if row.snapshot {
					happens["snapshot"]()
				}
				store.next = true
				store.meanwhile = func() {
					for _, h := range row.happens {
						happens[h]()
					}
				}
				strict := draft(0, "strict")
				strict.Strict, strict.Expect = true, a.follower.Replica(journals[0]).Version()
				landed, err := a.writer.Append(t.Context(), []metastore.Draft{strict, draft(1, "strict")})
				if !errors.Is(err, row.want) {
					t.Fatalf("err = %v, want %v", err, row.want)
				}
				if err == nil && landed.Parts[1].Number != uint64(row.earlier+1) {
					t.Errorf("landed as %+v", landed.Parts[1])
				}
				for _, j := range journals {
					if err := a.follower.Replica(j).Err(); err != nil {
						t.Error(err)
					}
				}
				if store.meanwhile != nil {
					t.Error("the journal was never read")
				}
			})
		})
	}
}
