package postgrestest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

var server postgrestest.Server

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func TestDatabase_FreshAndDurable(t *testing.T) {
	for range 2 {
		url := server.Database(t)
		if got := ask(t, url, "select count(*)::text from pg_tables where schemaname = 'public'"); got != "0" {
			t.Fatalf("%s tables in a fresh database", got)
		}
		ask(t, url, "create table t (x int); select 'made'")
		if got := ask(t, url, "select current_setting('fsync')"); got != "on" {
			t.Fatalf("fsync is %s", got)
		}
	}
}

func TestCrash_KeepsWhatWasCommitted(t *testing.T) {
	var own postgrestest.Server
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	url, err := own.Create(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, url, "create table t (x int); insert into t values (7); select 'made'")
	for range 2 {
		if err := own.Crash(); err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(t.Context(), url); err == nil {
			conn.Close(t.Context())
			t.Fatal("a crashed server was connected to")
		}
		if err := own.Recover(); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, url, "select x::text from t"); got != "7" {
			t.Fatalf("%q was committed, not 7", got)
		}
	}
}

func TestBouncer_LeadsToTheDatabase(t *testing.T) {
	url := server.Database(t)
	through := server.Bouncer(t, url)
	if through == url {
		t.Fatal("the same URL")
	}
	want := ask(t, url, "select current_database()")
	if got := ask(t, through, "select current_database()"); got != want {
		t.Fatalf("database %s, want %s", got, want)
	}
}

func ask(t *testing.T, url, sql string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return string(results[len(results)-1].Rows[0][0])
}
