package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

const testShards = 4

var testTopic = [16]byte{7}

// world is a metastore and a bucket that agents share, with one topic opened in all shards.
type world struct {
	t     *testing.T
	store *metastore.Counting
	quiet *slog.Logger
	mu    sync.Mutex
	puts  map[string][]byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store := memory.New(time.Now, metastore.Cluster{ID: "test", Shards: testShards, Groups: 1, Transactions: 1})
	w := &world{t: t, store: metastore.NewCounting(store), quiet: slog.New(slog.NewTextHandler(io.Discard, nil)), puts: map[string][]byte{}}
	info, err := store.BeginTerm(t.Context(), metastore.AgentInfo{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i := range testShards {
		payload := metastore.AppendHeader(nil, metastore.Header{Term: info.Term, Number: 1})
		payload = shard.AppendOpened(payload, shard.Opened{Topic: 1, ID: testTopic, First: int32(i), Stride: testShards, Count: 1000})
		if _, err := store.Append(t.Context(), info.Term, []metastore.AppendPart{{Journal: metastore.ShardJournal(i), Payload: payload}}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// testAgent is one agent's write path over the world's metastore and bucket.
type testAgent struct {
	*Ingest
	world    *world
	term     metastore.Term
	follower *metastore.Follower
	writer   *metastore.Writer
	putTime  time.Duration
	putTakes func() time.Duration // instead of putTime
	putFails func(n int) error    // by the count of PUTs, from 1
	nPuts    int
	stop     func() error
}

func (a *testAgent) Put(ctx context.Context, key string, body []byte) error {
	a.world.mu.Lock()
	a.nPuts++
	n := a.nPuts
	a.world.mu.Unlock()
	if a.putTakes != nil {
		time.Sleep(a.putTakes())
	} else {
		time.Sleep(a.putTime)
	}
	if a.putFails != nil {
		if err := a.putFails(n); err != nil {
			return err
		}
	}
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	if _, ok := a.world.puts[key]; ok {
		return errors.New("a key was written twice")
	}
	a.world.puts[key] = append([]byte(nil), body...)
	return nil
}

// noCache frees a segment's buffer at once.
type noCache struct{}

func (noCache) Put(_ segment.ID, body []byte, free func([]byte)) { free(body) }

// heap lends fresh buffers.
type heap struct{}

func (heap) Get(size int) []byte { return make([]byte, size) }
func (heap) Put([]byte)          {}

// option changes an agent before it starts.
type option func(*Config, *testAgent, *metastore.Store)

func (w *world) agent(options ...option) *testAgent {
	w.t.Helper()
	ctx := w.t.Context()
	info, err := w.store.BeginTerm(ctx, metastore.AgentInfo{}, time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &testAgent{world: w, term: info.Term, putTime: 100 * time.Millisecond}
	cfg := DefaultConfig()
	cfg.Log = w.quiet
	var store metastore.Store = w.store
	for _, o := range options {
		o(&cfg, a, &store)
	}
	fc := metastore.DefaultFollowerConfig()
	fc.Log = w.quiet
	a.follower = metastore.NewFollower(store, nil, fc)
	for i := range testShards {
		s := shard.New()
		s.OnGrow = func(shard.PartitionID, int64) {
			if a.Ingest != nil {
				a.Grew()
			}
		}
		a.follower.Follow(metastore.ShardJournal(i), s)
	}
	if err := a.follower.Load(ctx); err != nil {
		w.t.Fatal(err)
	}
	a.writer = metastore.NewWriter(info.Term, store, a.follower, time.Now)
	a.Ingest, err = New(cfg, Deps{Cluster: "test", Bucket: a, Cache: noCache{}, Buffers: heap{}, Writer: a.writer, Shards: a.follower})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var runErr error
	wg.Go(func() { a.follower.Run(ctx) })
	wg.Go(func() { runErr = a.Ingest.Run(ctx) })
	a.stop = sync.OnceValue(func() error {
		cancel()
		wg.Wait()
		return runErr
	})
	w.t.Cleanup(func() { a.stop() })
	return a
}

// produced makes a batch of n records by a producer (−1: none).
func produced(partition int32, producer int64, epoch int16, first int32, n int) Batch {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("%d/%d", producer, int(first)+i)
	}
	return valued(partition, producer, epoch, first, values...)
}

// valued makes a batch of records with these values.
func valued(partition int32, producer int64, epoch int16, first int32, values ...string) Batch {
	records := make([]batch.Record, len(values))
	for i, v := range values {
		records[i] = batch.Record{Offset: int64(i), Timestamp: 1000, Value: []byte(v)}
	}
	h := batch.Header{LeaderEpoch: -1, Magic: 2, ProducerID: producer, ProducerEpoch: epoch, BaseSequence: first, FirstTimestamp: 1000, MaxTimestamp: 1000}
	if producer < 0 {
		h.ProducerEpoch, h.BaseSequence = -1, -1
	}
	body := batch.Append(nil, h, records)
	h, err := batch.Check(body)
	if err != nil {
		panic(err)
	}
	return Batch{Partition: shard.PartitionID{Topic: 1, Index: partition}, Topic: testTopic,
		Shard: int(partition) % testShards, Header: h, Bytes: body}
}

// send appends one batch and waits for its result.
func (a *testAgent) send(b Batch) Result {
	a.world.t.Helper()
	return a.begin(b)()
}

// begin appends one batch; the returned function waits for its result.
func (a *testAgent) begin(b Batch) func() Result {
	a.world.t.Helper()
	s, err := a.Append(a.world.t.Context(), []Batch{b}, nil, func() {})
	if err != nil {
		return func() Result { return Result{BaseOffset: -1, Err: err} }
	}
	return func() Result {
		r, err := s.Wait(context.Background())
		if err != nil {
			a.world.t.Fatal(err)
		}
		return r[0]
	}
}
