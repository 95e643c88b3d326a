package transaction

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// TestEnd_ByState: what a client is answered in each state of its id, in both versions, as Kafka's coordinator does.
func TestEnd_ByState(t *testing.T) {
	identity := stored.Identity{ProducerID: 7, Epoch: 5, PreviousProducerID: stored.None, PreviousEpoch: 4}
	rotated := stored.Identity{ProducerID: 8, Epoch: 0, PreviousProducerID: 7, PreviousEpoch: epochLast}
	type row struct {
		name     string
		status   stored.Status
		identity stored.Identity
		epoch    int16
		commit   bool
		version2 bool
		err      error
		appends  bool
	}
	const commit, abort, v1, v2 = true, false, false, true
	for _, r := range []row{
		{"ongoing", stored.Ongoing, identity, 5, commit, v1, nil, true},
		{"ongoing", stored.Ongoing, identity, 5, abort, v2, nil, true},
		{"ongoing, a late end", stored.Ongoing, identity, 4, commit, v2, ErrFenced, false},
		{"ongoing, an epoch to come", stored.Ongoing, identity, 6, commit, v2, ErrFenced, false},
		{"empty", stored.Empty, identity, 5, commit, v1, ErrInvalidState, false},
		{"empty", stored.Empty, identity, 5, abort, v1, ErrInvalidState, false},
		{"empty", stored.Empty, identity, 5, commit, v2, ErrInvalidState, false},
		{"empty", stored.Empty, identity, 5, abort, v2, nil, true},
		{"empty, the epoch before", stored.Empty, identity, 4, abort, v2, ErrFenced, false},
		{"prepared", stored.PrepareCommit, identity, 5, commit, v1, ErrConcurrent, false},
		{"prepared", stored.PrepareCommit, identity, 5, abort, v1, ErrInvalidState, false},
		{"prepared, a retry", stored.PrepareCommit, identity, 4, commit, v2, ErrConcurrent, false},
		{"prepared, the other verb", stored.PrepareCommit, identity, 4, abort, v2, ErrInvalidState, false},
		{"prepared, the next end", stored.PrepareAbort, identity, 5, abort, v2, ErrConcurrent, false}, // not as Kafka's
		{"prepared, an epoch to come", stored.PrepareAbort, identity, 6, abort, v2, ErrFenced, false},
		{"complete", stored.CompleteCommit, identity, 5, commit, v1, nil, false},
		{"complete", stored.CompleteCommit, identity, 5, abort, v1, ErrInvalidState, false},
		{"complete, a retry", stored.CompleteCommit, identity, 4, commit, v2, nil, false},
		{"complete, the other verb", stored.CompleteCommit, identity, 4, abort, v2, ErrInvalidState, false},
		{"complete, the next end", stored.CompleteCommit, identity, 5, commit, v2, ErrInvalidState, false},
		{"complete, an abort of nothing", stored.CompleteCommit, identity, 5, abort, v2, nil, true},
		{"aborted, a retry", stored.CompleteAbort, identity, 4, abort, v2, nil, false},
		{"aborted, an abort of nothing", stored.CompleteAbort, identity, 5, abort, v2, nil, true},
		{"aborted, a commit", stored.CompleteAbort, identity, 5, commit, v2, ErrInvalidState, false},
		{"two epochs before", stored.CompleteAbort, identity, 3, abort, v2, ErrFenced, false},
		{"a new id, a retry", stored.CompleteCommit, rotated, epochLast, commit, v2, nil, false},
		{"a new id, a retry while prepared", stored.PrepareCommit, rotated, epochLast, commit, v2, ErrConcurrent, false},
		{"a new id, another epoch", stored.CompleteCommit, rotated, 3, commit, v2, ErrUnknownID, false},
		{"a new id, version 1", stored.CompleteCommit, rotated, epochLast, commit, v1, ErrUnknownID, false},
	} {
		tx := &stored.Transaction{ID: "id", Identity: r.identity, Status: r.status, Number: 3}
		x := End{ID: "id", ProducerID: 7, Epoch: r.epoch, Commit: r.commit, Version2: r.version2}
		v := x.judge(tx, stored.None)
		if !errors.Is(v.err, r.err) || r.err == nil && v.err != nil || v.settled() == r.appends {
			t.Errorf("%s, commit %t, version 2 %t: %+v", r.name, r.commit, r.version2, v)
		}
		if v.err == nil && v.settled() && (v.answer.ProducerID != r.identity.ProducerID || v.answer.Epoch != r.identity.Epoch) {
			t.Errorf("%s: answered %+v", r.name, v.answer)
		}
	}
}

// TestInit_ByState: fencing, recovery (KIP-360) and epochs that are used up.
func TestInit_ByState(t *testing.T) {
	state := func(epoch, before int16, status stored.Status) *stored.Transaction {
		return &stored.Transaction{ID: "id", Written: 9, Status: status, Number: 3,
			Identity: stored.Identity{ProducerID: 7, Epoch: epoch, PreviousProducerID: 6, PreviousEpoch: before}}
	}
	const none = stored.None
	for _, r := range []struct {
		name     string
		t        *stored.Transaction
		producer int64
		epoch    int16
		want     Answer
		err      error
	}{
		{"unknown", nil, none, none, Answer{ProducerID: 50}, nil},
		{"unknown, an id that was removed", nil, 7, 3, Answer{ProducerID: 50}, nil},
		{"known", state(5, none, stored.Empty), none, none, Answer{ProducerID: 7, Epoch: 6}, nil},
		{"complete", state(5, 4, stored.CompleteCommit), none, none, Answer{ProducerID: 7, Epoch: 6}, nil},
		{"recovery", state(5, 4, stored.CompleteAbort), 7, 5, Answer{ProducerID: 7, Epoch: 6}, nil},
		{"recovery, a retry", state(5, 4, stored.Empty), 7, 4, Answer{ProducerID: 7, Epoch: 5}, nil},
		{"recovery of one fenced", state(5, none, stored.Empty), 7, 4, Answer{}, ErrFenced},
		{"recovery, another producer", state(5, 4, stored.Empty), 8, 5, Answer{}, ErrFenced},
		{"recovery, the producer before", state(5, 4, stored.Empty), 6, 5, Answer{}, ErrFenced},
		{"recovery, a retry of a rotation", state(0, epochLast, stored.Empty), 6, epochLast, Answer{ProducerID: 7}, nil},
		{"used up", state(epochLast, 4, stored.Empty), none, none, Answer{ProducerID: 50}, nil},
		{"used up by a fence", state(math.MaxInt16, 4, stored.CompleteAbort), none, none, Answer{ProducerID: 50}, nil},
		{"used up, recovery", state(epochLast, 4, stored.Empty), 7, epochLast, Answer{ProducerID: 50}, nil},
		{"ongoing", state(5, 4, stored.Ongoing), none, none, Answer{}, ErrConcurrent},
		{"prepared", state(5, 4, stored.PrepareAbort), none, none, Answer{}, ErrConcurrent},
	} {
		x := Init{ID: "id", Timeout: time.Minute, ProducerID: r.producer, Epoch: r.epoch}
		v := x.judge(r.t, none)
		if errors.Is(v.err, errNeedsID) {
			v = x.judge(r.t, 50)
		}
		if v.answer != r.want || !errors.Is(v.err, r.err) || r.err == nil && v.err != nil {
			t.Errorf("%s: %+v, %v", r.name, v.answer, v.err)
		}
	}
}

// TestEnd_WithItsMarkers: one append has decision, markers and the groups' ends.
func TestEnd_WithItsMarkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(nil)
		who := a.init()
		e := entry(who, true, 8, "g", "h")
		x := a.enter(e)
		before := a.counting.Statements()
		next, err := a.end(who, true, true)
		w.check(err)
		if s := a.counting.Statements().Since(before); s.Append != 1 || s.Read != 0 {
			t.Errorf("statements %+v", s)
		}
		if next.Epoch != who.Epoch+1 || a.ended(who.ProducerID, x, 8) != 8 || a.status() != stored.CompleteCommit {
			t.Errorf("%+v, %d ended, %v", next, a.ended(who.ProducerID, x, 8), a.status())
		}
		for _, id := range []string{"g", "h"} {
			metastore.View(a.follower.Replica(metastore.GroupsJournal(group.Journal(id, 2))), func(s *group.State) {
				if s.EndedTransaction(who.ProducerID) != x {
					t.Errorf("group %s: transaction %d ended", id, s.EndedTransaction(who.ProducerID))
				}
			})
		}
	})
}

// TestEnd_Alone: what doesn't go with the decision is appended after it, by whoever coordinates then.
func TestEnd_Alone(t *testing.T) {
	for _, r := range []struct {
		name   string
		change func(*Config, *Deps)
		fault  func(a *agent)
	}{
		{"too many markers", func(c *Config, _ *Deps) { c.EndBytesMax = 100 }, func(*agent) {}},
		{"others append meanwhile", nil, func(a *agent) {
			once := true
			a.appender.fail(func(drafts []metastore.Draft) error {
				if once && drafts[0].Strict {
					once = false
					other := a.w.start(nil)
					other.land(metastore.Draft{Journal: metastore.TransactionsJournal(0), Effects: stored.AppendCompleted(nil, stored.Completion{ID: "nobody", Number: 1})})
					other.stop()
				}
				return nil
			})
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				a := w.start(r.change)
				who := a.init()
				x := a.enter(entry(who, true, 1500, "g"))
				r.fault(a)
				next, err := a.end(who, true, true)
				w.check(err)
				if next.Epoch != who.Epoch+1 {
					t.Errorf("%+v", next)
				}
				synctest.Wait()
				if n := a.ended(who.ProducerID, x, 1500); n != 1500 || a.status() != stored.CompleteCommit {
					t.Errorf("%d ended, %v", n, a.status())
				}
				if y, err := a.Enter(t.Context(), entry(next, true, 1)); err != nil || y <= x {
					t.Errorf("the next transaction: %d, %v", y, err)
				}
			})
		})
	}
}

var errKilled = errors.New("killed")

// TestEnd_Killed: a coordinator that dies between decision and markers leaves it to the next one; before
// the decision nothing has happened.
func TestEnd_Killed(t *testing.T) {
	for _, version2 := range []bool{false, true} {
		for appends := range 3 { // that land before it is killed
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				a := w.start(func(c *Config, _ *Deps) { c.EndBytesMax = 0 })
				who := a.init()
				x := a.enter(entry(who, version2, 6, "g"))
				left := appends
				a.appender.fail(func([]metastore.Draft) error {
					if left == 0 {
						return errKilled
					}
					left--
					return nil
				})
				_, err := a.end(who, version2, true)
				if (err == nil) != (appends > 0) {
					t.Errorf("after %d appends: %v", appends, err)
				}
				synctest.Wait()
				a.stop()
				_, err = w.store.EndTerm(t.Context(), a.term, true)
				w.check(err)

				b := w.start(nil)
				time.Sleep(2 * time.Second)
				want := map[int]stored.Status{0: stored.Ongoing, 1: stored.CompleteCommit, 2: stored.CompleteCommit}[appends]
				ended := map[bool]int{true: 6}[want == stored.CompleteCommit]
				if got := b.status(); got != want || b.ended(who.ProducerID, x, 6) != ended {
					t.Errorf("after %d appends: %v, %d ended", appends, got, b.ended(who.ProducerID, x, 6))
				}
				again, err := b.end(who, version2, true)
				w.check(err)
				if raised := again.Epoch != who.Epoch; raised != version2 {
					t.Errorf("the retry: %+v", again)
				}
				if n := b.ended(who.ProducerID, x, 6); n != 6 {
					t.Errorf("%d ended", n)
				}
			})
		}
	}
}

// TestEnter_Late: what is meant for a transaction that has ended is in no other.
func TestEnter_Late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.start(nil), w.start(nil)
		who := a.init()
		a.enter(entry(who, true, 2))
		next, err := a.end(who, true, false)
		w.check(err)
		// b has seen nothing of the end.
		_, err = b.Enter(t.Context(), entry(who, true, 3))
		w.want(err, ErrFenced, "partitions of a transaction before")
		y, err := b.Enter(t.Context(), entry(next, true, 3))
		w.check(err)
		_, err = a.end(who, true, true)
		w.want(err, ErrFenced, "a late end")
		if z, err := a.Enter(t.Context(), entry(next, true, 4)); err != nil || z != y {
			t.Errorf("transaction %d at one agent, %d at the other (%v)", y, z, err)
		}
		_, err = a.Enter(t.Context(), Entry{ID: "id", ProducerID: 9, Epoch: next.Epoch, Topics: entry(next, true, 1).Topics, Version2: true})
		w.want(err, ErrUnknownID, "another producer id")
	})
}

// TestEnter_Version1: nothing is added by a produce, and one epoch has several transactions.
func TestEnter_Version1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.start(nil), w.start(nil)
		who := a.init()
		verify := entry(who, false, 2)
		verify.Verify = true
		_, err := b.Enter(t.Context(), verify)
		w.want(err, ErrNotAdded, "before it is added")
		x := a.enter(entry(who, false, 2))
		if got, err := b.Enter(t.Context(), verify); err != nil || got != x {
			t.Errorf("transaction %d, %v; want %d", got, err, x)
		}
		_, err = a.end(who, false, true)
		w.check(err)
		_, err = b.Enter(t.Context(), verify)
		w.want(err, ErrNotAdded, "after the end")
		y := a.enter(entry(who, false, 2))
		if got, err := b.Enter(t.Context(), verify); err != nil || got != y || y <= x {
			t.Errorf("transaction %d, %v; want %d", got, err, y)
		}
	})
}

// TestEnter_WaitsForTheEndBefore: the next transaction begins once the markers of the one before stand.
func TestEnter_WaitsForTheEndBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(func(c *Config, _ *Deps) { c.EndBytesMax = 0 })
		who := a.init()
		x := a.enter(entry(who, true, 4))
		hold := true
		a.appender.fail(func(drafts []metastore.Draft) error {
			if hold && len(drafts) > 1 {
				return errKilled
			}
			return nil
		})
		next, err := a.end(who, true, true)
		w.check(err)
		e := entry(next, true, 1)
		_, err = a.Enter(t.Context(), e)
		w.want(err, ErrConcurrent, "at once")
		time.AfterFunc(5*time.Second, func() { a.appender.fail(nil) })
		began := time.Now()
		e.Wait = time.Minute
		y, err := a.Enter(t.Context(), e)
		w.check(err)
		if took := time.Since(began); y <= x || took < 5*time.Second || took > 7*time.Second || a.ended(who.ProducerID, x, 4) != 4 {
			t.Errorf("transaction %d after %v", y, took)
		}
	})
}

// TestCoordinator_TimeOut: the producer is fenced, and its successor goes on.
func TestCoordinator_TimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(nil)
		who := a.init()
		x := a.enter(entry(who, true, 3))
		time.Sleep(55 * time.Second)
		if a.status() != stored.Ongoing {
			t.Errorf("%v before the time-out", a.status())
		}
		time.Sleep(16 * time.Second)
		if a.status() != stored.CompleteAbort || a.ended(who.ProducerID, x, 3) != 3 {
			t.Errorf("%v after the time-out", a.status())
		}
		if got := a.Stats(); got != (Stats{TimedOut: 1, IDs: 1}) {
			t.Errorf("%+v", got)
		}
		_, err := a.end(who, true, true)
		w.want(err, ErrInvalidState, "the end that came late")
		if next := a.init(); next.ProducerID != who.ProducerID || next.Epoch != who.Epoch+2 {
			t.Errorf("%+v", next)
		}
	})
}

// TestCoordinator_Expiry: an id that nobody uses is forgotten, and comes back under another producer id.
func TestCoordinator_Expiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(func(c *Config, _ *Deps) { c.Expiration, c.ExpireEvery = 24*time.Hour, time.Hour })
		who := a.init()
		time.Sleep(20 * time.Hour)
		_, err := a.Describe(t.Context(), "id")
		w.check(err)
		time.Sleep(6 * time.Hour)
		_, err = a.Describe(t.Context(), "id")
		w.want(err, ErrNotFound, "after the expiry")
		_, err = a.end(who, true, false)
		w.want(err, ErrUnknownID, "an end after the expiry")
		if next := a.init(); next.ProducerID == who.ProducerID {
			t.Errorf("%+v", next)
		}
	})
}

// initAt has the journal give an id an epoch, as so many transactions would.
func (a *agent) initAt(epoch int16) Answer {
	a.land(metastore.Draft{Journal: metastore.TransactionsJournal(0), Effects: stored.AppendInit(nil, stored.Init{ID: "id", TimeoutMs: 60_000,
		Identity: stored.Identity{ProducerID: 99, Epoch: epoch, PreviousProducerID: stored.None, PreviousEpoch: stored.None}})})
	return Answer{ProducerID: 99, Epoch: epoch}
}

// TestCoordinator_EpochsUsedUp: the last epoch's end gives another producer id.
func TestCoordinator_EpochsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(nil)
		who := a.initAt(epochLast)
		x := a.enter(entry(who, true, 2))
		next, err := a.end(who, true, true)
		w.check(err)
		if next.ProducerID == who.ProducerID || next.Epoch != 0 || a.ended(who.ProducerID, x, 2) != 2 {
			t.Errorf("%+v", next)
		}
		again, err := a.end(who, true, true)
		w.check(err)
		if again.ProducerID != next.ProducerID || again.Epoch != 0 {
			t.Errorf("the retry: %+v", again)
		}
		a.enter(entry(next, true, 2))
	})
}

// TestCoordinator_LastEpochFenced: the epoch above the last one only fences. Nobody gets it, and whoever names it, or had the
// one before, is fenced; recovery leads to another producer id.
func TestCoordinator_LastEpochFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(nil)
		who := a.initAt(epochLast)
		a.enter(entry(who, true, 2))
		time.Sleep(2 * time.Minute)
		if s := a.status(); s != stored.CompleteAbort {
			t.Fatalf("after its time it is %v", s)
		}
		for _, epoch := range []int16{epochLast, epochLast + 1} {
			named := Answer{ProducerID: who.ProducerID, Epoch: epoch}
			for _, version2 := range []bool{false, true} {
				for _, commit := range []bool{false, true} {
					_, err := a.end(named, version2, commit)
					w.want(err, ErrFenced, fmt.Sprintf("end of epoch %d, version 2 %v, commit %v", epoch, version2, commit))
				}
				_, err := a.Enter(t.Context(), entry(named, version2, 1))
				w.want(err, ErrFenced, fmt.Sprintf("entry of epoch %d", epoch))
			}
		}
		next, err := a.Init(t.Context(), a.initOf(who.ProducerID, who.Epoch))
		w.check(err)
		if next.ProducerID == who.ProducerID || next.Epoch != 0 {
			t.Errorf("recovery leads to %+v", next)
		}
		again, err := a.Init(t.Context(), a.initOf(who.ProducerID, who.Epoch))
		w.check(err)
		if again != next {
			t.Errorf("its retry leads to %+v, not %+v", again, next)
		}
		a.enter(entry(next, true, 2))
	})
}

// TestCoordinator_NotTheOwner: what is for a coordinator goes to the one there is; adding doesn't need it.
func TestCoordinator_NotTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.start(nil), w.start(func(_ *Config, d *Deps) { d.Owns = func(int) bool { return false } })
		who := a.init()
		_, err := b.Init(t.Context(), b.initOf(stored.None, stored.None))
		w.want(err, ErrNotCoordinator, "init")
		_, err = b.end(who, true, true)
		w.want(err, ErrNotCoordinator, "end")
		w.want(b.EnterOwned(t.Context(), entry(who, false, 1)), ErrNotCoordinator, "add")
		x := b.enter(entry(who, true, 1))
		// a has not seen that the transaction was begun elsewhere.
		next, err := a.end(who, true, true)
		w.check(err)
		if next.Epoch != who.Epoch+1 || a.ended(who.ProducerID, x, 1) != 1 {
			t.Errorf("%+v", next)
		}
	})
}

// TestCoordinator_ManyIDs: the wishes of many ids share their appends.
func TestCoordinator_ManyIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start(nil)
		a.appender.fail(func([]metastore.Draft) error { time.Sleep(10 * time.Millisecond); return nil })
		before := a.counting.Statements()
		errs := make(chan error, 100)
		for i := range cap(errs) {
			go func() {
				x := a.initOf(stored.None, stored.None)
				x.ID = string(rune('a'+i%26)) + string(rune('a'+i/26))
				_, err := a.Init(t.Context(), x)
				errs <- err
			}()
		}
		for range cap(errs) {
			w.check(<-errs)
		}
		if n := a.counting.Statements().Since(before).Append; n > 2 {
			t.Errorf("%d appends", n)
		}
	})
}

// TestCoordinator_Stats: decisions are counted by whoever made them, once, and what isn't
// decided is there with its age.
func TestCoordinator_Stats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.start(nil), w.start(func(_ *Config, d *Deps) { d.Owns = func(int) bool { return false } })
		who := a.init()
		for i, commit := range []bool{true, false, true} {
			a.enter(entry(who, true, 3))
			if i == 2 {
				time.Sleep(5 * time.Second)
				if got := a.Stats(); got != (Stats{Committed: 1, Aborted: 1, IDs: 1, Ongoing: 1, OldestFor: 5 * time.Second}) {
					t.Errorf("while one is ongoing: %+v", got)
				}
			}
			answer, err := a.end(who, true, commit)
			w.check(err)
			_, err = a.end(who, true, commit) // again
			w.check(err)
			who = answer
			time.Sleep(2 * time.Second) // what is left to append is appended
		}
		_, err := a.end(who, true, false) // an empty one
		w.check(err)
		if got := a.Stats(); got != (Stats{Committed: 2, Aborted: 1, IDs: 1}) {
			t.Errorf("%+v", got)
		}
		if got := b.Stats(); got != (Stats{}) {
			t.Errorf("of who coordinates nothing: %+v", got)
		}
	})
}
