package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// nobody commits without being a member.
func (a *agent) nobody(group string, retention time.Duration, offsets ...stored.PlacedOffset) error {
	return a.Commit(a.t.Context(), Commit{Identity: Identity{Group: group, Generation: -1}, Retention: retention, NotFound: ErrNotFound, Offsets: offsets})
}

func placed(topic uint64, partition int32, offset int64) stored.PlacedOffset {
	return stored.PlacedOffset{Place: stored.Place{Topic: topic, Partition: partition}, Offset: stored.Offset{Offset: offset, LeaderEpoch: -1}}
}

// TestCommit_Admission: who may commit what, by Apache Kafka's codes.
func TestCommit_Admission(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		ghost := &client{a: a, id: "x", joined: Joined{Generation: 3}}
		if err := ghost.commit(1); err != ErrNotFound {
			t.Errorf("a generation of a group unknown: %v", err)
		}
		if err := a.nobody("g", -1, placed(1, 0, 3), placed(1, 1, 1), placed(1, 0, 4)); err != nil || a.offset(stored.Place{Topic: 1}) != 4 {
			t.Errorf("nobody's: %v", err)
		}
		if err := ghost.commit(1); err != ErrUnknownMember {
			t.Errorf("a generation of a group that has none: %v", err)
		}
		one := a.client("i")
		settle(t, one)
		if err := a.nobody("g", -1, placed(1, 0, 5)); err != ErrUnknownMember {
			t.Errorf("nobody's, to a group with members: %v", err)
		}
		for want, i := range map[error]Identity{
			ErrIllegalGeneration: {"g", 7, one.id, "i"},
			ErrFencedInstance:    {"g", 1, "x", "i"},
			ErrUnknownMember:     {"g", 1, "x", ""},
		} {
			if err := a.Commit(t.Context(), Commit{Identity: i, Retention: -1}); err != want {
				t.Errorf("%+v: %v, want %v", i, err, want)
			}
		}
		if err := one.commit(6); err != nil {
			t.Error(err)
		}
		if err := one.leave(); err != nil {
			t.Error(err)
		}
		if err := a.nobody("g", -1, placed(1, 0, 7)); err != nil || a.offset(stored.Place{Topic: 1}) != 7 {
			t.Errorf("nobody's, once the member has left: %v", err)
		}
	})
}

// TestCommit_WhileTheGenerationChanges: commits on their way behind a generation are
// decided anew.
func TestCommit_WhileTheGenerationChanges(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one, two := a.client("i-1"), a.client("i-2")
		settle(t, one, two)
		old := *two
		two.id = ""
		a.committer.pace(t) // what follows goes into one append
		var running sync.WaitGroup
		errs := make([]error, 3)
		running.Go(func() { errs[0] = two.join().Err })
		synctest.Wait()
		running.Go(func() { errs[1] = one.commit(9) })
		running.Go(func() { errs[2] = old.commit(1) })
		running.Wait()
		if errs[0] != nil || errs[1] != nil || errs[2] != ErrFencedInstance || a.offset(stored.Place{Topic: 1}) != 9 {
			t.Errorf("%v", errs)
		}
	})
}

// pace lets an append begin, so that the next waits.
func (c *committer) pace(t *testing.T) {
	done := make(chan struct{})
	x := stored.Commit{Group: "pace", Expires: stored.Never, Offsets: []stored.PlacedOffset{placed(1, 0, 0)}}
	if err := c.submit(&job{effect: stored.AppendCommit(nil, x), done: func(metastore.Version, any, error) { close(done) }}); err != nil {
		t.Fatal(err)
	}
	<-done
}

// TestCommit_OfManyGroups gathers in few appends, one at a time.
func TestCommit_OfManyGroups(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		slow := &slowWriter{took: 30 * time.Millisecond}
		a := c.start(func(_ *Config, d *Deps) { slow.Writer, d.Writer = d.Writer, slow })
		const groups = 1000
		before := a.counting.Statements()
		var committing sync.WaitGroup
		for i := range groups {
			committing.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := a.nobody(fmt.Sprint("group ", i), -1, placed(1, 0, int64(i))); err != nil {
					t.Error(err)
				}
			})
		}
		committing.Wait()
		appends := a.counting.Statements().Since(before).Append
		if appends > 35 || slow.most.Load() > 1 {
			t.Errorf("%d appends, %d at once", appends, slow.most.Load())
		}
		if list, err := a.List(t.Context()); err != nil || len(list) != groups || list[0].State != "Empty" || list[0].ProtocolType != "" {
			t.Errorf("%d groups, %v", len(list), err)
		}
	})
}

// slowWriter takes its time, and counts the appends at once.
type slowWriter struct {
	Writer
	took      time.Duration
	now, most atomic.Int32
	fail      atomic.Pointer[error]
}

func (w *slowWriter) Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error) {
	w.most.Store(max(w.most.Load(), w.now.Add(1)))
	defer w.now.Add(-1)
	time.Sleep(w.took)
	if err := w.fail.Load(); err != nil {
		return nil, *err
	}
	return w.Writer.Append(ctx, drafts)
}

// TestFailedAppends: what a coordinator says when the metastore fails it.
func TestFailedAppends(t *testing.T) {
	for name, row := range map[string]struct {
		fail, want error
	}{
		"the term has ended":    {metastore.ErrTermEnded, ErrNotCoordinator},
		"an outcome unknown":    {metastore.ErrUnknown, ErrNotAvailable},
		"a journal has stopped": {fmt.Errorf("groups-0: %w", metastore.ErrStopped), ErrNotCoordinator},
		"anything else":         {errors.New("no"), ErrNotAvailable},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *cluster) {
				w := &slowWriter{}
				a := c.start(func(_ *Config, d *Deps) { w.Writer, d.Writer = d.Writer, w })
				one, two := a.client(""), a.client("")
				settle(t, one)
				w.fail.Store(&row.fail)
				var running sync.WaitGroup
				running.Go(func() { two.join() })
				synctest.Wait()
				one.join()
				running.Wait()
				var followed Synced
				leader, follower := one, two
				if len(one.joined.Members) == 0 {
					leader, follower = two, one
				}
				running.Go(func() { followed = follower.sync() })
				synctest.Wait()
				led := leader.sync()
				running.Wait()
				if !errors.Is(led.Err, row.want) && !errors.Is(led.Err, ErrNotCoordinator) || led.Err == nil || followed.Err == nil {
					t.Errorf("synced %v and %v, want %v", led.Err, followed.Err, row.want)
				}
				if err := a.nobody("h", -1, placed(1, 0, 1)); !errors.Is(err, row.want) && !errors.Is(err, ErrNotCoordinator) {
					t.Errorf("committed: %v, want %v", err, row.want)
				}
			})
		})
	}
}

// TestSync_TooLarge: a generation that doesn't fit an entry is refused, and the group tries again.
func TestSync_TooLarge(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one := a.client("")
		one.change = func(j *Join) {
			j.Protocols = []Protocol{{Name: "range", Metadata: make([]byte, metastore.EntryBytesMax)}}
		}
		one.join()
		if s := one.sync(); !errors.Is(s.Err, ErrTooLarge) {
			t.Errorf("%v", s.Err)
		}
		one.change = nil
		settle(t, one)
	})
}

// TestDelete_Groups: those without members, with their offsets.
func TestDelete_Groups(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one := a.client("")
		settle(t, one)
		if err := a.nobody("simple", -1, placed(1, 0, 1)); err != nil {
			t.Fatal(err)
		}
		go func() { // in memory only
			a.Join(t.Context(), Join{Group: "pending", SessionTimeout: 10 * time.Second, ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}}, NeedsID: true})
		}()
		synctest.Wait()
		want := []error{ErrNonEmpty, nil, nil, ErrNotFound}
		if got := a.Delete(t.Context(), []string{"g", "simple", "pending", "none"}); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
		if got := a.Delete(t.Context(), []string{"simple", "pending"}); !slices.Equal(got, []error{ErrNotFound, ErrNotFound}) {
			t.Errorf("%v", got)
		}
		if err := one.commit(1); err != nil || one.leave() != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if got := a.Delete(t.Context(), []string{"g"}); got[0] != nil || a.offset(stored.Place{Topic: 1}) != -1 {
			t.Errorf("%v", got)
		}
		// Its successor begins anew.
		two := a.client("")
		settle(t, two)
		if two.joined.Generation != 1 || two.commit(2) != nil {
			t.Errorf("%+v", two.joined)
		}
	})
}

// TestDeleteOffsets: not those of topics that members use.
func TestDeleteOffsets(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		names := map[uint64]string{1: "t", 2: "u"}
		places := []stored.Place{{Topic: 2}, {Topic: 1}, {Topic: 2}}
		if _, err := a.DeleteOffsets(t.Context(), "g", names, places); err != ErrNotFound {
			t.Errorf("%v", err)
		}
		if err := a.nobody("g", -1, placed(1, 0, 1), placed(2, 0, 2)); err != nil {
			t.Fatal(err)
		}
		one := a.client("")
		settle(t, one)
		got, err := a.DeleteOffsets(t.Context(), "g", names, places)
		if err != nil || !slices.Equal(got, []error{nil, ErrSubscribed, nil}) || a.offset(places[0]) != -1 || a.offset(places[1]) != 1 {
			t.Errorf("%v, %v", got, err)
		}
		if err := one.leave(); err != nil {
			t.Error(err)
		}
		if got, err := a.DeleteOffsets(t.Context(), "g", names, places); err != nil || got[1] != nil || a.offset(places[1]) != -1 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// TestSweep: offsets expire as Apache Kafka's do, and go with their topics; groups with their last offset.
func TestSweep(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		const retention = 24 * time.Hour
		a := c.start(func(cfg *Config, _ *Deps) { cfg.Retention = retention })
		a.write(slices.Concat(
			catalog.AppendTopicCreated(nil, &catalog.Topic{Number: 1, ID: [16]byte{1}, Name: "t", Partitions: 1}),
			catalog.AppendTopicCreated(nil, &catalog.Topic{Number: 2, ID: [16]byte{2}, Name: "u", Partitions: 1}),
			catalog.AppendTopicCreated(nil, &catalog.Topic{Number: 3, ID: [16]byte{3}, Name: "v", Partitions: 1}),
			catalog.AppendTopicDeleted(nil, 3)))
		if err := errors.Join(
			a.nobody("g", -1, placed(1, 0, 1), placed(2, 0, 2), placed(3, 0, 3), placed(4, 0, 4)),
			a.nobody("old client", time.Hour, placed(1, 0, 1)),
			a.nobody("simple", -1, placed(1, 0, 1)),
		); err != nil {
			t.Fatal(err)
		}
		one := a.client("")
		one.change = func(j *Join) { j.SessionTimeout = 20 * time.Minute }
		settle(t, one)
		ctx, leave := context.WithCancel(t.Context())
		var living sync.WaitGroup
		living.Go(func() {
			for ctx.Err() == nil {
				one.heartbeat()
				time.Sleep(time.Minute)
			}
		})
		groups := func() (ids []string) {
			list, err := a.List(t.Context())
			if err != nil {
				t.Error(err)
			}
			for _, d := range list {
				ids = append(ids, d.Group)
			}
			return ids
		}
		has := func() (topics []uint64) {
			for topic := uint64(1); topic <= 4; topic++ {
				if a.offset(stored.Place{Topic: topic}) >= 0 {
					topics = append(topics, topic)
				}
			}
			return topics
		}
		time.Sleep(30 * time.Minute)
		if got := has(); !slices.Equal(got, []uint64{1, 2, 4}) || len(groups()) != 3 {
			t.Errorf("after half an hour: %v, %q (topic 3 is gone, of topic 4 nothing is known yet)", got, groups())
		}
		time.Sleep(time.Hour)
		if got := groups(); !slices.Equal(got, []string{"g", "simple"}) {
			t.Errorf("after an hour and a half: %q", got)
		}
		time.Sleep(retention)
		if got := has(); !slices.Equal(got, []uint64{1}) || !slices.Equal(groups(), []string{"g"}) {
			t.Errorf("after a day: %v, %q", got, groups())
		}
		leave()
		living.Wait()
		if err := one.leave(); err != nil {
			t.Error(err)
		}
		time.Sleep(retention - time.Hour)
		if got := has(); !slices.Equal(got, []uint64{1}) {
			t.Errorf("23 h after the last member left: %v", got)
		}
		time.Sleep(2 * time.Hour)
		if got := groups(); len(got) != 0 {
			t.Errorf("in the end: %q", got)
		}
		if n := len(a.inMemory()); n != 0 {
			t.Errorf("%d groups are in memory", n)
		}
	})
}

// TestSubscription_Bytes: what no consumer would write is not taken for a subscription.
func TestSubscription_Bytes(t *testing.T) {
	got := map[string]bool{}
	if !addTopics(got, subscription("a", "bc")) || len(got) != 2 || !got["bc"] {
		t.Errorf("%v", got)
	}
	full := subscription("a", "bc")
	for n := range len(full) - 4 {
		if addTopics(map[string]bool{}, full[:n]) {
			t.Errorf("%d of its bytes were taken", n)
		}
	}
	for _, b := range []string{"", "\x00\x00\xff\xff\xff\xff", "\x00\x00\x7f\xff\xff\xff\x00\x00", "\x00\x00\x00\x00\x00\x01\xff\xff"} {
		if addTopics(map[string]bool{}, []byte(b)) {
			t.Errorf("%x was taken", b)
		}
	}
}

// held lets appends wait, once told so.
type held struct {
	Writer
	holds chan struct{} // closed: go on
	on    atomic.Bool
}

func (h *held) Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error) {
	if h.on.Load() {
		<-h.holds
	}
	return h.Writer.Append(ctx, drafts)
}

// TestCommit_LateOfAnotherCoordinator: what a coordinator had on its way when its groups went to
// another one doesn't come after what is committed there, whatever the commit is guarded by.
func TestCommit_LateOfAnotherCoordinator(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		var first atomic.Bool // owns the groups
		first.Store(true)
		moves := []chan struct{}{make(chan struct{}), make(chan struct{})}
		var moved atomic.Int32
		move := func() {
			first.Store(!first.Load())
			close(moves[moved.Add(1)-1])
		}
		changed := func() <-chan struct{} {
			if n := int(moved.Load()); n < len(moves) {
				return moves[n]
			}
			return nil
		}
		h := &held{holds: make(chan struct{})}
		a := c.start(func(_ *Config, d *Deps) {
			h.Writer, d.Writer = d.Writer, h
			d.Owns, d.Changed, d.Shared = func(int) bool { return first.Load() }, changed, true
		})
		one := a.client("")
		settle(t, one)
		if err := one.commit(1); err != nil {
			t.Fatal(err)
		}
		h.on.Store(true)
		var late sync.WaitGroup
		late.Go(func() {
			if err := one.commit(2); err != ErrNotCoordinator {
				t.Errorf("the member's: %v", err)
			}
		})
		late.Go(func() {
			if err := a.nobody("alone", -1, placed(1, 0, 2)); err != ErrNotCoordinator {
				t.Errorf("of no member: %v", err)
			}
		})
		synctest.Wait()
		move()
		b := c.start(func(_ *Config, d *Deps) {
			d.Owns, d.Changed, d.Shared = func(int) bool { return !first.Load() }, changed, true
		})
		there := *one
		there.a = b
		if err := there.commit(3); err != nil {
			t.Fatal(err)
		}
		if err := b.nobody("alone", -1, placed(1, 0, 3)); err != nil {
			t.Fatal(err)
		}
		close(h.holds)
		late.Wait()
		for _, group := range []string{"g", "alone"} {
			if err := b.Confirm(t.Context(), group); err != nil {
				t.Fatal(err)
			}
			var o stored.Offset
			if err := b.Read(t.Context(), group, func(s *stored.State) { o, _ = s.Offset(group, stored.Place{Topic: 1}) }); err != nil || o.Offset != 3 {
				t.Errorf("%s is at %d, %v", group, o.Offset, err)
			}
		}
		// It goes back, and is this one's again.
		move()
		time.Sleep(time.Second)
		if err := one.commit(4); err != nil {
			t.Error(err)
		}
		if got := a.offset(stored.Place{Topic: 1}); got != 4 {
			t.Errorf("committed is %d", got)
		}
	})
}

// TestRead_OwnershipFlaps: a coordinator that isn't one at the moment of Confirm, and is
// again at that of Read, must not answer with what it knew when it was one before.
func TestRead_OwnershipFlaps(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		var owns atomic.Bool
		owns.Store(true)
		a := c.start(func(_ *Config, d *Deps) { d.Owns, d.Shared = func(int) bool { return owns.Load() }, true })
		other := c.start(nil)
		owns.Store(false)
		if err := other.nobody("g", -1, placed(1, 0, 5)); err != nil {
			t.Fatal(err)
		}
		if err := a.Confirm(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		owns.Store(true)
		var found stored.Offset
		if err := a.Read(t.Context(), "g", func(s *stored.State) { found, _ = s.Offset("g", stored.Place{Topic: 1}) }); err != nil || found.Offset != 5 {
			t.Errorf("offset %d, %v", found.Offset, err)
		}
	})
}
