package postgres

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

var server postgrestest.Server

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// with adds an option to a URL.
func with(url, option string) string { return url + "&" + option }

func openStore(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), url, metastore.DefaultCluster())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// connect makes a connection beside the store's.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	ctx := context.Background()
	if i := strings.Index(url, "&"+schemaOption); i >= 0 {
		url = url[:i]
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// subjects makes a subject in a schema of its own for each call, which is much
// cheaper than a database. Stores go through url; the tail is lost on a connection
// to the server itself, direct.
func subjects(direct, url string) func(t testing.TB) journaltest.Subject {
	made := 0
	return func(t testing.TB) journaltest.Subject {
		made++
		schema := fmt.Sprintf("cluster_%d", made)
		url := with(url, schemaOption+"="+schema)
		return journaltest.Subject{
			Store: openStore(t, url), Other: openStore(t, url),
			LoseTail: func(t testing.TB, j metastore.JournalID, after metastore.Version) {
				exec(t, connect(t, direct), moveTo(schema, "delete from wadi.journal_entries where journal = $1 and version > $2"),
					int32(j), int64(after))
			},
		}
	}
}

func TestConformance(t *testing.T) {
	url := server.Database(t)
	journaltest.Run(t, subjects(url, url))
}

func TestConformance_ThroughPgBouncer(t *testing.T) {
	url := server.Database(t)
	journaltest.Run(t, subjects(url, server.Bouncer(t, url)))
}

func BenchmarkStore(b *testing.B) {
	url := server.Database(b)
	journaltest.Benchmark(b, subjects(url, url))
}
