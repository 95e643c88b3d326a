package postgrestest_test

import (
	"testing"

	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

func TestPair_LosesItsTailOnlyWhenCut(t *testing.T) {
	for _, row := range []struct {
		name        string
		synchronous bool
		cut         bool
		want        string // what is left of before and after
	}{
		{"synchronous", true, false, "before,after"},
		{"asynchronous and cut", false, true, "before"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			p := postgrestest.NewPair(t, row.synchronous)
			url, err := p.Create(ctx, "pair")
			if err != nil {
				t.Fatal(err)
			}
			ask(t, url, "create table kept (what text); insert into kept values ('before'); select ''")
			if err := p.CatchUp(ctx); err != nil {
				t.Fatal(err)
			}
			if row.cut {
				if err := p.Cut(ctx); err != nil {
					t.Fatal(err)
				}
			}
			ask(t, url, "insert into kept values ('after'); select ''")
			if err := p.FailOver(ctx); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, url, "select string_agg(what, ',') from kept"); got != row.want {
				t.Fatalf("left: %s, want %s", got, row.want)
			}
			if got := ask(t, url, "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"); got != "00000002" {
				t.Fatalf("timeline %s", got)
			}
			// And once more, to a new standby.
			if err := p.Rejoin(ctx); err != nil {
				t.Fatal(err)
			}
			ask(t, p.URL("pair"), "insert into kept values ('again'); select ''")
			if err := p.CatchUp(ctx); err != nil {
				t.Fatal(err)
			}
			url = p.URL("pair")
			if err := p.FailOver(ctx); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, url, "select string_agg(what, ',') from kept"); got != row.want+",again" {
				t.Fatalf("left of the second: %s", got)
			}
		})
	}
}
