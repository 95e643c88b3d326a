package ingest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

var seeds = flag.Int("seeds", 60, "how many random histories to run")

// flaky is a store whose appends are refused, or done with their reply lost, or done late.
type flaky struct {
	metastore.Store
	mu  sync.Mutex
	rng *rand.Rand
}

func (f *flaky) draw(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.IntN(n)
}

func (f *flaky) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	time.Sleep(time.Duration(f.draw(20)) * time.Millisecond)
	reset := errors.New("connection reset")
	switch f.draw(12) {
	case 0:
		return nil, reset
	case 1:
		if _, err := f.Store.Append(ctx, term, parts); err != nil {
			return nil, err
		}
		return nil, reset
	case 2:
		later := time.Duration(f.draw(3000)) * time.Millisecond
		go func() {
			time.Sleep(later)
			f.Store.Append(ctx, term, parts)
		}()
		return nil, reset
	}
	return f.Store.Append(ctx, term, parts)
}

// cluster is some agents of which some are killed and replaced.
type cluster struct {
	w      *world
	rng    *rand.Rand
	mu     sync.Mutex
	agents []*testAgent
}

func (c *cluster) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

func (c *cluster) any() *testAgent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agents[c.rng.IntN(len(c.agents))]
}

func (c *cluster) start() *testAgent {
	seed := uint64(c.draw(1 << 30))
	return c.w.agent(func(_ *Config, a *testAgent, s *metastore.Store) {
		*s = &flaky{Store: *s, rng: rand.New(rand.NewPCG(seed, 1))}
		a.putTime = time.Duration(20+c.draw(200)) * time.Millisecond
		a.putFails = func(int) error {
			if c.draw(25) == 0 {
				return errors.New("503")
			}
			return nil
		}
	})
}

// replace stops an agent, ends its term as the reaper would, and starts another.
func (c *cluster) replace() {
	i := c.draw(len(c.agents))
	old := c.agents[i]
	old.stop()
	if _, err := c.w.store.EndTerm(context.Background(), old.term, true); err != nil {
		c.w.t.Error(err)
	}
	a := c.start()
	c.mu.Lock()
	c.agents[i] = a
	c.mu.Unlock()
	r := metastore.NewReaper(c.w.store, a.follower, a.writer, time.Second, c.w.quiet)
	if err := r.Reap(c.w.t.Context()); err != nil && !errors.Is(err, metastore.ErrUnknown) {
		c.w.t.Error(err)
	}
}

// producer sends values 0 … n−1 into one partition as an idempotent client does:
// up to five in flight, all that is unanswered again after a lost connection, a
// new epoch after a definite error.
type producer struct {
	c         *cluster
	id        int64
	partition int32
	n         int
	epoch     int16
	base      int // value of this epoch's sequence 0
	acked     int // values below are acknowledged
	offsets   []int64
	heard     func(value int, began bool, offset int64) // told of each value's first send and of its acknowledgement; may be nil
	begun     int                                       // values below were told
}

func (p *producer) tell(value int, began bool, offset int64) {
	if p.heard != nil {
		p.heard(value, began, offset)
	}
}

func (p *producer) run() {
	p.offsets = make([]int64, p.n)
	for p.acked < p.n {
		p.connection(p.c.any())
		time.Sleep(time.Duration(p.c.draw(300)) * time.Millisecond)
	}
}

// connection sends until something goes wrong or all is acknowledged.
func (p *producer) connection(a *testAgent) {
	gone := make(chan struct{})
	defer close(gone)
	var waits []*Submission
	sent := p.acked
	for p.acked < p.n {
		for sent < p.n && sent < p.acked+5 {
			if p.c.draw(10) == 0 {
				a = p.c.any() // Its metadata named another leader; what is in flight stays where it is.
			}
			if sent >= p.begun {
				p.begun++
				p.tell(sent, true, -1)
			}
			s, err := a.Append(context.Background(), []Batch{valued(p.partition, p.id, p.epoch, int32(sent-p.base), fmt.Sprintf("%d/%d", p.id, sent))}, gone, func() {})
			if err != nil {
				return
			}
			waits = append(waits, s)
			sent++
			if p.c.draw(3) == 0 {
				time.Sleep(time.Duration(p.c.draw(100)) * time.Millisecond)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+p.c.draw(6))*time.Second)
		r, err := waits[0].Wait(ctx)
		cancel()
		waits = waits[1:]
		switch {
		case err != nil || errors.Is(r[0].Err, ErrUnknown):
			return
		case r[0].Err == nil:
			p.offsets[p.acked] = r[0].BaseOffset
		case errors.Is(r[0].Err, ErrDuplicate):
			p.offsets[p.acked] = -1
		case errors.Is(r[0].Err, ErrOutOfOrder):
			p.epoch++
			p.base = p.acked
			return
		default:
			p.c.w.t.Errorf("producer %d value %d: %v", p.id, p.acked, r[0].Err)
			return
		}
		p.tell(p.acked, false, p.offsets[p.acked])
		p.acked++
	}
}

// read replays a partition from the journal and the bucket.
func (w *world) read(partition int32) (values []string) {
	s := shard.New()
	f := metastore.NewFollower(w.store, nil, metastore.DefaultFollowerConfig())
	f.Follow(metastore.ShardJournal(int(partition)%testShards), s)
	if err := f.Load(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	id := shard.PartitionID{Topic: 1, Index: partition}
	_, high, _, _ := s.Bounds(id)
	for offset := int64(0); offset < high; {
		for _, e := range s.Plan(id, offset, 1<<20, nil) {
			if e.BaseOffset != offset {
				w.t.Fatalf("the extent at %d begins at %d", offset, e.BaseOffset)
			}
			body := w.puts[e.Segment.Key()]
			for r := body[e.Position : e.Position+e.Length]; len(r) > 0; {
				_, one, rest, err := batch.Next(r)
				if err != nil {
					w.t.Fatal(err)
				}
				for rec, err := range batch.Records(one, 1<<20) {
					if err != nil {
						w.t.Fatal(err)
					}
					values = append(values, string(rec.Value))
				}
				r = rest
			}
			offset = e.End()
		}
	}
	if int64(len(values)) != high {
		w.t.Fatalf("%d records below the high watermark of %d", len(values), high)
	}
	return values
}

func TestIngest_RandomHistories(t *testing.T) {
	for seed := range uint64(*seeds) {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { randomHistory(t, seed) }) }) {
			return
		}
	}
}

func randomHistory(t *testing.T, seed uint64) {
	w := newWorld(t)
	c := newCluster(w, seed)
	var producers []*producer
	var done sync.WaitGroup
	for i := range 8 {
		p := &producer{c: c, id: int64(100 + i), partition: int32(i % 3), n: 30}
		producers = append(producers, p)
		done.Go(p.run)
	}
	c.trouble(done.Wait)
	for partition := range int32(3) {
		values := w.read(partition)
		at := map[string][]int64{}
		for o, v := range values {
			at[v] = append(at[v], int64(o))
		}
		for _, p := range producers {
			if p.partition == partition {
				p.check(t, at)
			}
		}
	}
}

func newCluster(w *world, seed uint64) *cluster {
	c := &cluster{w: w, rng: rand.New(rand.NewPCG(seed, 0))}
	for range 3 {
		a := c.start()
		c.agents = append(c.agents, a)
	}
	return c
}

// trouble replaces agents until wait returns, and ends when nothing can land any more.
func (c *cluster) trouble(wait func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(1+c.draw(5)) * time.Second):
				c.replace()
			}
		}
	}()
	wait()
	close(stop)
	<-stopped
	for _, a := range c.agents {
		a.stop()
	}
	time.Sleep(10 * time.Second) // for the last late appends
}

// check finds each value once, where it was acknowledged, in order.
func (p *producer) check(t *testing.T, at map[string][]int64) {
	last := int64(-1)
	for v := range p.n {
		places := at[fmt.Sprintf("%d/%d", p.id, v)]
		if len(places) != 1 {
			t.Errorf("partition %d: producer %d's value %d stands at %v; it was acknowledged at %d", p.partition, p.id, v, places, p.offsets[v])
			continue
		}
		if p.offsets[v] >= 0 && p.offsets[v] != places[0] {
			t.Errorf("producer %d's value %d was acknowledged at %d and stands at %d", p.id, v, p.offsets[v], places[0])
		}
		if places[0] < last {
			t.Errorf("producer %d's value %d stands before the one before it", p.id, v)
		}
		last = places[0]
	}
}
