package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

// waitingForStandby returns the process of a session whose statement has a text and whose
// commit waits for the synchronous standby, once there is one.
func waitingForStandby(t *testing.T, conn *pgx.Conn, text string) (pid int) {
	t.Helper()
	const sql = `select coalesce(max(pid), 0) from pg_stat_activity where wait_event = 'SyncRep' and query like '%' || $1 || '%'`
	for ; pid == 0; lookAgain() {
		if err := conn.QueryRow(t.Context(), sql, text).Scan(&pid); err != nil {
			t.Fatal(err)
		}
	}
	return pid
}

// TestCut_IsNoCommit: a commit whose wait for the synchronous standby is cut off is seen
// on this server by everyone, and the server that takes over lacks it. Until it is on the
// standby it must not be acknowledged, nor read.
func TestCut_IsNoCommit(t *testing.T) {
	for _, row := range []struct {
		name string
		cut  func(t *testing.T, p *postgrestest.Pair, pid int)
	}{
		{"cancelled", func(t *testing.T, p *postgrestest.Pair, pid int) {
			// The statement succeeds then, but for a warning.
			exec(t, connect(t, p.Primary().URL("wadi")), "select pg_cancel_backend($1)", pid)
		}},
		{"session ended", func(t *testing.T, p *postgrestest.Pair, pid int) {
			exec(t, connect(t, p.Primary().URL("wadi")), "select pg_terminate_backend($1)", pid)
		}},
		{"server restarted", func(t *testing.T, p *postgrestest.Pair, pid int) {
			if err := p.Primary().Crash(); err != nil {
				t.Fatal(err)
			}
			if err := p.Primary().Recover(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			pair, a, b, termA, termB := twoOnPair(t)
			journaltest.Append(t, a, termA, journaltest.Part(shard0, "1"))
			if err := pair.Hold(ctx); err != nil {
				t.Fatal(err)
			}
			appended := startAppend(a, termA, journaltest.Part(shard0, "2"))
			pid := waitingForStandby(t, connect(t, pair.Primary().URL("wadi")), "append(")
			row.cut(t, pair, pid)
			if got := <-appended; got.err == nil {
				t.Fatalf("acknowledged: %+v", got)
			}
			conn := connect(t, pair.Primary().URL("wadi"))
			var visible bool
			const look = "select exists (select from wadi.journal_entries where journal = $1 and version = 2)"
			if err := conn.QueryRow(ctx, look, int32(shard0)).Scan(&visible); err != nil || !visible {
				t.Fatalf("not even there: %v", err)
			}
			// The writer looks for its entry, a follower for news: they wait.
			reads := [2]<-chan outcome{}
			for i, s := range []*Store{a, b} {
				reads[i] = start(func() outcome {
					var tails []metastore.Tail
					err := again(t, func() (err error) {
						tails, err = s.Read(context.Background(), []metastore.Position{{Journal: shard0, After: 1}}, 1<<20)
						return err
					})
					if err == nil && (tails[0].Head != 1 || tails[0].Lost != 0 || len(tails[0].Entries) != 0) {
						t.Errorf("read what was lost: %+v", tails)
					}
					return outcome{err: err}
				})
			}
			waitingForStandby(t, conn, "tails(")
			if err := pair.FailOver(ctx); err != nil {
				t.Fatal(err)
			}
			for _, read := range reads {
				if got := <-read; got.err != nil {
					t.Error(got.err)
				}
			}
			if got, err := appendAgain(t, a, termA, journaltest.Part(shard0, "2")); err != nil || got[0] != 2 {
				t.Errorf("version %v, %v", got, err)
			}
			if got, err := appendAgain(t, b, termB, journaltest.Part(shard0, "3")); err != nil || got[0] != 3 {
				t.Errorf("version %v, %v", got, err)
			}
			if lost, err := b.LostTails(ctx); err != nil || len(lost) > 0 {
				t.Errorf("lost: %+v, %v", lost, err)
			}
		})
	}
}

// TestCut_WhatIsRetiredOnOneServerOnly: the standby that takes over still names what was retired while it was away, so
// nobody is told to delete it.
func TestCut_WhatIsRetiredOnOneServerOnly(t *testing.T) {
	ctx := t.Context()
	pair, a, b, term, _ := twoOnPair(t)
	if err := a.Retire(ctx, term, "test", []metastore.SegmentRow{{Object: "segments/old", Size: 1}}); err != nil {
		t.Fatal(err)
	}
	if rows, err := b.Retired(ctx, 0, 10); err != nil || len(rows) != 1 {
		t.Fatalf("%+v, %v", rows, err)
	}
	if err := pair.Hold(ctx); err != nil {
		t.Fatal(err)
	}
	retired := start(func() outcome {
		return outcome{err: a.Retire(context.Background(), term, "test", []metastore.SegmentRow{{Object: "segments/new", Size: 1}})}
	})
	conn := connect(t, pair.Primary().URL("wadi"))
	exec(t, conn, "select pg_cancel_backend($1)", waitingForStandby(t, conn, "retire("))
	if got := <-retired; got.err == nil {
		t.Fatal("it is said to be retired")
	}
	var rows []metastore.SegmentRow
	read := start(func() outcome {
		return outcome{err: again(t, func() (err error) {
			rows, err = b.Retired(context.Background(), 0, 10)
			return err
		})}
	})
	const waits = `select exists (select from pg_stat_activity where wait_event = 'SyncRep' and query like '%retired_at <=%')`
	for waiting := false; !waiting; lookAgain() {
		if len(read) > 0 {
			t.Fatalf("%v is told while the standby is away", rows)
		}
		if err := conn.QueryRow(ctx, waits).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := pair.FailOver(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got.err != nil || len(rows) != 1 || rows[0].Object != "segments/old" {
		t.Errorf("%+v, %v", rows, got.err)
	}
}

// TestCut_MustBeTold: a session that hides warnings would not say that a wait was cut off.
func TestCut_MustBeTold(t *testing.T) {
	url := server.Database(t)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	exec(t, connect(t, url), "do $$ begin execute format('alter database %I set client_min_messages = error', current_database()); end $$")
	s.pool.Reset()
	if _, err := s.Append(t.Context(), term, []metastore.AppendPart{journaltest.Part(shard0, "x")}); err == nil {
		t.Fatal("appended where warnings are hidden")
	}
}

// TestRead_WritesNothingUnlessNews: the proof of a read costs a write only where there is
// a synchronous standby, and something new.
func TestRead_WritesNothingUnlessNews(t *testing.T) {
	ctx := t.Context()
	pair, a, b, term, _ := twoOnPair(t)
	journaltest.Append(t, a, term, journaltest.Part(shard0, "1"), journaltest.Part(metastore.ShardJournal(1), "1"))
	conn := connect(t, pair.Primary().URL("wadi"))
	written := func(after metastore.Version) (n int) {
		t.Helper()
		count := func() (n int) {
			if err := conn.QueryRow(ctx, "select txid_current()").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := count()
		if _, err := b.Read(ctx, []metastore.Position{{Journal: shard0, After: after}, {Journal: metastore.ShardJournal(1), After: after}}, 1<<20); err != nil {
			t.Fatal(err)
		}
		return count() - before - 1
	}
	if n := written(0); n != 1 {
		t.Errorf("%d transactions wrote for what was new in two journals", n)
	}
	if n := written(1); n != 0 {
		t.Errorf("%d transactions wrote for nothing new", n)
	}
}
