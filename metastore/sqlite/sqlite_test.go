package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
)

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(context.Background(), path, metastore.DefaultCluster())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// raw opens a file beside the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func subject(t testing.TB) journaltest.Subject {
	// A name that a URL would take apart.
	path := filepath.Join(t.TempDir(), "meta store?#%25.db")
	s := openStore(t, path)
	return journaltest.Subject{
		Store: s, Other: s,
		LoseTail: func(t testing.TB, j metastore.JournalID, after metastore.Version) {
			exec(t, s.writer, "delete from journal_entries where journal = ? and version > ?", j, after)
		},
	}
}

func TestConformance(t *testing.T) { journaltest.Run(t, subject) }

// TestConformance_TwoHandles has two stores on one file, as a backup tool beside
// an agent might: SQLite's own locks hold.
func TestConformance_TwoHandles(t *testing.T) {
	journaltest.Run(t, func(t testing.TB) journaltest.Subject {
		path := filepath.Join(t.TempDir(), "metastore.db")
		s := openStore(t, path)
		return journaltest.Subject{
			Store: s, Other: openStore(t, path),
			LoseTail: func(t testing.TB, j metastore.JournalID, after metastore.Version) {
				exec(t, s.writer, "delete from journal_entries where journal = ? and version > ?", j, after)
			},
		}
	})
}

func BenchmarkStore(b *testing.B) { journaltest.Benchmark(b, subject) }

func TestOpen_IsDurable(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "metastore.db"))
	for db, what := range map[*sql.DB]string{s.writer: "writer", s.reader: "reader"} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "fullfsync": "1"} {
			var got string
			if err := db.QueryRow("pragma " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %s (%v), want %s", what, pragma, got, err, want)
			}
		}
	}
}

func TestOpen_AgainFindsAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metastore.db")
	s := openStore(t, path)
	term := journaltest.Begin(t, s)
	journaltest.Append(t, s, term, journaltest.Part(metastore.CatalogJournal, "kept"))
	cluster := s.Cluster()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 1 {
		t.Fatalf("after closing: %v", files)
	}
	s = openStore(t, path)
	if s.Cluster() != cluster {
		t.Fatalf("cluster %+v, was %+v", s.Cluster(), cluster)
	}
	if got := journaltest.Append(t, s, term, journaltest.Part(metastore.CatalogJournal, "more")); got[0] != 2 {
		t.Fatalf("version %d", got[0])
	}
}

// TestOpen_AfterCrash opens a copy of the files as a process that died left them.
func TestOpen_AfterCrash(t *testing.T) {
	path, copied := filepath.Join(t.TempDir(), "metastore.db"), filepath.Join(t.TempDir(), "metastore.db")
	s := openStore(t, path)
	term := journaltest.Begin(t, s)
	for range 10 {
		journaltest.Append(t, s, term, journaltest.Part(metastore.CatalogJournal, "acknowledged"))
	}
	for _, suffix := range []string{"", "-wal"} {
		bytes, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if suffix == "-wal" {
			bytes = append(bytes, 1, 2, 3) // a torn write
		}
		if err := os.WriteFile(copied+suffix, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := openStore(t, copied)
	if got := journaltest.Append(t, again, term, journaltest.Part(metastore.CatalogJournal, "next")); got[0] != 11 {
		t.Fatalf("version %d", got[0])
	}
}

func TestOpen_RefusesOtherFiles(t *testing.T) {
	refused := func(name string, want error, make func(path string)) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "metastore.db")
		make(path)
		before, _ := os.ReadFile(path)
		s, err := Open(t.Context(), path, metastore.DefaultCluster())
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
		if after, _ := os.ReadFile(path); len(before) > 0 && !slices.Equal(before[100:], after[100:]) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	refused("a newer release", metastore.ErrNewerSchema, func(path string) {
		s := openStore(t, path)
		exec(t, s.writer, "pragma user_version = 9999")
		s.Close()
	})
	refused("another program", metastore.ErrForeignSchema, func(path string) {
		db := raw(t, path)
		exec(t, db, "create table invoices (x)")
		db.Close()
	})
	refused("another program's version", metastore.ErrForeignSchema, func(path string) {
		db := raw(t, path)
		exec(t, db, "pragma user_version = 3; pragma application_id = 7")
		db.Close()
	})
	refused("not a database", metastore.ErrForeignSchema, func(path string) {
		if err := os.WriteFile(path, []byte(strings.Repeat("not a database. ", 500)), 0o600); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOpen_NeedsItsFolder(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "missing", "metastore.db"), metastore.DefaultCluster())
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestLease_RunsByTheGivenClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "metastore.db")
	s, err := OpenClock(t.Context(), path, metastore.DefaultCluster(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := s.BeginTerm(t.Context(), metastore.AgentInfo{}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(10*time.Second - time.Microsecond)
	if err := s.RenewTerm(t.Context(), info.Term, time.Second, 0); err != nil {
		t.Fatalf("renewal in the last microsecond: %v", err)
	}
	now = now.Add(time.Second)
	if err := s.RenewTerm(t.Context(), info.Term, time.Second, 0); err != metastore.ErrTermEnded {
		t.Fatalf("renewal at the end: %v", err)
	}
	if ended, err := s.EndTerm(t.Context(), info.Term, false); !ended || err != nil {
		t.Fatalf("ended %v, %v", ended, err)
	}
}

// TestStatements_Prepare: Open prepares every statement; here each const is found in its lists.
func TestStatements_Prepare(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "metastore.db"))
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	consts := 0
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if n, ok := n.(*ast.ValueSpec); ok && strings.HasSuffix(n.Names[0].Name, "SQL") {
				consts++
			}
			return true
		})
	}
	if consts != len(s.statements) {
		t.Fatalf("%d statements are prepared, of %d", len(s.statements), consts)
	}
	// None goes through a table that grows.
	for text := range s.statements {
		args := make([]any, strings.Count(text, "?"))
		rows, err := s.reader.Query("explain query plan "+text, args...)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(detail, "SCAN") && (strings.Contains(detail, "journal_entries") || detail == "SCAN terms") {
				t.Errorf("%s\n%s", text, detail)
			}
		}
		rows.Close()
	}
}
