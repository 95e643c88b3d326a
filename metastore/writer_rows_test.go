package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/wadi-io/wadi/metastore"
)

// faultyRows is a store whose appends with rows go wrong as the script says.
type faultyRows struct {
	metastore.Store
	script []fault
	// meanwhile runs after the first call; before the second, if that one was late.
	meanwhile func()
	late      func()
}

func (f *faultyRows) AppendRows(ctx context.Context, term metastore.Term, parts []metastore.AppendPart, rows metastore.Rows) ([]metastore.Version, error) {
	what := fine
	if len(f.script) > 0 {
		what, f.script = f.script[0], f.script[1:]
	}
	defer func() {
		if f.meanwhile != nil {
			f.meanwhile()
			f.meanwhile = nil
		}
	}()
	switch what {
	case refused:
		return nil, errNetwork
	case late:
		f.late = func() { f.Store.AppendRows(ctx, term, parts, rows) }
		return nil, errNetwork
	}
	versions, err := f.Store.AppendRows(ctx, term, parts, rows)
	if what == lost {
		return nil, errNetwork
	}
	return versions, err
}

// Append comes where the rows were refused, so what was late lands just before or after it.
func (f *faultyRows) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	versions, err := f.Store.Append(ctx, term, parts)
	if f.late != nil {
		f.late()
		f.late = nil
	}
	return versions, err
}

func extentRows(object string, base, end int64) metastore.Rows {
	return metastore.Rows{
		Segments: []metastore.SegmentRow{{Object: object, Size: 1}},
		Extents:  []metastore.ExtentRow{{Topic: 1, Base: base, End: end, Object: object, Length: 1}},
	}
}

func TestWriter_Rows(t *testing.T) {
	for _, row := range []struct {
		name    string
		script  []fault
		rival   bool // another merger places the rows after the first try
		removed bool // and they are removed before the late one lands
		taken   bool
	}{
		{name: "fine"},
		{name: "refused", script: []fault{refused, refused}},
		{name: "reply lost", script: []fault{lost}},
		{name: "reply lost twice", script: []fault{lost, lost}},
		{name: "refused, then another's rows", script: []fault{refused}, rival: true, taken: true},
		{name: "late, behind another's rows", script: []fault{late}, rival: true, taken: true},
		{name: "late, after another's rows have come and gone", script: []fault{late}, rival: true, removed: true, taken: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				f := &faultyRows{Store: store, script: row.script}
				a, b := newAgent(t, t.Context(), f), newAgent(t, t.Context(), store)
				if row.rival {
					f.meanwhile = func() {
						if _, err := b.writer.AppendRows(t.Context(), []metastore.Draft{draft(0, "rival")}, extentRows("rival", 0, 10)); err != nil {
							t.Error(err)
						}
					}
				}
				if row.removed {
					meanwhile := f.meanwhile
					f.meanwhile = func() {
						meanwhile()
						was := f.late
						f.late = func() {
							gone := metastore.Rows{Removed: []metastore.ExtentKey{{Topic: 1, Object: "rival"}}}
							if _, err := b.writer.AppendRows(t.Context(), []metastore.Draft{draft(0, "gone")}, gone); err != nil {
								t.Error(err)
							}
							was()
						}
					}
				}
				a.run(t, t.Context())
				b.run(t, t.Context())
				landed, err := a.writer.AppendRows(t.Context(), []metastore.Draft{draft(0, "swap"), draft(1, "swap")}, extentRows("a", 0, 10))
				switch {
				case row.taken:
					if !errors.Is(err, metastore.ErrRowsTaken) {
						t.Fatalf("%+v, %v", landed, err)
					}
				case err != nil:
					t.Fatal(err)
				case fmt.Sprint(landed.Parts[0].Outcomes) != "[1]":
					t.Fatalf("outcomes %v", landed.Parts[0].Outcomes)
				}
				// The numbers go on, whatever became of the rows.
				if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, "next"), draft(1, "next")}); err != nil {
					t.Fatal(err)
				}
				if err := a.follower.Refresh(t.Context(), journals...); err != nil {
					t.Fatal(err)
				}
				want := "[swap next]"
				if row.taken {
					want = "[next]"
				}
				if got := fmt.Sprint(a.tallies[1].said); got != want {
					t.Errorf("shard 1 is %s, not %s", got, want)
				}
			})
		})
	}
}
