package group

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// consumerSim is clients of one group over the pure state machine.
type consumerSim struct {
	t       *testing.T
	state   *stored.Consumer
	catalog topicSizes
	clients map[string]*simClient
}

type simClient struct {
	epoch int32
	owned []stored.Place // that it may be using
	ready []stored.Place // that it was told to have; what is not in it, it gives up with the next heartbeat
}

func newConsumerSim(t *testing.T) *consumerSim {
	return &consumerSim{t: t, clients: map[string]*simClient{},
		catalog: topicSizes{numbers: map[string]uint64{"a": 1, "b": 2}, partitions: map[uint64]int32{1: 6, 2: 4}}}
}

func (s *consumerSim) work() *consumerWork {
	return newConsumerWork(s.state, s.catalog, func(string) []string { return []string{"a", "b"} }, 10)
}

// heartbeat sends a heartbeat; lost: its answer doesn't arrive.
func (s *consumerSim) heartbeat(id string, lost bool, change func(r *ConsumerHeartbeat)) error {
	c := s.clients[id]
	r := &ConsumerHeartbeat{Group: "g", MemberID: id, Epoch: c.epoch, RebalanceTimeout: 1000, Owned: c.ready, OwnedSaid: true}
	if c.epoch == epochJoin {
		r.Topics, r.Owned = []string{"a", "b"}, nil
		c.owned, c.ready = nil, nil
	}
	if change != nil {
		change(r)
	}
	c.owned = c.ready // It gives up before it says so.
	w := s.work()
	a, err := w.heartbeat(r)
	if err == nil {
		if x, after := w.change(false); x != nil {
			s.state = after
		}
	} else if x, _ := w.change(false); x != nil {
		s.t.Fatalf("%v, but %+v", err, x)
	}
	switch {
	case lost:
	case errors.Is(err, ErrFencedMemberEpoch), errors.Is(err, ErrUnknownMember):
		c.epoch, c.owned, c.ready = epochJoin, nil, nil
	case err != nil:
		s.t.Fatal(err)
	default:
		c.epoch = a.Epoch
		if a.Said {
			for _, p := range a.Assigned {
				if !slices.Contains(c.owned, p) {
					c.owned = append(slices.Clone(c.owned), p)
				}
			}
			c.ready = a.Assigned
		}
	}
	s.check()
	return err
}

// check: nobody uses what another one uses.
func (s *consumerSim) check() {
	s.t.Helper()
	used := map[stored.Place]string{}
	for id, c := range s.clients {
		for _, p := range c.owned {
			if other, twice := used[p]; twice {
				s.t.Fatalf("%v is used by %s and %s", p, id, other)
			}
			used[p] = id
		}
	}
}

func (s *consumerSim) settle() {
	s.t.Helper()
	for range 20 {
		for _, id := range []string{"m0", "m1", "m2", "m3"} {
			if s.clients[id] != nil {
				s.heartbeat(id, false, nil)
			}
		}
	}
	total := 0
	for id, c := range s.clients {
		if m := s.state.Member(id); m == nil || m.State != stored.MemberStable || m.Epoch != s.state.Epoch || !slices.Equal(c.ready, m.Target) {
			s.t.Fatalf("%s has %+v, the group is at %+v", id, c, s.state)
		}
		total += len(c.ready)
	}
	if len(s.clients) > 0 && total != int(s.catalog.partitions[1]+s.catalog.partitions[2]) {
		s.t.Fatalf("%d partitions are assigned", total)
	}
}

// TestConsumer_NoPartitionTwice: members come, go, lose answers and are expelled, topics
// grow; whenever it calms down all is assigned.
func TestConsumer_NoPartitionTwice(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := newConsumerSim(t)
		for range 60 {
			id := fmt.Sprintf("m%d", rnd.IntN(4))
			c := s.clients[id]
			switch n := rnd.IntN(20); {
			case c == nil:
				s.clients[id] = &simClient{}
				s.heartbeat(id, rnd.IntN(5) == 0, nil)
			case n == 0 && s.state.Member(id) != nil:
				w := s.work()
				if _, err := w.leave(&ConsumerHeartbeat{MemberID: id, Epoch: epochLeave}); err != nil {
					t.Fatal(err)
				}
				_, s.state = w.change(false)
				delete(s.clients, id)
			case n == 1 && s.state.Member(id) != nil:
				w := s.work() // Its session expires; it has stopped using anything by then.
				w.remove(id)
				_, s.state = w.change(false)
				c.owned, c.ready = nil, nil
			case n == 2:
				s.catalog.partitions[1] = min(s.catalog.partitions[1]+1, 12)
			default:
				s.heartbeat(id, rnd.IntN(5) == 0, func(r *ConsumerHeartbeat) {
					if r.Topics == nil && rnd.IntN(10) == 0 {
						r.Topics = []string{"a", "b"}[rnd.IntN(2):]
					}
				})
			}
		}
		for id := range s.clients {
			s.heartbeat(id, false, func(r *ConsumerHeartbeat) { r.Topics = []string{"a", "b"} })
			s.heartbeat(id, false, func(r *ConsumerHeartbeat) { r.Topics = []string{"a", "b"} })
		}
		s.settle()
	}
}

func TestConsumer_StaticMemberComesBack(t *testing.T) {
	s := newConsumerSim(t)
	static := func(id string) func(r *ConsumerHeartbeat) {
		return func(r *ConsumerHeartbeat) { r.MemberID, r.Instance = id, "i" }
	}
	s.clients["m0"], s.clients["m1"] = &simClient{}, &simClient{}
	s.heartbeat("m0", false, static("m0"))
	s.heartbeat("m1", false, nil)
	s.heartbeat("m0", false, static("m0"))
	s.heartbeat("m0", false, static("m0"))
	s.heartbeat("m1", false, nil)
	had, epoch := s.clients["m0"].ready, s.state.Epoch
	if len(had) != 5 || len(s.clients["m1"].ready) != 5 {
		t.Fatalf("%v and %v", had, s.clients["m1"].ready)
	}
	try := func(r *ConsumerHeartbeat) (ConsumerAnswer, error) {
		w := s.work()
		a, err := w.heartbeat(r)
		if _, after := w.change(false); err == nil {
			s.state = after
		}
		return a, err
	}
	join := func(id string) *ConsumerHeartbeat {
		return &ConsumerHeartbeat{MemberID: id, Instance: "i", Topics: []string{"a", "b"}, RebalanceTimeout: 1000, OwnedSaid: true}
	}
	if _, err := try(join("m9")); !errors.Is(err, ErrUnreleasedInstance) {
		t.Error(err)
	}
	if a, err := try(&ConsumerHeartbeat{MemberID: "m0", Instance: "i", Epoch: stored.StaticLeft}); err != nil || a.Epoch != stored.StaticLeft {
		t.Error(a, err)
	}
	if a, err := try(join("m9")); err != nil || !slices.Equal(a.Assigned, had) || s.state.Epoch != epoch || a.Epoch != epoch {
		t.Errorf("%+v, %v; epoch %d after %d", a, err, s.state.Epoch, epoch)
	}
	if _, err := try(&ConsumerHeartbeat{MemberID: "m0", Instance: "i", Epoch: epoch, RebalanceTimeout: -1}); !errors.Is(err, ErrFencedInstance) {
		t.Error(err)
	}
	if _, err := try(&ConsumerHeartbeat{MemberID: "m9", Instance: "other", Epoch: epoch, RebalanceTimeout: -1}); !errors.Is(err, ErrUnknownMember) {
		t.Error(err)
	}
}
