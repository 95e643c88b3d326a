package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// asked counts the positions that reads asked for, by journal.
type asked struct {
	metastore.Store
	mu    sync.Mutex
	of    map[metastore.JournalID]int
	reads int
}

// counts returns the reads so far, and those that named the second journal.
func (a *asked) counts() (reads, second int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reads, a.of[journals[1]]
}

func (a *asked) Read(ctx context.Context, ps []metastore.Position, n int) ([]metastore.Tail, error) {
	a.mu.Lock()
	a.reads++
	for _, p := range ps {
		a.of[p.Journal]++
	}
	store := a.Store
	a.mu.Unlock()
	return store.Read(ctx, ps, n)
}

// newLazy is an agent that serves the first of two journals.
func newLazy(t *testing.T, store metastore.Store, bucket objects) (*agent, *asked) {
	t.Helper()
	counting := &asked{Store: store, of: map[metastore.JournalID]int{}}
	info, err := store.BeginTerm(t.Context(), metastore.AgentInfo{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{term: info.Term, follower: metastore.NewFollower(counting, bucket, metastore.DefaultFollowerConfig())}
	a.follower.Serve(func(id metastore.JournalID) bool { return id == journals[0] })
	for _, j := range journals {
		m := &tally{}
		a.tallies = append(a.tallies, m)
		a.follower.Follow(j, m)
	}
	if err := a.follower.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.writer = metastore.NewWriter(info.Term, counting, a.follower, time.Now)
	a.run(t, t.Context())
	return a, counting
}

// saidOf is what an agent has folded of a journal.
func (a *agent) saidOf(journal int) string {
	for _, r := range a.follower.Replicas() {
		if r.ID() == journals[journal] {
			var s string
			metastore.View(r, func(m *tally) { s = fmt.Sprint(m.said) })
			return s
		}
	}
	return "no replica"
}

// TestFollower_Closely asks once about a journal that isn't served: it is followed
// for AskedFor, then forgotten, and loaded again when it is asked about.
func TestFollower_Closely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, bucket := newStore(t), objects{}
		other := newAgent(t, t.Context(), store)
		other.run(t, t.Context())
		say := func(s string) {
			t.Helper()
			if _, err := other.writer.Append(t.Context(), []metastore.Draft{draft(0, s), draft(1, s)}); err != nil {
				t.Fatal(err)
			}
		}
		a, counting := newLazy(t, store, bucket)
		say("1")
		time.Sleep(10*time.Second + time.Millisecond)
		if _, n := counting.counts(); a.saidOf(0) != "[1]" || a.saidOf(1) != "[]" || n != 0 {
			t.Errorf("%s %s, %d reads of the other", a.saidOf(0), a.saidOf(1), n)
		}
		if err := a.follower.Refresh(t.Context(), journals[1]); err != nil || a.saidOf(1) != "[1]" {
			t.Fatalf("on demand: %s, %v", a.saidOf(1), err)
		}
		before, _ := counting.counts()
		say("2")
		time.Sleep(time.Minute)
		if n, _ := counting.counts(); a.saidOf(1) != "[1 2]" || n-before != 60 || fmt.Sprint(a.follower.Closely()) != fmt.Sprint(journals) {
			t.Errorf("for a while: %s by %d reads, %v", a.saidOf(1), n-before, a.follower.Closely())
		}
		time.Sleep(5 * time.Minute)
		if a.saidOf(1) != "[]" || len(a.follower.Closely()) != 1 || len(a.follower.Followed()) != 1 {
			t.Errorf("after a while: %s, %v", a.saidOf(1), a.follower.Closely())
		}
		_, before = counting.counts()
		// What is pushed of it isn't wanted.
		a.follower.Receive("", journals[1], 3, entry(other.term, 3, nil))
		time.Sleep(time.Minute)
		if _, n := counting.counts(); n != before || a.follower.PushStats().Unwanted != 1 {
			t.Error("what isn't followed is read")
		}
		// An append to it loads it first, from the snapshot.
		if err := metastore.NewSnapshotter(store, bucket, other.follower, other.writer, metastore.DefaultSnapshotConfig()).Snapshot(t.Context(), journals[1]); err != nil {
			t.Fatal(err)
		}
		landed, err := a.writer.Append(t.Context(), []metastore.Draft{draft(1, "3")})
		if err != nil || landed.Parts[0].Outcomes[0] != 3 || a.saidOf(1) != "[1 2 3]" {
			t.Errorf("an append: %v, %v, %s", landed, err, a.saidOf(1))
		}
	})
}

// TestFollower_ForgetsNoVersion has the metastore lose its tail while a journal is
// not followed: it stops when it is asked about.
func TestFollower_ForgetsNoVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		a, counting := newLazy(t, store, nil)
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(1, "x"), draft(0, "x")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		if a.saidOf(1) != "[]" {
			t.Fatal("it was not forgotten")
		}
		counting.mu.Lock()
		counting.Store = newStore(t) // empty
		counting.mu.Unlock()
		err := a.follower.Refresh(t.Context(), journals[1])
		if !errors.Is(err, metastore.ErrStopped) {
			t.Errorf("a lost tail: %v", err)
		}
	})
}

// TestFollower_WhatWasServedStays moves a journal to another agent and back: it
// isn't forgotten at once.
func TestFollower_WhatWasServedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newLazy(t, newStore(t), nil)
		a.append(t, "x")
		time.Sleep(10 * time.Minute)
		a.follower.Serve(func(metastore.JournalID) bool { return false })
		time.Sleep(4 * time.Minute)
		if a.saidOf(0) != "[x]" {
			t.Error("it was forgotten at once")
		}
		time.Sleep(2 * time.Minute)
		if a.saidOf(0) != "[]" || len(a.follower.Served()) != 0 {
			t.Error("it is followed for ever")
		}
	})
}

// TestSnapshotter_OneAgentsWork has two agents look after the same journal, which one
// of them serves: only that one makes snapshots, until it is gone.
func TestSnapshotter_OneAgentsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, bucket := newStore(t), objects{}
		a, _ := newLazy(t, store, bucket)
		b, _ := newLazy(t, store, bucket)
		b.follower.Serve(func(metastore.JournalID) bool { return false })
		var mu sync.Mutex
		makers := map[metastore.Term]int{}
		made := func(x *agent) int { mu.Lock(); defer mu.Unlock(); return makers[x.term] }
		looking := func(x *agent) (stop func()) {
			cfg := metastore.DefaultSnapshotConfig()
			cfg.EntriesMin = 10
			x.writer.Publish = func(origin string, parts []metastore.AppendPart, _ []metastore.Version) {
				if h, effects, _ := metastore.ParseEntry(parts[0].Payload); len(parts) == 1 {
					if kind, _, _, _ := effects.Next(); kind == metastore.EffectSnapshotHash {
						mu.Lock()
						makers[h.Term]++
						mu.Unlock()
					}
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				metastore.NewSnapshotter(store, bucket, x.follower, x.writer, cfg).Run(ctx)
			}()
			return func() { cancel(); <-done }
		}
		stopA, stopB := looking(a), looking(b)
		for i := range 60 {
			a.append(t, fmt.Sprint(i))
			b.follower.Replica(journals[0]) // asked about
			time.Sleep(time.Second)
		}
		if made(a) < 3 || made(b) != 0 {
			t.Errorf("%d by who serves it, %d by the other", made(a), made(b))
		}
		stopA()
		for i := range 60 {
			a.append(t, fmt.Sprint(i))
			b.follower.Replica(journals[0])
			time.Sleep(time.Second)
		}
		stopB()
		if made(b) < 1 {
			t.Error("nobody takes over")
		}
	})
}
