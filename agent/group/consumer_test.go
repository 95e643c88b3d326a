package group

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
)

func consumerTopic(a *agent, partitions int32) {
	a.write(catalog.AppendTopicCreated(nil, &catalog.Topic{Number: 1, ID: [16]byte{1}, Name: "t", Partitions: partitions}))
}

func consumerJoin(id string) ConsumerHeartbeat {
	return ConsumerHeartbeat{Group: "g", MemberID: id, RebalanceTimeout: 60_000, Topics: []string{"t"}, OwnedSaid: true}
}

func consumerBeat(id string, epoch int32) ConsumerHeartbeat {
	return ConsumerHeartbeat{Group: "g", MemberID: id, Epoch: epoch, RebalanceTimeout: -1}
}

// TestConsumer_TwoCoordinators: of two that believe in themselves the slower one's changes
// and commits are void, and it says so.
func TestConsumer_TwoCoordinators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		one := c.start(nil)
		consumerTopic(one, 4)
		if a, err := one.ConsumerHeartbeat(t.Context(), consumerJoin("a")); err != nil || a.Epoch != 1 || len(a.Assigned) != 4 {
			t.Fatalf("%+v, %v", a, err)
		}
		two := c.start(nil)
		if a, err := two.ConsumerHeartbeat(t.Context(), consumerJoin("b")); err != nil || a.Epoch != 2 || len(a.Assigned) != 0 {
			t.Fatalf("%+v, %v", a, err)
		}
		if _, err := one.ConsumerHeartbeat(t.Context(), consumerJoin("c")); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("the slower one: %v", err)
		}
		d, err := two.DescribeConsumer(t.Context(), "g")
		if err != nil || d.State != consumerReconciling || len(d.Members) != 2 || d.Member("c") != nil {
			t.Errorf("%+v, %v", d, err)
		}
		// The member moves on by the one, its old epoch's commit by the other loses.
		if _, err := two.ConsumerHeartbeat(t.Context(), consumerBeat("a", 1)); err != nil {
			t.Fatal(err)
		}
		kept := consumerBeat("a", 1)
		kept.OwnedSaid, kept.Owned = true, []stored.Place{{Topic: 1, Partition: 0}, {Topic: 1, Partition: 1}}
		if a, err := two.ConsumerHeartbeat(t.Context(), kept); err != nil || a.Epoch != 2 {
			t.Fatalf("%+v, %v", a, err)
		}
		err = one.Commit(t.Context(), Commit{Identity: Identity{Group: "g", Generation: 1, MemberID: "a"}, Retention: -1,
			Offsets: []stored.PlacedOffset{{Place: stored.Place{Topic: 1}, Offset: stored.Offset{Offset: 7}}}})
		if err == nil {
			t.Error("a commit of an epoch that has passed stands")
		}
		metastore.View(two.replica(stored.Journal("g", testJournals)), func(s *stored.State) {
			if o := s.Offsets("g"); len(o) != 0 {
				t.Errorf("%+v", o)
			}
		})
	})
}

// TestConsumer_ManyAtOnce: what is asked of a group while a change is on its way is one change.
func TestConsumer_ManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCluster(t).start(func(cfg *Config, _ *Deps) { cfg.AppendBurst = 1 })
		consumerTopic(a, 100)
		before := a.counting.Statements()
		answers := make(chan error)
		for i := range 100 {
			go func() {
				_, err := a.ConsumerHeartbeat(t.Context(), consumerJoin(fmt.Sprintf("m%02d", i)))
				answers <- err
			}()
		}
		for range 100 {
			if err := <-answers; err != nil {
				t.Fatal(err)
			}
		}
		if n := a.counting.Statements().Since(before).Append; n > 3 {
			t.Errorf("%d appends", n)
		}
		// A heartbeat that says nothing new costs nothing.
		before = a.counting.Statements()
		d, _ := a.DescribeConsumer(t.Context(), "g")
		for _, m := range d.Members {
			if m.State == stored.MemberStable && m.Epoch == d.TargetEpoch {
				if _, err := a.ConsumerHeartbeat(t.Context(), consumerBeat(m.ID, m.Epoch)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := a.counting.Statements().Since(before).Append; n != 0 {
			t.Errorf("%d appends", n)
		}
	})
}

// TestConsumer_TimesOfTheGroup: a group's own session and interval are those of its members.
func TestConsumer_TimesOfTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		a := c.start(func(_ *Config, deps *Deps) {
			deps.ConsumerTimes = func(group string) (session, heartbeat time.Duration) {
				if group == "g" {
					return 55 * time.Minute, 0 // between two sweeps
				}
				return 0, 9 * time.Second
			}
		})
		if of, others := a.HeartbeatInterval("g"), a.HeartbeatInterval("other"); of != DefaultConfig(1).ConsumerHeartbeat || others != 9*time.Second {
			t.Errorf("heartbeats each %v, and %v", of, others)
		}
		consumerTopic(a, 1)
		if _, err := a.ConsumerHeartbeat(t.Context(), consumerJoin("a")); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			wait    time.Duration
			members int
		}{{55*time.Minute - time.Second, 1}, {2 * time.Second, 0}} {
			time.Sleep(step.wait)
			synctest.Wait()
			if d, err := a.DescribeConsumer(t.Context(), "g"); err != nil || len(d.Members) != step.members {
				t.Fatalf("%v later: %+v, %v", step.wait, d, err)
			}
		}
	})
}

// TestConsumer_TooLarge: a change that no entry holds is refused as a group that is full,
// and the group goes on as it was.
func TestConsumer_TooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCluster(t).start(nil)
		consumerTopic(a, 4)
		if _, err := a.ConsumerHeartbeat(t.Context(), consumerJoin("a")); err != nil {
			t.Fatal(err)
		}
		large := consumerJoin("b")
		large.Topics = []string{strings.Repeat("x", metastore.EntryBytesMax)}
		if _, err := a.ConsumerHeartbeat(t.Context(), large); !errors.Is(err, ErrGroupMaxSize) {
			t.Errorf("%v", err)
		}
		if r, err := a.ConsumerHeartbeat(t.Context(), consumerBeat("a", 1)); err != nil || r.Epoch != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestConsumer_SessionsAfterARestart: members that don't come back are removed after their
// session, by the next coordinator.
func TestConsumer_SessionsAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		one := c.start(nil)
		consumerTopic(one, 4)
		for _, id := range []string{"a", "b"} {
			if _, err := one.ConsumerHeartbeat(t.Context(), consumerJoin(id)); err != nil {
				t.Fatal(err)
			}
		}
		one.stop()
		two := c.start(nil)
		time.Sleep(DefaultConfig(1).ConsumerSession + time.Second)
		synctest.Wait()
		if d, err := two.DescribeConsumer(t.Context(), "g"); err != nil || d.State != consumerEmpty {
			t.Errorf("%+v, %v", d, err)
		}
		if err := two.Delete(t.Context(), []string{"g"})[0]; err != nil {
			t.Error(err)
		}
		if _, err := two.DescribeConsumer(t.Context(), "g"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}
