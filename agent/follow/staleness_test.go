package follow

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/postgres"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

var postgresServer postgrestest.Server

func TestMain(m *testing.M) { os.Exit(postgresServer.Main(m)) }

// stamps is a machine that notes when it folded each entry.
type stamps struct {
	mu sync.Mutex
	at map[metastore.Version]time.Time
}

func (s *stamps) Apply(at metastore.At, _ metastore.EffectKind, _ []byte, _ bool) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[at.Version] = time.Now()
	return nil, nil
}
func (s *stamps) AppendSnapshot(dst []byte) []byte { return dst }
func (s *stamps) Restore([]byte) error             { return nil }

// pair is two agents on a real metastore: one appends, the other follows.
type pair struct {
	writer    *metastore.Writer
	committed *stamps
	followed  *stamps
	follower  *metastore.Follower
	store     *metastore.Counting // the follower's
}

// newPair starts a pair, of which the first pushes to the second or doesn't.
func newPair(t testing.TB, url string, push bool, poll time.Duration) *pair {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := &pair{committed: &stamps{at: map[metastore.Version]time.Time{}}}
	var known []Peer
	var meshes []*Mesh
	for i, l := range []net.Listener{listen(t), listen(t)} {
		store, err := postgres.Open(ctx, url, metastore.DefaultCluster())
		fail(err)
		t.Cleanup(func() { store.Close() })
		counting := metastore.NewCounting(store)
		info, err := store.BeginTerm(ctx, metastore.AgentInfo{Process: fmt.Sprint(i), Peer: l.Addr().String()}, time.Hour)
		fail(err)
		cfg := metastore.DefaultFollowerConfig()
		cfg.PollEvery = poll
		follower := metastore.NewFollower(counting, nil, cfg)
		machine := &stamps{at: map[metastore.Version]time.Time{}}
		follower.Follow(shard0, machine)
		fail(follower.Load(ctx))
		group.Go(func() error { return follower.Run(ctx) })
		self := Peer{Node: info.Node, Term: info.Term, Addr: l.Addr().String()}
		known = append(known, self)
		m, err := New(testConfig(), Deps{Cluster: store.Cluster().ID, Self: self, Listener: l, Dial: dialTCP,
			Peers: func() []Peer { return known }, Sink: follower})
		fail(err)
		meshes = append(meshes, m)
		if i == 0 {
			p.writer = metastore.NewWriter(info.Term, store, follower, time.Now)
		} else {
			p.followed, p.follower, p.store = machine, follower, counting
		}
	}
	p.writer.Publish = func(origin string, parts []metastore.AppendPart, versions []metastore.Version) {
		p.committed.mu.Lock()
		p.committed.at[versions[0]] = time.Now()
		p.committed.mu.Unlock()
		meshes[0].Publish(origin, parts, versions)
	}
	if push {
		for _, m := range meshes {
			group.Go(func() error { return m.Run(ctx) })
		}
		eventually(t, "the peers meet", func() bool { return meshes[0].Reachable(known[1].Node) })
	}
	return p
}

// measure appends n entries, pause apart, and returns how long after its commit each
// was folded by the other agent, in order.
func (p *pair) measure(t testing.TB, n int, pause time.Duration) []time.Duration {
	t.Helper()
	effects := metastore.AppendEffect(nil, 200, make([]byte, 500))
	var last metastore.Version
	pace := time.NewTicker(pause)
	defer pace.Stop()
	for range n {
		landed, err := p.writer.Append(t.Context(), []metastore.Draft{{Journal: shard0, Effects: effects}})
		if err != nil {
			t.Fatal(err)
		}
		last = landed.Parts[0].Version
		<-pace.C
	}
	for r := p.follower.Replica(shard0); ; {
		changed := r.Changed()
		if r.Version() >= last {
			break
		}
		<-changed
	}
	p.followed.mu.Lock()
	defer p.followed.mu.Unlock()
	var took []time.Duration
	for v, at := range p.committed.at {
		// The push may overtake the writer's own return.
		took = append(took, max(0, p.followed.at[v].Sub(at)))
	}
	slices.Sort(took)
	return took
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// TestStaleness has one agent commit to a real Postgres and another follow: entries
// come by pushes with no read at all, and without pushes by polls. How long they take is told.
func TestStaleness(t *testing.T) {
	for _, bouncer := range []bool{false, true} {
		for _, push := range []bool{true, false} {
			t.Run(fmt.Sprintf("bouncer %v, push %v", bouncer, push), func(t *testing.T) {
				url := postgresServer.Database(t)
				if bouncer {
					url = postgresServer.Bouncer(t, url)
				}
				poll, n, pause := time.Hour, 200, 2*time.Millisecond
				if !push {
					poll, n, pause = 200*time.Millisecond, 100, 7*time.Millisecond
				}
				p := newPair(t, url, push, poll)
				before := p.store.Statements().Read
				took := p.measure(t, n, pause)
				p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
				t.Logf("staleness above the commit: p50 %v, p99 %v, max %v, %d reads", p50, p99, took[len(took)-1], p.store.Statements().Read-before)
				if len(took) != n {
					t.Errorf("%d entries of %d", len(took), n)
				}
				if reads := p.store.Statements().Read - before; push && reads != 0 {
					t.Errorf("%d reads with pushes", reads)
				}
			})
		}
	}
}

// BenchmarkStaleness measures what TestStaleness shows, with the defaults: an idle
// machine is needed for the figures to mean anything.
func BenchmarkStaleness(b *testing.B) {
	for _, bouncer := range []bool{false, true} {
		for _, push := range []bool{true, false} {
			b.Run(fmt.Sprintf("bouncer=%v/push=%v", bouncer, push), func(b *testing.B) {
				url := postgresServer.Database(b)
				if bouncer {
					url = postgresServer.Bouncer(b, url)
				}
				p := newPair(b, url, push, metastore.DefaultFollowerConfig().PollEvery)
				b.ResetTimer()
				took := p.measure(b, b.N, 5*time.Millisecond)
				ms := func(q float64) float64 { return quantile(took, q).Seconds() * 1000 }
				b.ReportMetric(ms(0.5), "p50-ms")
				b.ReportMetric(ms(0.99), "p99-ms")
				b.ReportMetric(ms(1), "max-ms")
			})
		}
	}
}
