package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// pushing has every append of a published to b.
func (a *agent) pushing(b *agent) {
	a.writer.Publish = func(origin string, parts []metastore.AppendPart, versions []metastore.Version) {
		for i, p := range parts {
			b.follower.Receive(origin, p.Journal, versions[i], p.Payload)
		}
	}
	b.follower.Pusher(1)
}

func (a *agent) append(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, w)}); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *agent) said() string {
	var s string
	metastore.View(a.follower.Replica(journals[0]), func(m *tally) { s = fmt.Sprint(m.said) })
	return s
}

// counted is a store that counts reads.
func counted(store metastore.Store) *metastore.Counting { return metastore.NewCounting(store) }

func TestReceive_NextIsFoldedWithoutARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		reads := counted(store)
		a, b := newAgent(t, t.Context(), store), newAgent(t, t.Context(), reads)
		a.run(t, t.Context())
		b.run(t, t.Context())
		a.pushing(b)
		time.Sleep(time.Millisecond)
		fresh := b.follower.Replica(journals[0]).FreshAt()
		before := reads.Statements().Read
		a.append(t, "x", "y", "z")
		if b.said() != "[x y z]" || reads.Statements().Read != before {
			t.Errorf("%v after %d reads", b.said(), reads.Statements().Read-before)
		}
		if got := b.follower.Replica(journals[0]).FreshAt(); got != fresh {
			t.Error("a push made the replica fresh")
		}
		if s := b.follower.PushStats(); s.Entries != 3 || s.Early != 0 || s.Fills != 0 || s.Pushers != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestReceive_GapIsReadAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		reads := counted(store)
		a, b := newAgent(t, t.Context(), store), newAgent(t, t.Context(), reads)
		a.run(t, t.Context())
		b.run(t, t.Context())
		a.append(t, "1", "2") // pushed to nobody
		a.pushing(b)
		before := reads.Statements().Read
		a.append(t, "3", "4")
		time.Sleep(19 * time.Millisecond)
		if b.said() != "[]" || reads.Statements().Read != before {
			t.Errorf("before the wait is over: %v after %d reads", b.said(), reads.Statements().Read-before)
		}
		time.Sleep(2 * time.Millisecond)
		if b.said() != "[1 2 3 4]" || reads.Statements().Read != before+1 {
			t.Errorf("after the wait: %v after %d reads", b.said(), reads.Statements().Read-before)
		}
		if s := b.follower.PushStats(); s.Early != 2 || s.Fills != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestReceive_AnyOrder folds the same entries in the journal's order, whatever
// order they come in and however often.
func TestReceive_AnyOrder(t *testing.T) {
	for _, order := range [][]int{{1, 2, 3, 4}, {4, 3, 2, 1}, {2, 4, 1, 3}, {2, 2, 4, 1, 1, 3, 4}, {1, 4, 3, 3, 2}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			b := newAgent(t, t.Context(), newStore(t))
			for _, n := range order {
				b.follower.Receive("", journals[0], metastore.Version(n), entry(7, uint64(n), say(fmt.Sprint(n))))
			}
			if b.said() != "[1 2 3 4]" || b.follower.Replica(journals[0]).Behind() {
				t.Error(b.said())
			}
		})
	}
}

func TestReceive_HoldsNoMoreThanItsBound(t *testing.T) {
	b := newAgent(t, t.Context(), newStore(t))
	big := make([]byte, metastore.EntryBytesMax/2)
	for n := 2; n < 20; n++ {
		b.follower.Receive("", journals[0], metastore.Version(n), entry(7, uint64(n), say(string(big))))
	}
	b.follower.Receive("", journals[0], 1, entry(7, 1, say("first")))
	// 4 MiB hold 7 entries that are larger than half a MiB by their headers.
	if v := b.follower.Replica(journals[0]).Version(); v != 8 {
		t.Errorf("version %d", v)
	}
}

func TestReceive_TwoEntriesAtOneVersion(t *testing.T) {
	at := func(n int, s string) []byte { return entry(7, uint64(n), say(s)) }
	t.Run("after it was folded", func(t *testing.T) {
		b := newAgent(t, t.Context(), newStore(t))
		b.follower.Receive("", journals[0], 1, at(1, "x"))
		b.follower.Receive("", journals[0], 1, at(1, "y"))
		if err := b.follower.Replica(journals[0]).Err(); !errors.Is(err, metastore.ErrStopped) || b.said() != "[x]" {
			t.Errorf("%v, %v", b.said(), err)
		}
	})
	t.Run("while they are held", func(t *testing.T) {
		b := newAgent(t, t.Context(), newStore(t))
		for _, s := range []string{"x", "y", "x"} {
			b.follower.Receive("", journals[0], 2, at(2, s))
		}
		b.follower.Receive("", journals[0], 1, at(1, "first"))
		if err := b.follower.Replica(journals[0]).Err(); err != nil || b.said() != "[first]" {
			t.Errorf("%v, %v: neither may be folded", b.said(), err)
		}
	})
	t.Run("an unknown journal", func(t *testing.T) {
		b := newAgent(t, t.Context(), newStore(t))
		b.follower.Receive("", metastore.ShardJournal(99), 1, at(1, "x"))
		if b.follower.PushStats().Unwanted != 1 {
			t.Error("not counted")
		}
	})
}

// TestWriter_WaitsForPushesBelowItsOwn appends from two agents to one journal, turn
// by turn: neither ever reads, since what it lacks is pushed.
func TestWriter_WaitsForPushesBelowItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		reads := counted(store)
		a, b := newAgent(t, t.Context(), store), newAgent(t, t.Context(), reads)
		a.run(t, t.Context())
		b.run(t, t.Context())
		b.follower.Pusher(1)
		// What a appends comes to b 5 ms later.
		a.writer.Publish = func(origin string, parts []metastore.AppendPart, versions []metastore.Version) {
			go func() {
				time.Sleep(5 * time.Millisecond)
				b.follower.Receive(origin, parts[0].Journal, versions[0], parts[0].Payload)
			}()
		}
		before := reads.Statements().Read
		began := time.Now()
		for i := range 10 {
			a.append(t, fmt.Sprint("a", i))
			b.append(t, fmt.Sprint("b", i))
		}
		if n := reads.Statements().Read - before; n != 0 || time.Since(began) != 50*time.Millisecond {
			t.Errorf("%d reads in %v", n, time.Since(began))
		}
		// A push that is lost costs one read after the wait.
		a.writer.Publish = nil
		a.append(t, "lost")
		b.append(t, "next")
		if n := reads.Statements().Read - before; n != 1 {
			t.Errorf("%d reads for a lost push", n)
		}
		if err := a.follower.Refresh(t.Context(), journals[0]); err != nil || a.said() != b.said() {
			t.Errorf("%v\n%s\n%s", err, a.said(), b.said())
		}
	})
}

// TestWriter_PublishesOnlyWhatLanded has appends fail in every way: what is told
// stands in the journal at its version, and of each append something is told.
func TestWriter_PublishesOnlyWhatLanded(t *testing.T) {
	for _, script := range [][]fault{nil, {refused, refused}, {lost}, {late, fine}, {twice}, {refused, lost, twice}} {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t)
			a := newAgent(t, t.Context(), &faulty{Store: store, script: script})
			a.run(t, t.Context())
			told := map[metastore.Version][]byte{}
			a.writer.Publish = func(origin string, parts []metastore.AppendPart, versions []metastore.Version) {
				told[versions[0]] = slices.Clone(parts[0].Payload)
			}
			a.append(t, "x", "y")
			tails, err := store.Read(context.Background(), []metastore.Position{{Journal: journals[0]}}, 1<<20)
			if err != nil || len(told) != 2 {
				t.Fatal(err, len(told))
			}
			for v, payload := range told {
				if e := tails[0].Entries[v-1]; e.Version != v || !slices.Equal(e.Payload, payload) {
					t.Errorf("%v: version %d was told with other bytes", script, v)
				}
			}
		})
	}
}
