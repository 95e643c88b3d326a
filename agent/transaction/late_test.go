package transaction

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/shard"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// What an agent does late, when another one coordinates and the producer is in its next transaction.

// holdAppends has an agent's appends that which holds for wait until release is closed. held tells of the first.
func (a *agent) holdAppends(which func(drafts []metastore.Draft) bool) (held <-chan struct{}, release func()) {
	first, wait := make(chan struct{}), make(chan struct{})
	tell := sync.OnceFunc(func() { close(first) })
	a.appender.fail(func(drafts []metastore.Draft) error {
		if which(drafts) {
			tell()
			<-wait
		}
		return nil
	})
	return first, func() { close(wait) }
}

func anyAppend([]metastore.Draft) bool { return true }

// heldEnd is the commit of transaction x, of four partitions and an offset in group "g", that agent a holds before its
// append. Nothing is held at agent b.
type heldEnd struct {
	w        *world
	a, b     *agent
	version2 bool
	who      Answer
	x        uint64
	late     <-chan error // what came of it, once it is released
	release  func()
}

// eachHeldEnd tests in both versions, and with the decision beside its markers (strict) or without (guarded).
func eachHeldEnd(t *testing.T, test func(t *testing.T, h *heldEnd)) {
	for _, version2 := range []bool{false, true} {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprintf("version 2: %t, alone: %t", version2, alone), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					h := &heldEnd{w: w, version2: version2, b: w.start(nil), a: w.start(func(c *Config, _ *Deps) {
						if alone {
							c.EndBytesMax = 0
						}
					})}
					h.who = h.a.init()
					h.x = h.a.enter(entry(h.who, version2, 4, "g"))
					h.a.offset(h.who, h.x, 5)
					held, release := h.a.holdAppends(anyAppend)
					late := make(chan error, 1)
					go func() {
						_, err := h.a.end(h.who, version2, true)
						late <- err
					}()
					<-held
					h.late, h.release = late, release
					test(t, h)
				})
			})
		}
	}
}

// TestEnd_LateInTheNext: an end that a coordinator appends late, after another one has ended the transaction for the
// client's retry, ends no other: not the next one of the same epoch, which version 1 has.
func TestEnd_LateInTheNext(t *testing.T) {
	eachHeldEnd(t, func(t *testing.T, h *heldEnd) {
		w, b, who := h.w, h.b, h.who
		next, err := b.end(who, h.version2, true)
		w.check(err)
		y := b.enter(entry(next, h.version2, 3, "g"))
		h.release()
		want := ErrFenced // version 2: it is known by its epoch
		if !h.version2 {
			want = ErrNotAvailable
		}
		w.want(<-h.late, want, "the late end")
		time.Sleep(3 * time.Second) // whoever has something to resume does
		if got := b.status(); got != stored.Ongoing || b.ended(who.ProducerID, h.x, 4) != 4 || b.ended(who.ProducerID, y, 4) != 0 {
			t.Errorf("the next transaction is %v, ended in %d partitions", got, b.ended(who.ProducerID, y, 4))
		}
		_, err = b.end(next, h.version2, true)
		w.check(err)
		if n := b.ended(who.ProducerID, y, 3); n != 3 {
			t.Errorf("the next transaction has ended in %d partitions", n)
		}
	})
}

// TestEnd_ClientLeft: what waits for its turn when its client leaves is not done: the client asks again, maybe elsewhere.
func TestEnd_ClientLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(nil)
		who := a.init()
		a.enter(entry(who, false, 2))
		held, release := a.holdAppends(anyAppend)
		other := a.initOf(stored.None, stored.None)
		other.ID = "other"
		done := make(chan error, 1)
		go func() {
			_, err := a.Init(t.Context(), other)
			done <- err
		}()
		<-held
		ctx, leave := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := a.End(ctx, End{ID: "id", ProducerID: who.ProducerID, Epoch: who.Epoch, Commit: true, NewID: w.newID})
			ended <- err
		}()
		synctest.Wait()
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the client that left: %v", err)
		}
		release()
		w.check(<-done)
		synctest.Wait()
		if got := a.status(); got != stored.Ongoing {
			t.Errorf("its transaction is %v", got)
		}
		_, err := a.end(who, false, true)
		w.check(err)
	})
}

// TestResume_LateInTheNext: markers, ends and completion that an agent appends late, after another one has resumed the
// transaction and the next one has begun, change nothing in the next: neither its open ranges nor its offsets.
func TestResume_LateInTheNext(t *testing.T) {
	for _, version2 := range []bool{false, true} {
		for _, commit := range []bool{false, true} {
			t.Run(fmt.Sprintf("version 2: %t, commit: %t", version2, commit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					a, b := w.start(func(c *Config, _ *Deps) { c.EndBytesMax = 0 }), w.start(nil)
					who := a.init()
					x := a.enter(entry(who, version2, 4, "g"))
					a.offset(who, x, 5)
					held, release := a.holdAppends(func(drafts []metastore.Draft) bool { return len(drafts) > 1 })
					next, err := a.end(who, version2, commit)
					w.check(err)
					<-held
					e := entry(next, version2, 4, "g")
					e.Wait = time.Minute
					y := b.enter(e) // once b has resumed the one before
					b.offset(next, y, 9)
					var before [4]shard.ProducerTransactions
					for p := range before {
						before[p] = b.open(who.ProducerID, int32(p))
					}
					release()
					time.Sleep(3 * time.Second)
					for p := range before {
						if got := b.open(who.ProducerID, int32(p)); got != before[p] || got.Open != y || got.Ended != x {
							t.Errorf("partition %d: %+v became %+v", p, before[p], got)
						}
					}
					if got := b.status(); got != stored.Ongoing {
						t.Errorf("the next transaction is %v", got)
					}
					want := map[bool]int64{true: 5, false: -1}[commit]
					if got, unstable := b.committed(); got != want || !unstable {
						t.Errorf("the group is at %d, unstable %t; want %d", got, unstable, want)
					}
					_, err = b.end(next, version2, true)
					w.check(err)
					if got, unstable := b.committed(); got != 9 || unstable || b.ended(who.ProducerID, y, 4) != 4 {
						t.Errorf("after the next: the group is at %d, unstable %t", got, unstable)
					}
				})
			})
		}
	}
}

// offset has a transaction commit an offset in group "g" when it ends.
func (a *agent) offset(who Answer, x uint64, offset int64) {
	a.w.t.Helper()
	a.land(metastore.Draft{Journal: metastore.GroupsJournal(group.Journal("g", 2)), Effects: group.AppendPending(nil, group.Pending{
		Producer: who.ProducerID, Transaction: x, AnyMembers: true,
		Commit: group.Commit{Group: "g", Offsets: []group.PlacedOffset{{Place: group.Place{Topic: testTopic}, Offset: group.Offset{Offset: offset}}}}})})
}

// committed is the offset of group "g", -1 for none, and whether a transaction may change it.
func (a *agent) committed() (offset int64, unstable bool) {
	a.w.t.Helper()
	journal, place := metastore.GroupsJournal(group.Journal("g", 2)), group.Place{Topic: testTopic}
	a.w.check(a.follower.Refresh(a.w.t.Context(), journal))
	offset = -1
	metastore.View(a.follower.Replica(journal), func(s *group.State) {
		if o, ok := s.Offset("g", place); ok {
			offset = o.Offset
		}
		unstable = s.Unstable("g", place)
	})
	return offset, unstable
}

// open is what partition p knows of a producer's transactions now.
func (a *agent) open(producer int64, p int32) (known shard.ProducerTransactions) {
	a.w.t.Helper()
	journal := metastore.ShardJournal(int(p) % testShards)
	a.w.check(a.follower.Refresh(a.w.t.Context(), journal))
	metastore.View(a.follower.Replica(journal), func(s *shard.State) {
		known = s.Transactions(shard.PartitionID{Topic: testTopic, Index: p}, producer)
	})
	return known
}

// TestInit_WhileAnEndIsHeld: a producer's commit that its coordinator appends after another one has let the next producer of the
// id in is refused: the transaction is aborted everywhere, and the successor's goes on.
func TestInit_WhileAnEndIsHeld(t *testing.T) {
	eachHeldEnd(t, func(t *testing.T, h *heldEnd) {
		w, b := h.w, h.b
		_, err := b.Init(t.Context(), b.initOf(stored.None, stored.None))
		w.want(err, ErrConcurrent, "the successor, while it is aborted")
		next := b.init()
		y := b.enter(entry(next, h.version2, 2, "g"))
		h.release()
		w.want(<-h.late, ErrFenced, "the late commit")
		time.Sleep(3 * time.Second)
		if got := b.status(); got != stored.Ongoing || b.ended(h.who.ProducerID, h.x, 4) != 4 || b.ended(next.ProducerID, y, 2) != 0 {
			t.Errorf("the successor's is %v, ended in %d partitions", got, b.ended(next.ProducerID, y, 2))
		}
		if got, unstable := b.committed(); got != -1 || unstable {
			t.Errorf("the group is at %d, unstable %t", got, unstable)
		}
	})
}
