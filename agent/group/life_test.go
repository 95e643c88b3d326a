package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// TestSync_FollowersWaitForTheLeader, and whoever doesn't sync is out.
func TestSync_FollowersWaitForTheLeader(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one, two := a.client(""), a.client("")
		long := func(j *Join) { j.SessionTimeout = 5 * time.Minute }
		one.change, two.change = long, long
		var joining sync.WaitGroup
		joining.Go(func() { one.join() })
		joining.Go(func() { two.join() })
		joining.Wait()
		leader, follower := one, two
		if len(one.joined.Members) == 0 {
			leader, follower = two, one
		}
		wrong := "other"
		for want, s := range map[error]Sync{
			ErrIllegalGeneration:    {Group: "g", Generation: 7, MemberID: follower.id},
			ErrUnknownMember:        {Group: "g", Generation: 1, MemberID: "x"},
			ErrInconsistentProtocol: {Group: "g", Generation: 1, MemberID: follower.id, Protocol: &wrong},
			ErrInvalidGroupID:       {},
		} {
			if got := a.Sync(t.Context(), s); got.Err != want {
				t.Errorf("%v, want %v", got.Err, want)
			}
		}
		began := time.Now()
		if s := follower.sync(); s.Err != ErrRebalanceInProgress || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), s)
		}
		if err := leader.heartbeat(); err != ErrUnknownMember {
			t.Errorf("the leader that didn't sync: %v", err)
		}
		follower.join()
		if s := follower.sync(); s.Err != nil || string(s.Assignment) != "of "+follower.id {
			t.Errorf("%+v", s)
		}
	})
}

// TestSession_Expires without heartbeats; a commit keeps it too.
func TestSession_Expires(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one := a.client("")
		settle(t, one)
		for range 3 {
			time.Sleep(9 * time.Second)
			if err := one.heartbeat(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(9 * time.Second)
			if err := one.commit(1); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if err := one.heartbeat(); err != ErrUnknownMember || a.state() != "Empty" {
			t.Errorf("%v, the group is %s", err, a.state())
		}
		synctest.Wait()
		time.Sleep(time.Second)
		a.stop()
		if b := c.start(nil); b.state() != "Empty" {
			t.Errorf("the next coordinator's is %s", b.state())
		}
	})
}

// TestLeave_Several at once, by ids of members and instances.
func TestLeave_Several(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one, two, three := a.client("i-1"), a.client("i-2"), a.client("")
		settle(t, one, two, three)
		outcomes, err := a.Leave(t.Context(), "g", []Leaver{{Instance: "i-1"}, {MemberID: two.id, Instance: "i-1"}, {MemberID: "x"}, {}, {MemberID: three.id}})
		if want := []error{nil, ErrUnknownMember, ErrUnknownMember, ErrUnknownMember, nil}; err != nil || !slices.Equal(outcomes, want) {
			t.Errorf("%v, %v", outcomes, err)
		}
		if a.state() != "PreparingRebalance" {
			t.Errorf("the group is %s", a.state())
		}
		if outcomes, err := a.Leave(t.Context(), "h", []Leaver{{MemberID: "x"}}); err != nil || outcomes[0] != ErrUnknownMember {
			t.Errorf("%v, %v", outcomes, err)
		}
		if j := two.join(); j.Err != nil || len(j.Members) != 1 {
			t.Errorf("%+v", j)
		}
		if s := two.sync(); s.Err != nil || two.leave() != nil || a.state() != "Empty" {
			t.Errorf("%+v, the group is %s", s, a.state())
		}
	})
}

// TestRestart_InEveryPhase: the next coordinator goes on with the last stable generation.
func TestRestart_InEveryPhase(t *testing.T) {
	for name, disturb := range map[string]func(a *agent, one, two *client, running *sync.WaitGroup){
		"stable": func(*agent, *client, *client, *sync.WaitGroup) {},
		"join": func(a *agent, one, _ *client, running *sync.WaitGroup) {
			running.Go(func() { a.client("").join() })
		},
		"sync": func(a *agent, one, two *client, running *sync.WaitGroup) {
			first, second := *one, *two
			first.change = func(j *Join) { j.Protocols = []Protocol{{Name: "range", Metadata: []byte("new")}} }
			var joined sync.WaitGroup
			joined.Go(func() { first.join() })
			joined.Go(func() {
				synctest.Wait()
				second.join()
			})
			joined.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *cluster) {
				a := c.start(nil)
				one, two := a.client(""), a.client("")
				settle(t, one, two)
				if err := one.commit(5); err != nil {
					t.Fatal(err)
				}
				var running sync.WaitGroup
				disturb(a, one, two, &running)
				synctest.Wait()
				a.stop()
				running.Wait() // what waited was answered
				if err := one.heartbeat(); err != ErrNotCoordinator {
					t.Errorf("the one that has stopped: %v", err)
				}
				b := c.start(nil)
				one.a, two.a = b, b
				if b.state() != "Stable" || one.heartbeat() != nil || two.heartbeat() != nil {
					t.Errorf("the group is %s", b.state())
				}
				if err := two.commit(6); err != nil || b.offset(stored.Place{Topic: 1}) != 6 {
					t.Errorf("%v, %d", err, b.offset(stored.Place{Topic: 1}))
				}
				if s := two.sync(); s.Err != nil || string(s.Assignment) != "of "+two.id {
					t.Errorf("%+v", s)
				}
				time.Sleep(11 * time.Second)
				if b.state() != "Empty" {
					t.Errorf("without their members the group is %s", b.state())
				}
			})
		})
	}
}

// TestTwoCoordinators: both believe that they have the group; once one has written a
// generation, the other's commits and generations come to nothing.
func TestTwoCoordinators(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one := a.client("")
		settle(t, one)
		b := c.start(nil)
		two := b.client("")
		moved := *one
		moved.a = b
		var joining sync.WaitGroup
		joining.Go(func() { two.join() })
		synctest.Wait()
		// The second one has taken the groups as it began; the first one takes them back.
		if err := one.commit(1); err != ErrNotCoordinator {
			t.Errorf("after another one has taken the groups: %v", err)
		}
		time.Sleep(time.Second)
		if err := one.commit(1); err != nil {
			t.Errorf("while the generation is the newest: %v", err)
		}
		joining.Go(func() { moved.join() })
		joining.Wait()
		if err := one.commit(2); err != nil {
			t.Errorf("while the generation is the newest that is stable: %v", err)
		}
		joining.Go(func() { two.sync() })
		moved.sync()
		joining.Wait()
		if err := one.commit(3); err != ErrNotCoordinator && err != ErrIllegalGeneration { // it may have read of it
			t.Errorf("of the generation before: %v", err)
		}
		b.follower.Refresh(t.Context(), b.replica(stored.Journal("g", testJournals)).ID())
		if got := b.offset(stored.Place{Topic: 1}); got != 2 {
			t.Errorf("committed is %d", got)
		}
		// The first one has looked anew.
		if err := one.heartbeat(); err != ErrIllegalGeneration {
			t.Errorf("%v", err)
		}
		if err := moved.commit(4); err != ErrNotCoordinator {
			t.Errorf("after another one has taken the groups: %v", err)
		}
		time.Sleep(time.Second)
		if err := moved.commit(4); err != nil {
			t.Error(err)
		}
	})
}

// TestTwoCoordinators_JoinsOnBoth: of two generations with one number one stands.
func TestTwoCoordinators_JoinsOnBoth(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a, b := c.start(nil), c.start(nil)
		one, two := a.client(""), b.client("")
		var joining sync.WaitGroup
		joining.Go(func() { one.join() })
		joining.Go(func() { two.join() })
		joining.Wait()
		if one.joined.Generation != 1 || two.joined.Generation != 1 {
			t.Fatalf("%+v, %+v", one.joined, two.joined)
		}
		first, second := one.sync(), two.sync()
		if first.Err != nil || second.Err != ErrNotCoordinator {
			t.Errorf("%+v, %+v", first, second)
		}
		if err := two.heartbeat(); err != ErrUnknownMember {
			t.Errorf("%v", err)
		}
	})
}

// TestChaos: five members, whose coordinator dies again and again. No offset goes back,
// no two members of one generation have one assignment, and the group recovers within 10 s.
func TestChaos(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, c *cluster) { chaos(t, c, seed) })
		})
	}
}

// journaled is what the journal holds, read anew.
func (a *agent) journaled(t *testing.T) map[stored.Place]int64 {
	read := map[stored.Place]int64{}
	if err := a.follower.Refresh(t.Context(), a.replica(stored.Journal("g", testJournals)).ID()); err != nil {
		t.Error(err)
	}
	if err := a.Read(t.Context(), "g", func(s *stored.State) {
		for _, o := range s.Offsets("g") {
			read[o.Place] = o.Offset.Offset
		}
	}); err != nil {
		t.Error(err)
	}
	return read
}

// witness sees what members are told.
type witness struct {
	mu        sync.Mutex
	agents    []*agent // of which the last is the coordinator, and those before believe so
	owners    map[string]string
	committed map[stored.Place]int64
	joins     int
}

func (w *witness) agent(rnd *rand.Rand) *agent {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.agents); n > 1 && rnd.IntN(3) == 0 {
		return w.agents[n-2]
	}
	return w.agents[len(w.agents)-1]
}

// member lives as a consumer does, and commits for a partition of its own.
func (w *witness) member(ctx context.Context, t *testing.T, partition int32, rnd *rand.Rand) {
	m := &client{slots: true, change: func(j *Join) { j.RebalanceTimeout = 5 * time.Second }}
	place := stored.Place{Topic: 1, Partition: partition}
	offset := int64(0)
	for ctx.Err() == nil {
		m.a = w.agent(rnd)
		w.mu.Lock()
		w.joins++
		w.mu.Unlock()
		if j := m.join(); j.Err != nil {
			if j.Err == ErrUnknownMember {
				m.id = ""
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		s := m.sync()
		if s.Err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		w.mu.Lock()
		owned := fmt.Sprintf("%q of generation %d", s.Assignment, m.joined.Generation)
		if other := w.owners[owned]; len(s.Assignment) > 0 && other != "" && other != m.id {
			t.Errorf("%s and %s both have %s", other, m.id, owned)
		}
		w.owners[owned] = m.id
		w.mu.Unlock()
		for ctx.Err() == nil {
			m.a = w.agent(rnd)
			err := m.heartbeat()
			if err == nil || err == ErrNotCoordinator {
				offset++
				err = m.a.Commit(ctx, Commit{Identity: Identity{"g", m.joined.Generation, m.id, ""}, Retention: -1, NotFound: ErrNotFound,
					Offsets: []stored.PlacedOffset{{Place: place, Offset: stored.Offset{Offset: offset}}}})
				if err == nil {
					w.mu.Lock()
					w.committed[place] = offset
					w.mu.Unlock()
				}
			}
			if err != nil && !errors.Is(err, ErrNotCoordinator) {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// chaos kills the coordinator; the one before sometimes lives on for a while.
func chaos(t *testing.T, c *cluster, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := &witness{owners: map[string]string{}, committed: map[stored.Place]int64{}}
	begin := func() *agent {
		a := c.start(func(cfg *Config, _ *Deps) { cfg.InitialRebalanceDelay = time.Second })
		w.mu.Lock()
		defer w.mu.Unlock()
		w.agents = append(w.agents, a)
		return a
	}
	// end ends all coordinators but the newest.
	end := func() {
		w.mu.Lock()
		before := w.agents[:len(w.agents)-1]
		w.agents = w.agents[len(w.agents)-1:]
		w.mu.Unlock()
		for _, a := range before {
			a.stop()
		}
	}
	newest := begin()
	ctx, cancel := context.WithCancel(t.Context())
	var living sync.WaitGroup
	for i := range int32(5) {
		living.Go(func() { w.member(ctx, t, i, rand.New(rand.NewPCG(seed, uint64(10+i)))) })
	}
	for range 30 {
		time.Sleep(time.Duration(rnd.Int64N(int64(6 * time.Second))))
		newest = begin()
		if rnd.IntN(2) == 0 {
			time.Sleep(time.Duration(rnd.Int64N(int64(3 * time.Second))))
		}
		end()
		w.mu.Lock()
		acknowledged := maps.Clone(w.committed)
		w.mu.Unlock()
		read := newest.journaled(t)
		for place, offset := range acknowledged {
			if read[place] < offset {
				t.Errorf("%v: %d was acknowledged, %d is there", place, offset, read[place])
			}
		}
	}
	time.Sleep(10 * time.Second)
	d, err := newest.Describe(ctx, "g")
	if err != nil || d.State != "Stable" || len(d.Members) != 5 {
		t.Errorf("10 s later the group is %s, with %d members, %v", d.State, len(d.Members), err)
	}
	before := w.count()
	for range 3 {
		w.mu.Lock()
		w.agents[0].stop() // Killed while stable, and the next one comes a while later.
		w.mu.Unlock()
		time.Sleep(time.Second)
		newest = begin()
		end()
		time.Sleep(10 * time.Second)
	}
	if after := w.count(); after != before {
		t.Errorf("%d joins, though the group was stable when its coordinator died", after-before)
	}
	cancel()
	newest.stop()
	living.Wait()
	if len(w.committed) != 5 {
		t.Errorf("committed: %v", w.committed)
	}
}

func (w *witness) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.joins
}
