package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/metastore"
)

// cuttable is a store that an agent can be cut off from.
type cuttable struct {
	metastore.Store
	cut atomic.Bool
}

var errCut = errors.New("no route to the metastore")

func (c *cuttable) err() error {
	if c.cut.Load() {
		return errCut
	}
	return nil
}

func (c *cuttable) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Store.Append(ctx, term, parts)
}

func (c *cuttable) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Store.Read(ctx, positions, bytesMax)
}

func (c *cuttable) Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.Store.Terms(ctx, ended...)
}

func (c *cuttable) RenewTerm(ctx context.Context, term metastore.Term, lease time.Duration, settled uint64) error {
	if err := c.err(); err != nil {
		return err
	}
	return c.Store.RenewTerm(ctx, term, lease, settled)
}

func (c *cuttable) DrainTerm(ctx context.Context, term metastore.Term) error {
	if err := c.err(); err != nil {
		return err
	}
	return c.Store.DrainTerm(ctx, term)
}

func (c *cuttable) EndTerm(ctx context.Context, term metastore.Term, force bool) (bool, error) {
	if err := c.err(); err != nil {
		return false, err
	}
	return c.Store.EndTerm(ctx, term, force)
}

// kill ends an agent as kill -9 does: nobody hears of it again, and its lease runs on.
func (n *neighbourhood) kill(s *started) {
	n.t.Helper()
	s.cfg.Given.Store.(*cuttable).cut.Store(true)
	for _, l := range []net.Listener{s.cfg.Given.Listener, s.cfg.Given.PeerListener} {
		if l != nil {
			l.(*pipes).sever()
		}
	}
	s.stop()
}

// restart starts an agent where another one was.
func (n *neighbourhood) restart(gone *started) *started {
	n.t.Helper()
	return n.startWith(true, func(c *Config) {
		c.Zone = gone.cfg.Zone
		p, port := c.Given.Listener.(*pipes), gone.cfg.Given.Listener.(*pipes).port
		n.mu.Lock()
		defer n.mu.Unlock()
		p.port, n.doors[fmt.Sprintf("127.0.0.1:%d", port)] = port, p
	})
}

// clients are the options of a client that reaches all agents, and begins at one.
func (n *neighbourhood) clients(seed *started) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(seed.cfg.Given.Listener.Addr().String()),
		kgo.Dialer(func(ctx context.Context, _, address string) (net.Conn, error) { return n.dial(ctx, address) }),
	}
}

func (n *neighbourhood) client(seed *started, opts ...kgo.Opt) *kgo.Client {
	return seed.client(append(n.clients(seed), opts...)...)
}

// zones starts so many agents in each of three zones.
func (n *neighbourhood) zones(each int) []*started {
	var all []*started
	for range each {
		for _, zone := range []string{"a", "b", "c"} {
			all = append(all, n.start(zone, true))
		}
	}
	time.Sleep(3 * time.Second)
	return all
}

func (s *started) node() int32 { return s.serving.Load().info.Node }

// batches are how many batches an agent has taken, and how many bytes it was read from.
func (s *started) batches() int64 { return s.serving.Load().ingest.Stats.Batches.Load() }
func (s *started) read() uint64   { return s.process.fetcher.Stats().Bytes }

// TestCluster_ClientsOfAZone are served by its agents alone: by client.id, and readers
// by their rack; what they wrote and read is the same log.
func TestCluster_ClientsOfAZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		all := n.zones(2)
		all[0].create("t", 24)
		time.Sleep(2 * time.Second)
		for i, zone := range []string{"a", "b", "c"} {
			// They begin at an agent of another zone.
			c := n.client(all[(i+1)%3], kgo.ClientID("app,zone="+zone), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			before := make([]int64, len(all))
			for k, s := range all {
				before[k] = s.batches()
			}
			for p := range int32(24) {
				if err := c.ProduceSync(t.Context(), record("t", p, zone)).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			for k, s := range all {
				if got := s.batches() - before[k]; (got > 0) != (s.cfg.Zone == zone) || got > 16 {
					t.Errorf("zone %s: the agent of node %d in zone %s took %d batches", zone, s.node(), s.cfg.Zone, got)
				}
			}
		}
		for i, opt := range []kgo.Opt{kgo.ClientID("zone=b"), kgo.Rack("c")} {
			c := n.client(all[0], opt, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			before := make([]uint64, len(all))
			for k, s := range all {
				before[k] = s.read()
			}
			values(t, c, 3*24)
			zone := []string{"b", "c"}[i]
			for k, s := range all {
				if got := s.read() - before[k]; (got > 0) != (s.cfg.Zone == zone) {
					t.Errorf("a reader of zone %s read %d bytes from node %d in zone %s", zone, got, s.node(), s.cfg.Zone)
				}
			}
			c.Close()
		}
	})
}

// TestCluster_WhatIsKilledIsNotNamed long before its lease runs out, and producers go on.
func TestCluster_WhatIsKilledIsNotNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		all := n.zones(1)
		all[0].create("t", 24)
		c := n.client(all[0], kgo.RecordPartitioner(kgo.ManualPartitioner()))
		produce := func(value string) time.Duration {
			began := time.Now()
			for p := range int32(24) {
				c.Produce(t.Context(), record("t", p, value), func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		produce("before")
		n.kill(all[1])
		if took := produce("killed"); took > 5*time.Second {
			t.Errorf("producing took %v after an agent was killed", took)
		}
		time.Sleep(2 * time.Second)
		for _, s := range []*started{all[0], all[2]} {
			v := s.process.members.View()
			if len(v.Live()) != 3 || len(v.Named()) != 2 || v.Agent(2) != nil {
				t.Errorf("node %d sees %d alive and names %d", s.node(), len(v.Live()), len(v.Named()))
			}
		}
		time.Sleep(40 * time.Second)
		if live := len(all[0].process.members.View().Live()); live != 2 {
			t.Errorf("%d are alive when the lease has run out", live)
		}
		back := n.start("b", true)
		time.Sleep(2 * time.Second)
		if back.node() != 4 || len(all[2].process.members.View().Named()) != 3 {
			t.Errorf("another one in its place has node %d, and %d are named", back.node(), len(all[2].process.members.View().Named()))
		}
		produce("after")
		reader := n.client(all[2], kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		values(t, reader, 3*24)
	})
}

// TestCluster_OneThatLeaves isn't noticed but by retried requests.
func TestCluster_OneThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		all := n.zones(1)
		all[0].create("t", 24)
		c := n.client(all[2], kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan time.Duration)
		go func() {
			var longest time.Duration
			for i := 0; ctx.Err() == nil; i++ {
				began := time.Now()
				if err := c.ProduceSync(t.Context(), record("t", int32(i%24), "x")).FirstErr(); err != nil {
					t.Error(err)
				}
				longest = max(longest, time.Since(began))
				time.Sleep(10 * time.Millisecond)
			}
			done <- longest
		}()
		time.Sleep(5 * time.Second)
		for _, s := range all[:2] {
			began := time.Now()
			stopped := make(chan error, 1)
			go func() { stopped <- s.stop() }()
			time.Sleep(leaveWait - 100*time.Millisecond)
			if v := all[2].process.members.View(); len(v.Live()) == len(v.Named()) {
				t.Error("it is still named while it leaves")
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > leaveWait+time.Second {
				t.Errorf("leaving took %v", took)
			}
			time.Sleep(5 * time.Second)
		}
		cancel()
		if longest := <-done; longest > time.Second {
			t.Errorf("a record took %v", longest)
		}
		if v := all[2].process.members.View(); len(v.Live()) != 1 || !v.Coordinates(metastore.GroupsJournal(3)) {
			t.Errorf("the last one sees %d", len(v.Live()))
		}
	})
}

// coordinator is the agent that coordinates group g.
func coordinator(t *testing.T, all []*started) *started {
	t.Helper()
	found := kadm.NewClient(all[0].client()).FindGroupCoordinators(t.Context(), "g")
	if found["g"].Err != nil {
		t.Fatal(found["g"].Err)
	}
	i := slices.IndexFunc(all, func(s *started) bool { return s.node() == found["g"].NodeID })
	if i < 0 {
		t.Fatalf("node %d coordinates", found["g"].NodeID)
	}
	return all[i]
}

// TestCluster_CoordinatorsComeAndGo: a stable group goes on with its generation, whether
// its coordinator leaves, is killed, or agents come that take its place.
func TestCluster_CoordinatorsComeAndGo(t *testing.T) {
	for _, protocol := range []string{"classic", "consumer"} {
		for _, end := range []string{"leave", "kill"} {
			t.Run(protocol+" "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newNeighbourhood(t)
					all := n.zones(1)
					all[0].create("t", 4)
					time.Sleep(2 * time.Second)
					opts := func() []kgo.Opt {
						o := append(n.clients(all[0]), kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(time.Second))
						if protocol == "consumer" {
							//lint:ignore SA1029 the client looks for a string
							return append(o, kgo.WithContext(context.WithValue(t.Context(), "opt_in_kafka_next_gen_balancer_beta", true)))
						}
						return o
					}
					one, two := all[0].member(opts()...), all[0].member(opts()...)
					time.Sleep(15 * time.Second)
					if len(one.owns()) != 2 || len(two.owns()) != 2 {
						t.Fatalf("they own %v and %v", one.owns(), two.owns())
					}
					joins, owned := one.joins.Load()+two.joins.Load(), fmt.Sprint(one.owns(), two.owns())
					producer := n.client(all[0], kgo.RecordPartitioner(kgo.ManualPartitioner()))
					check := func(what string, records int) {
						t.Helper()
						for p := range int32(4) {
							if err := producer.ProduceSync(t.Context(), record("t", p, what)).FirstErr(); err != nil {
								t.Fatal(err)
							}
						}
						time.Sleep(25 * time.Second)
						for _, c := range []*consumer{one, two} {
							if err := c.CommitUncommittedOffsets(t.Context()); err != nil {
								t.Errorf("%s: commit: %v", what, err)
							}
						}
						if got := one.joins.Load() + two.joins.Load(); got != joins {
							t.Errorf("%s: %d JoinGroups", what, got-joins)
						}
						if got := fmt.Sprint(one.owns(), two.owns()); got != owned {
							t.Errorf("%s: they own %s, owned %s", what, got, owned)
						}
						if got := len(one.values()) + len(two.values()); got != records {
							t.Errorf("%s: %d records read, of %d", what, got, records)
						}
					}
					check("before", 4)
					gone := coordinator(t, all)
					all = slices.DeleteFunc(all, func(s *started) bool { return s == gone })
					if end == "kill" {
						n.kill(gone)
					} else if err := gone.stop(); err != nil {
						t.Fatal(err)
					}
					check("its coordinator is gone", 8)
					all = append(all, n.restart(gone))
					for range 4 {
						all = append(all, n.start("b", true))
					}
					check("others have come", 12)
					one.leave()
					two.leave()
					offsets, err := kadm.NewClient(n.client(all[1])).FetchOffsets(t.Context(), "g")
					if err != nil {
						t.Fatal(err)
					}
					for p := range int32(4) {
						if o, ok := offsets.Lookup("t", p); !ok || o.At != 3 {
							t.Errorf("partition %d: committed %+v", p, o)
						}
					}
				})
			})
		}
	}
}

// TestCluster_WorkIsShared: with nothing going on, three agents ask for three times as
// much as one, and what one of them does is not done again by another.
func TestCluster_WorkIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		all := n.zones(1)
		all[0].create("t", 24)
		c := n.client(all[0], kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for p := range int32(24) {
			if err := c.ProduceSync(t.Context(), record("t", p, "x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		n.kill(all[1])
		time.Sleep(25 * time.Minute) // snapshots after 10 minutes, ends of terms, expiry
		placed := int64(0)
		for _, s := range []*started{all[0], all[2]} {
			placed += s.cost().statements.PlaceSnapshot
		}
		// The catalog, and the 24 shards, in which one entry more tells the end of a term.
		if placed < 25 || placed > 26+24 {
			t.Errorf("%d snapshots", placed)
		}
		for _, r := range all[0].process.follower.Replicas() {
			if slices.Contains(r.Terms(), 2) {
				t.Errorf("%v still has a number of a term that has ended", r.ID())
			}
		}
	})
}
