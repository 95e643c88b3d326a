package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
)

var shard0 = metastore.ShardJournal(0)

// outcome is what a call that was started came to.
type outcome struct {
	versions []metastore.Version
	ended    bool
	err      error
}

func start(call func() outcome) <-chan outcome {
	done := make(chan outcome, 1)
	go func() { done <- call() }()
	return done
}

func startAppend(s *Store, term metastore.Term, parts ...metastore.AppendPart) <-chan outcome {
	return start(func() outcome {
		versions, err := s.Append(context.Background(), term, parts)
		return outcome{versions: versions, err: err}
	})
}

// lookAgain is between two looks at a server that is to come to something: it needs the
// processor for that.
func lookAgain() { <-time.After(5 * time.Millisecond) }

// waitUntilBlocked returns once so many statements with a text wait for a lock.
func waitUntilBlocked(t *testing.T, conn *pgx.Conn, text string, statements int) {
	t.Helper()
	const sql = `select count(*) from pg_stat_activity
		where datname = current_database() and pid <> pg_backend_pid() and wait_event_type = 'Lock' and query like '%' || $1 || '%'`
	for waiting := 0; waiting < statements; lookAgain() {
		if err := conn.QueryRow(t.Context(), sql, text).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
}

// holdJournal locks a journal's row, as an append does, until the transaction is rolled back.
func holdJournal(t *testing.T, conn *pgx.Conn, j metastore.JournalID) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select from wadi.journals where journal = $1 for no key update", int32(j)); err != nil {
		t.Fatal(err)
	}
	return tx
}

// TestEndTerm_WaitsForAppendUnderWay: the append has checked its term and waits
// for a journal; the end comes after it, a renewal passes them both.
func TestEndTerm_WaitsForAppendUnderWay(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	s, other := openStore(t, url), openStore(t, url)
	for _, force := range []bool{false, true} {
		term := journaltest.Begin(t, s)
		before := journaltest.Head(t, s, shard0)
		watch := connect(t, url)
		holder := holdJournal(t, connect(t, url), shard0)
		appended := startAppend(s, term, journaltest.Part(shard0, "under way"))
		waitUntilBlocked(t, watch, "wadi\".append", 1)

		lease := time.Hour
		if !force {
			lease = 0
		}
		if err := s.RenewTerm(ctx, term, lease, 0); err != nil {
			t.Fatalf("renewal beside an append: %v", err)
		}
		ended := start(func() outcome {
			ended, err := other.EndTerm(context.Background(), term, force)
			return outcome{ended: ended, err: err}
		})
		waitUntilBlocked(t, watch, "end_term", 1)
		select {
		case got := <-ended:
			t.Fatalf("the end did not wait: %+v", got)
		default:
		}
		if err := holder.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		if got := <-appended; got.err != nil || got.versions[0] != before+1 {
			t.Fatalf("append under way: %+v", got)
		}
		if got := <-ended; got.err != nil || !got.ended {
			t.Fatalf("end: %+v", got)
		}
		if got := <-startAppend(s, term, journaltest.Part(shard0, "late")); !errors.Is(got.err, metastore.ErrTermEnded) {
			t.Fatalf("late append: %+v", got)
		}
	}
}

// TestAppend_WaitsForEndUnderWay: the end holds the term's row and has not
// committed; the append that comes now is refused once it has.
func TestAppend_WaitsForEndUnderWay(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	s := openStore(t, url)
	for _, commits := range []bool{true, false} {
		term := journaltest.Begin(t, s)
		tx, err := connect(t, url).Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "select wadi.end_term($1, true)", int64(term)); err != nil {
			t.Fatal(err)
		}
		appended := startAppend(s, term, journaltest.Part(shard0, "late"))
		waitUntilBlocked(t, connect(t, url), "wadi\".append", 1)
		if !commits {
			if err := tx.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			if got := <-appended; got.err != nil {
				t.Fatalf("append after an end that was rolled back: %v", got.err)
			}
			continue
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if got := <-appended; !errors.Is(got.err, metastore.ErrTermEnded) {
			t.Fatalf("append: %+v", got)
		}
		if head := journaltest.Head(t, s, shard0); head != 0 {
			t.Fatalf("head %d", head)
		}
	}
}

// TestEndTerm_NotStarved: appends that overlap without a pause can't keep a live
// term from being ended.
func TestEndTerm_NotStarved(t *testing.T) {
	url := server.Database(t)
	s, other := openStore(t, url), openStore(t, url)
	// Those in flight, and what slips in before the lease is gone: far from the
	// hundreds that starvation takes each time. A busy machine may let more slip in once.
	const enough, tries = 100, 5
	var during []int64
	for range tries {
		n := appendsWhileEnding(t, s, other)
		if n <= enough {
			return
		}
		during = append(during, n)
	}
	t.Errorf("%d appends while terms were being ended", during)
}

// appendsWhileEnding counts the appends that get in while another store ends their term.
func appendsWhileEnding(t *testing.T, s, other *Store) int64 {
	t.Helper()
	term := journaltest.Begin(t, s)
	const writers = 6
	var appends atomic.Int64
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for {
				_, err := s.Append(context.Background(), term, []metastore.AppendPart{journaltest.Part(metastore.ShardJournal(w), "x")})
				if err != nil {
					errs <- err
					return
				}
				appends.Add(1)
			}
		}()
	}
	for appends.Load() < 3*writers {
		journaltest.Head(t, other, shard0)
	}
	before := appends.Load()
	if ended, err := other.EndTerm(t.Context(), term, true); !ended || err != nil {
		t.Fatalf("ended %v, %v", ended, err)
	}
	for range writers {
		if err := <-errs; !errors.Is(err, metastore.ErrTermEnded) {
			t.Fatal(err)
		}
	}
	return appends.Load() - before
}

// TestAppend_WaitsAreFresh: an append that waited for another one's journal counts
// on from what that one committed.
func TestAppend_WaitsAreFresh(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	tx, err := connect(t, url).Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "select wadi.append($1, $2, $3, '{-1}')", int64(term), []int32{int32(shard0)}, [][]byte{[]byte("first")}); err != nil {
		t.Fatal(err)
	}
	waiting := startAppend(s, term, journaltest.Part(shard0, "second"))
	waitUntilBlocked(t, connect(t, url), "wadi\".append", 1)
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-waiting; got.err != nil || got.versions[0] != 2 {
		t.Fatalf("the append that waited: %+v", got)
	}
}

// TestAppend_RefusesSnapshotOfTransaction: under repeatable read the heads would be old ones.
func TestAppend_RefusesSnapshotOfTransaction(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	for _, setting := range []string{"set transaction isolation level repeatable read", "set local synchronous_commit = off"} {
		tx, err := connect(t, url).Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, setting); err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec(ctx, "select wadi.append($1, $2, $3, '{-1}')", int64(term), []int32{int32(shard0)}, [][]byte{[]byte("x")})
		if err == nil {
			t.Fatalf("appended after %q", setting)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// unknown demands an error that is no refusal.
func unknown(t *testing.T, err error) {
	t.Helper()
	var lost *metastore.StrictLostError
	if err == nil || errors.Is(err, metastore.ErrTermEnded) || errors.As(err, &lost) {
		t.Fatalf("error %v, where the outcome is unknown", err)
	}
}

// TestAppend_ConnectionBreaksUnderWay: nothing was committed, but the caller can't know.
func TestAppend_ConnectionBreaksUnderWay(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	watch := connect(t, url)
	holder := holdJournal(t, connect(t, url), shard0)
	appended := startAppend(s, term, journaltest.Part(shard0, "x"))
	waitUntilBlocked(t, watch, "wadi\".append", 1)
	exec(t, watch, `select pg_terminate_backend(pid) from pg_stat_activity
		where datname = current_database() and wait_event_type = 'Lock' and query like '%wadi".append%'`)
	unknown(t, (<-appended).err)
	if err := holder.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if got := journaltest.Append(t, s, term, journaltest.Part(shard0, "again")); got[0] != 1 {
		t.Fatalf("version %d", got[0])
	}
}

// deafConn loses what the server answers once it is told to.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (c deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.deaf.Load() {
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestAppend_ReplyLost: the append was committed; sent again it is another entry, which the fold voids.
func TestAppend_ReplyLost(t *testing.T) {
	cfg, schema, err := parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	var deaf atomic.Bool
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return deafConn{conn, &deaf}, err
	}
	s, err := open(t.Context(), cfg, schema, metastore.DefaultCluster())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	term := journaltest.Begin(t, s)
	journaltest.Append(t, s, term, journaltest.Part(shard0, "first"))
	deaf.Store(true)
	got := <-startAppend(s, term, journaltest.Part(shard0, "second"))
	deaf.Store(false)
	unknown(t, got.err)
	if got := journaltest.Append(t, s, term, journaltest.Part(shard0, "second")); got[0] != 3 {
		t.Fatalf("version %d", got[0])
	}
}

// TestAppend_LocksLeaveNothing: under a backup's snapshot the locked rows get no dead versions.
func TestAppend_LocksLeaveNothing(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	backup, err := connect(t, url).BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Rollback(ctx)
	if _, err := backup.Exec(ctx, "select count(*) from wadi.journal_entries"); err != nil {
		t.Fatal(err)
	}
	watch := connect(t, url)
	const sql = "select pg_relation_size('wadi.journals') + pg_relation_size('wadi.terms')"
	var before, after int64
	if err := watch.QueryRow(ctx, sql).Scan(&before); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		journaltest.Append(t, s, term, journaltest.Part(shard0, "x"))
	}
	if err := watch.QueryRow(ctx, sql).Scan(&after); err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Fatalf("the locked tables grew from %d to %d bytes", before, after)
	}
}

// TestAppend_LocksInOrder: an append that waits for a journal holds no later one,
// whatever the order it names them in. So no two wait in a circle.
func TestAppend_LocksInOrder(t *testing.T) {
	url := server.Database(t)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	last := metastore.ShardJournal(7)
	holder := holdJournal(t, connect(t, url), shard0)
	var parts []metastore.AppendPart
	for shard := 7; shard >= 0; shard-- {
		parts = append(parts, journaltest.Part(metastore.ShardJournal(shard), "waits"))
	}
	waiting := startAppend(s, term, parts...)
	waitUntilBlocked(t, connect(t, url), "wadi\".append", 1)
	if got := journaltest.Append(t, s, term, journaltest.Part(last, "passes")); got[0] != 1 {
		t.Fatalf("version %d", got[0])
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-waiting; got.err != nil || got.versions[0] != 2 || got.versions[7] != 1 {
		t.Fatalf("the append that waited: %+v", got)
	}
}

// TestBeginTerm_IsNotCompiled: sequential scans that are turned off look so dear that a server with LLVM
// compiles the plan, for a third of a second of each agent's start. No function whose plan may have one is left to that.
func TestBeginTerm_IsNotCompiled(t *testing.T) {
	url := server.Database(t)
	openStore(t, url)
	rows, err := connect(t, url).Query(t.Context(), `select p.proname, 'jit=off' = any (p.proconfig), p.pronargs from pg_proc p
		where p.pronamespace = 'wadi'::regnamespace and 'enable_seqscan=off' = any (p.proconfig)`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	rare := map[string]bool{"end_term": true, "prune_terms": true, "place_snapshot": true, "trim": true, "heads_now": true}
	seen := 0
	for rows.Next() {
		var name string
		var off bool
		var arguments int
		if err := rows.Scan(&name, &off, &arguments); err != nil {
			t.Fatal(err)
		}
		if name == "begin_term" && arguments == 8 || rare[name] { // with 5 it is an older release's
			seen++
			if !off {
				t.Errorf("%s may be compiled", name)
			}
		}
	}
	if err := rows.Err(); err != nil || seen != len(rare)+1 {
		t.Errorf("%d functions, %v", seen, err)
	}
}
