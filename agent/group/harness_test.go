package group

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/memory"
)

const testJournals = 2

// cluster is a metastore in a bubble of fake time, and the agents over it.
type cluster struct {
	t     *testing.T
	store metastore.Store
}

func newCluster(t *testing.T) *cluster {
	store := memory.New(time.Now, metastore.Cluster{ID: "R1JPVVAtVEVTVFMuLi4uLg", Shards: 1, Groups: testJournals, Transactions: 1})
	return &cluster{t: t, store: store}
}

// agent is a coordinator of one term.
type agent struct {
	*Coordinator
	t        *testing.T
	term     metastore.Term
	follower *metastore.Follower
	writer   *metastore.Writer
	counting *metastore.Counting
	stop     func()
}

// start begins a term and its coordinator; change may be nil.
func (c *cluster) start(change func(*Config, *Deps)) *agent {
	c.t.Helper()
	check := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	a := &agent{t: c.t, counting: metastore.NewCounting(c.store)}
	fc := metastore.DefaultFollowerConfig()
	fc.Log = log
	a.follower = metastore.NewFollower(a.counting, nil, fc)
	a.follower.Follow(metastore.CatalogJournal, catalog.New())
	for i := range testJournals {
		a.follower.Follow(metastore.GroupsJournal(i), stored.New())
	}
	check(a.follower.Load(c.t.Context()))
	term, err := c.store.BeginTerm(c.t.Context(), metastore.AgentInfo{Process: "test"}, 24*365*time.Hour)
	check(err)
	a.term = term.Term
	a.writer = metastore.NewWriter(term.Term, a.counting, a.follower, time.Now)
	cfg := DefaultConfig(testJournals)
	deps := Deps{Writer: a.writer, Follower: a.follower, Catalog: a.follower.Replica(metastore.CatalogJournal), Clock: time.Now, Log: log}
	if change != nil {
		change(&cfg, &deps)
	}
	a.Coordinator, err = New(cfg, deps)
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.follower.Run(ctx) })
	running.Go(func() { a.Run(ctx) })
	a.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	c.t.Cleanup(a.stop)
	synctest.Wait()
	return a
}

// write appends to the catalog as a broker does.
func (a *agent) write(effects []byte) {
	a.t.Helper()
	if _, err := a.writer.Append(a.t.Context(), []metastore.Draft{{Journal: metastore.CatalogJournal, Effects: effects}}); err != nil {
		a.t.Fatal(err)
	}
}

// client is what one member does, as a client library would.
type client struct {
	a        *agent
	id       string
	instance string
	joined   Joined
	change   func(*Join)
	slots    bool // as a leader it assigns numbers, not ids
}

func (a *agent) client(instance string) *client { return &client{a: a, instance: instance} }

// join joins group g until it has an answer that is not about its id.
func (c *client) join() Joined {
	for {
		j := Join{
			Group: "g", MemberID: c.id, Instance: c.instance, ClientID: "test", ClientHost: "/127.0.0.1",
			SessionTimeout: 10 * time.Second, RebalanceTimeout: 30 * time.Second,
			ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: subscription("t")}},
			NeedsID: true, SkipsAssignment: true,
		}
		if c.change != nil {
			c.change(&j)
		}
		c.joined = c.a.Join(c.a.t.Context(), j)
		if c.joined.Err != ErrMemberIDRequired {
			if c.joined.Err == nil {
				c.id = c.joined.MemberID
			}
			return c.joined
		}
		c.id = c.joined.MemberID
	}
}

// sync syncs; the leader assigns each member its own id.
func (c *client) sync() Synced {
	s := Sync{Group: "g", Generation: c.joined.Generation, MemberID: c.id, Instance: c.instance}
	if len(c.joined.Members) > 0 {
		s.Assignments = map[string][]byte{}
		for i, m := range c.joined.Members {
			s.Assignments[m.ID] = []byte("of " + m.ID)
			if c.slots {
				s.Assignments[m.ID] = fmt.Append(nil, i)
			}
		}
	}
	return c.a.Sync(c.a.t.Context(), s)
}

func (c *client) heartbeat() error {
	return c.a.Heartbeat(c.a.t.Context(), Identity{"g", c.joined.Generation, c.id, c.instance})
}

func (c *client) commit(offset int64) error {
	return c.a.Commit(c.a.t.Context(), Commit{
		Identity: Identity{"g", c.joined.Generation, c.id, c.instance}, Retention: -1, NotFound: ErrNotFound,
		Offsets: []stored.PlacedOffset{{Place: stored.Place{Topic: 1}, Offset: stored.Offset{Offset: offset, LeaderEpoch: -1}}},
	})
}

func (c *client) leave() error {
	outcomes, err := c.a.Leave(c.a.t.Context(), "g", []Leaver{{MemberID: c.id, Instance: c.instance}})
	if err != nil {
		return err
	}
	return outcomes[0]
}

// settle has clients join until each is a member of one stable generation.
func settle(t *testing.T, clients ...*client) {
	t.Helper()
	var joining sync.WaitGroup
	for _, c := range clients {
		joining.Go(func() {
			for {
				if j := c.join(); j.Err != nil {
					t.Errorf("join: %v", j.Err)
					return
				}
				s := c.sync()
				if s.Err == nil {
					if string(s.Assignment) != "of "+c.id {
						t.Errorf("%s is assigned %q", c.id, s.Assignment)
					}
					return
				}
				if s.Err != ErrRebalanceInProgress {
					t.Errorf("sync: %v", s.Err)
					return
				}
			}
		})
	}
	joining.Wait()
}

// subscription is a consumer's, in version 0.
func subscription(topics ...string) []byte {
	b := []byte{0, 0, 0, 0, 0, byte(len(topics))}
	for _, t := range topics {
		b = append(append(b, 0, byte(len(t))), t...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

func (a *agent) offset(p stored.Place) int64 {
	a.t.Helper()
	at := int64(-1)
	err := a.Read(a.t.Context(), "g", func(s *stored.State) {
		if o, ok := s.Offset("g", p); ok {
			at = o.Offset
		}
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return at
}

func (a *agent) state() string {
	a.t.Helper()
	d, err := a.Describe(a.t.Context(), "g")
	if err != nil {
		return err.Error()
	}
	return d.State
}
