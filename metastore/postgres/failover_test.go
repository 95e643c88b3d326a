package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

// again calls until the outcome is not that of a connection that broke, or of a
// move that waits for others.
func again(t *testing.T, call func() error) error {
	t.Helper()
	for ; ; lookAgain() {
		err := call()
		var lost *metastore.LostTailError
		if err == nil || errors.Is(err, metastore.ErrTermEnded) || errors.As(err, &lost) || t.Context().Err() != nil {
			return err
		}
	}
}

func appendAgain(t *testing.T, s *Store, term metastore.Term, parts ...metastore.AppendPart) (versions []metastore.Version, err error) {
	t.Helper()
	err = again(t, func() error {
		versions, err = s.Append(context.Background(), term, parts)
		return err
	})
	return versions, err
}

// twoOnPair is two agents of a cluster, with their terms, on a primary with a synchronous standby.
func twoOnPair(t *testing.T) (pair *postgrestest.Pair, a, b *Store, termA, termB metastore.Term) {
	t.Helper()
	pair = postgrestest.NewPair(t, true)
	url, err := pair.Create(t.Context(), "wadi")
	if err != nil {
		t.Fatal(err)
	}
	a, b = openStore(t, url), openStore(t, url)
	return pair, a, b, journaltest.Begin(t, a), journaltest.Begin(t, b)
}

// TestFailOver_NothingLost: with a synchronous standby all goes on after it.
func TestFailOver_NothingLost(t *testing.T) {
	ctx := t.Context()
	pair, a, b, termA, termB := twoOnPair(t)
	journaltest.Append(t, a, termA, journaltest.Part(shard0, "1"))
	journaltest.Append(t, b, termB, journaltest.Part(shard0, "2"))
	if err := pair.FailOver(ctx); err != nil {
		t.Fatal(err)
	}
	// Nothing is appended before the other has said what it had seen.
	var moved *MovedError
	for err := error(nil); !errors.As(err, &moved); {
		if _, err = a.Append(ctx, termA, []metastore.AppendPart{journaltest.Part(shard0, "3")}); err == nil {
			t.Fatal("appended alone")
		}
	}
	if len(moved.Waiting) != 1 || metastore.Term(moved.Waiting[0]) != termB {
		t.Fatalf("waits for %v, not for %d", moved.Waiting, termB)
	}
	if err := again(t, func() error { return b.Settle(ctx) }); err != nil {
		t.Fatal(err)
	}
	if got, err := appendAgain(t, a, termA, journaltest.Part(shard0, "3")); err != nil || got[0] != 3 {
		t.Fatalf("version %v, %v", got, err)
	}
	// What was appended on the new server since the others confirmed it is no evidence
	// of a loss, whether a's own calls or the bucket tell of it.
	// Nor is what b appended there and pushed to a.
	a.Witness(func(context.Context) (metastore.Evidence, error) {
		return metastore.Evidence{Seen: map[metastore.JournalID]metastore.Version{shard0: 3}}, nil
	})
	if got, err := appendAgain(t, b, termB, journaltest.Part(shard0, "pushed")); err != nil || got[0] != 4 {
		t.Fatalf("version %v, %v", got, err)
	}
	if err := again(t, func() error {
		tails, err := a.Read(ctx, []metastore.Position{{Journal: shard0, After: 4}}, 1<<20)
		if err == nil && (tails[0].Head != 4 || tails[0].Lost != 0) {
			t.Fatalf("tails %+v", tails)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := appendAgain(t, b, termB, journaltest.Part(shard0, "5")); err != nil || got[0] != 5 {
		t.Fatalf("version %v, %v", got, err)
	}
	if lost, err := b.LostTails(ctx); err != nil || len(lost) > 0 {
		t.Fatalf("lost: %+v, %v", lost, err)
	}
}

// TestFailOver_NameIsLate: while a name, or a proxy, still leads to a standby, connections to it are made, which
// work but for what writes. They aren't kept once it leads to the primary.
func TestFailOver_NameIsLate(t *testing.T) {
	ctx := t.Context()
	pair := postgrestest.NewPair(t, true)
	if _, err := pair.Create(ctx, "wadi"); err != nil {
		t.Fatal(err)
	}
	cfg, schema, err := parse(pair.Primary().URL("wadi"))
	if err != nil {
		t.Fatal(err)
	}
	var port atomic.Uint32
	leadTo := func(server *postgrestest.Server) {
		to, err := pgx.ParseConfig(server.URL("wadi"))
		if err != nil {
			t.Fatal(err)
		}
		port.Store(uint32(to.Port))
	}
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port.Load()))
	}
	leadTo(pair.Primary())
	s, err := open(ctx, cfg, schema, metastore.DefaultCluster())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	term := journaltest.Begin(t, s)
	if err := pair.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"append": func() error {
			_, err := s.Append(ctx, term, []metastore.AppendPart{journaltest.Part(shard0, "1")})
			return err
		},
		"read": func() error {
			_, err := s.Read(ctx, []metastore.Position{{Journal: shard0}}, 1)
			return err
		},
		"renewal": func() error { return s.RenewTerm(ctx, term, time.Hour, 0) },
	} {
		leadTo(pair.Standby())
		s.pool.Reset() // as after its connections broke
		s.terms.Reset()
		if err := call(); err == nil {
			t.Errorf("%s: a standby took it", name)
		}
		leadTo(pair.Primary())
		if err := call(); err != nil {
			t.Errorf("%s, once the name leads to the primary: %v", name, err)
		}
	}
}

// TestFailOver_LostTail: one agent has seen what the standby never had; the other
// one, which has not, must not build on what is left.
func TestFailOver_LostTail(t *testing.T) {
	ctx := t.Context()
	pair := postgrestest.NewPair(t, false)
	url, err := pair.Create(ctx, "wadi")
	if err != nil {
		t.Fatal(err)
	}
	a, b := openStore(t, url), openStore(t, url)
	var asked int
	b.Witness(func(context.Context) (metastore.Evidence, error) {
		asked++
		return metastore.Evidence{LastTerm: 40, Seen: map[metastore.JournalID]metastore.Version{metastore.ShardJournal(2): 1}}, nil
	})
	shard1 := metastore.ShardJournal(1)
	termA, termB := journaltest.Begin(t, a), journaltest.Begin(t, b)
	dead, err := openStore(t, url).BeginTerm(ctx, metastore.AgentInfo{}, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	journaltest.Append(t, a, termA, journaltest.Part(shard0, "kept"), journaltest.Part(shard1, "kept"))
	if err := pair.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	if err := pair.Cut(ctx); err != nil {
		t.Fatal(err)
	}
	journaltest.Append(t, a, termA, journaltest.Part(shard0, "lost"))
	late := openStore(t, url)
	journaltest.Head(t, late, shard0)
	if err := pair.FailOver(ctx); err != nil {
		t.Fatal(err)
	}
	_, errB := b.Append(ctx, termB, []metastore.AppendPart{journaltest.Part(shard0, "b's")})
	for errB == nil || !errors.As(errB, new(*MovedError)) {
		if errB == nil {
			t.Fatal("appended on the new server before the other agent said what it had seen")
		}
		_, errB = b.Append(ctx, termB, []metastore.AppendPart{journaltest.Part(shard0, "b's")})
	}
	for _, agent := range []struct {
		store *Store
		term  metastore.Term
	}{{a, termA}, {b, termB}} {
		_, err := appendAgain(t, agent.store, agent.term, journaltest.Part(shard0, "more"))
		if lost := new(metastore.LostTailError); !errors.As(err, &lost) || lost.Head != 1 || lost.Seen != 2 {
			t.Fatalf("append after the loss: %v", err)
		}
		if got, err := appendAgain(t, agent.store, agent.term, journaltest.Part(shard1, "more")); err != nil {
			t.Fatalf("a whole journal: %v, %v", got, err)
		}
	}
	// Who comes late has nothing new to say, and finds its journal stopped.
	if err := again(t, func() error {
		tails, err := late.Read(ctx, []metastore.Position{{Journal: shard0, After: 2}, {Journal: shard1}}, 1<<20)
		if err == nil && (tails[0].Lost != 2 || tails[0].Head != 1 || tails[1].Lost != 0 || tails[1].Head != 3) {
			t.Fatalf("tails %+v", tails)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	lost, err := a.LostTails(ctx)
	if err != nil || len(lost) != 2 || lost[0].Journal != shard0 || lost[1].Journal != metastore.ShardJournal(2) || asked == 0 {
		t.Fatalf("lost: %+v, %v; the bucket was asked %d times", lost, err, asked)
	}
	var next metastore.TermInfo
	if err := again(t, func() error {
		next, err = a.BeginTerm(ctx, metastore.AgentInfo{}, journaltest.Lease)
		return err
	}); err != nil || next.Term != 41 {
		t.Fatalf("term %d after 40, which only the bucket knew; %d had expired: %v", next.Term, dead.Term, err)
	}
}

// TestMove_RestoredElsewhere: a dump that was loaded into another server is not
// appended to unseen, either.
func TestMove_RestoredElsewhere(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	conn := connect(t, url)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	journaltest.Append(t, s, term, journaltest.Part(shard0, "1"))
	exec(t, conn, "update wadi.server set identity = '7/00000001'")
	if got, err := appendAgain(t, s, term, journaltest.Part(shard0, "2")); err != nil || got[0] != 2 {
		t.Fatalf("version %v, %v", got, err)
	}
	exec(t, conn, "update wadi.server set by_start = true, identity = 'before'")
	if got, err := appendAgain(t, s, term, journaltest.Part(shard0, "3")); err != nil || got[0] != 3 {
		t.Fatalf("told by its start: version %v, %v", got, err)
	}
	if err := s.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	// An agent of the release before can't say what it has seen.
	exec(t, conn, "update wadi.server set identity = 'another'")
	var outcome string
	err := conn.QueryRow(ctx, "select outcome from wadi.append($1, $2, $3, '{-1}')", int64(term), []int32{int32(shard0)}, [][]byte{[]byte("old")}).Scan(&outcome)
	if err != nil || outcome != "moved" {
		t.Fatalf("an old agent's append came to %q, %v", outcome, err)
	}
}

// TestMove_WhatOthersPushed: what an agent was told by another, and never read, is
// among what it has seen. What it is told of another server is not, nor anything
// once it knows that there is one.
func TestMove_WhatOthersPushed(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	conn := connect(t, url)
	s, other := openStore(t, url), openStore(t, url)
	term, another := journaltest.Begin(t, s), journaltest.Begin(t, other)
	journaltest.Append(t, s, term, journaltest.Part(shard0, "1"))
	before := s.Origin()
	if !s.Pushed(before, shard0, 2) || s.Pushed("7/00000009", shard0, 3) {
		t.Fatal("of the same server it is taken, of another not")
	}
	exec(t, conn, "update wadi.server set identity = '7/00000001'")
	_, err := s.Append(ctx, term, []metastore.AppendPart{journaltest.Part(shard0, "more")})
	if moved := new(MovedError); !errors.As(err, &moved) || len(moved.Waiting) != 1 || moved.Waiting[0] != int64(another) {
		t.Fatalf("append on another server: %v", err)
	}
	if places, err := s.Snapshots(ctx, []metastore.JournalID{shard0}); !errors.As(err, new(*MovedError)) {
		t.Errorf("snapshots of a server that is not confirmed: %v, %v", places, err)
	}
	if s.Pushed(before, shard0, 3) {
		t.Error("an entry was taken after the next server was told what had been seen")
	}
	exec(t, conn, fmt.Sprintf("update wadi.terms set ended_at = clock_timestamp() where term = %d", another))
	if err := again(t, func() error {
		tails, err := s.Read(ctx, []metastore.Position{{Journal: shard0, After: 2}}, 1<<20)
		if err == nil && (tails[0].Lost != 2 || tails[0].Head != 1) {
			t.Errorf("tails %+v", tails)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if lost, err := s.LostTails(ctx); err != nil || len(lost) != 1 || lost[0].Seen != 2 {
		t.Errorf("lost: %+v, %v", lost, err)
	}
}

// TestFailOver_LateAgent: the others went on without one whose lease ran out while it
// looked at a slow bucket. What they appended and pushed since is no loss.
func TestFailOver_LateAgent(t *testing.T) {
	ctx := t.Context()
	pair, late, b, termLate, termB := twoOnPair(t)
	journaltest.Append(t, late, termLate, journaltest.Part(shard0, "1"))
	journaltest.Append(t, b, termB, journaltest.Part(shard0, "2"))
	if !late.Pushed(b.Origin(), shard0, 2) {
		t.Fatal("a push on the server that both know was let go")
	}
	if ended, err := b.EndTerm(ctx, termLate, true); !ended || err != nil {
		t.Fatal(ended, err)
	}
	asked, slow := make(chan struct{}), make(chan struct{})
	late.Witness(func(ctx context.Context) (metastore.Evidence, error) {
		close(asked)
		<-slow
		return metastore.Evidence{Seen: map[metastore.JournalID]metastore.Version{shard0: 3}}, nil
	})
	if err := pair.FailOver(ctx); err != nil {
		t.Fatal(err)
	}
	read := start(func() outcome {
		return outcome{err: again(t, func() error {
			tails, err := late.Read(ctx, []metastore.Position{{Journal: shard0, After: 2}}, 1<<20)
			if err == nil && (tails[0].Head != 3 || tails[0].Lost != 0 || len(tails[0].Entries) != 1) {
				t.Errorf("tails %+v", tails)
			}
			return err
		})}
	})
	<-asked
	if got, err := appendAgain(t, b, termB, journaltest.Part(shard0, "3")); err != nil || got[0] != 3 {
		t.Fatalf("version %v, %v", got, err)
	}
	if late.Origin() == b.Origin() || late.Pushed(b.Origin(), shard0, 3) {
		t.Error("a push of a server that is not confirmed here was taken")
	}
	close(slow)
	if got := <-read; got.err != nil {
		t.Fatal(got.err)
	}
	if lost, err := late.LostTails(ctx); err != nil || len(lost) > 0 {
		t.Fatalf("lost: %+v, %v", lost, err)
	}
}

// TestMove_SleptOverTwo: an agent that wakes up two servers later is judged by what
// the first of them lacked, not only by what the second one did.
func TestMove_SleptOverTwo(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	conn := connect(t, url)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	for _, text := range []string{"kept", "another", "third"} {
		journaltest.Append(t, s, term, journaltest.Part(shard0, text))
	}
	exec(t, conn, "update wadi.moves set identity = 'A' where number = 0")
	exec(t, conn, "insert into wadi.moves (number, identity, journals, heads) select 1, 'B', array[j], array[1] from (select "+fmt.Sprint(int32(shard0))+" as j) x")
	exec(t, conn, "insert into wadi.moves (number, identity, journals, heads) select 2, s.identity, array[j], array[3] from wadi.server s, (select "+fmt.Sprint(int32(shard0))+" as j) x")
	late := openStore(t, url)
	late.server.confirmed("A", nil)
	if !late.Pushed("A", shard0, 2) {
		t.Fatal("not taken")
	}
	tails, err := late.Read(ctx, []metastore.Position{{Journal: shard0, After: 2}}, 1<<20)
	if err != nil || tails[0].Lost != 2 || tails[0].Head != 1 {
		t.Fatalf("tails %+v, %v", tails, err)
	}
	if lost, err := s.LostTails(ctx); err != nil || len(lost) != 1 || lost[0].Seen != 2 || lost[0].Head != 1 {
		t.Errorf("lost: %+v, %v", lost, err)
	}
}
