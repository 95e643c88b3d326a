package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

const clusterID = "MkU3OEVBNTcwNTJENDM2Qg"

// world is an agent's parts around a bucket and a metastore in memory, with one topic
// in one shard, and a clock that the measurement moves.
type world struct {
	ctx        context.Context
	now        atomic.Int64 // ms
	bucket     *bucket.Counter
	store      *memory.Store
	follower   *metastore.Follower
	writer     *metastore.Writer
	snapshots  *metastore.Snapshotter
	compactor  *compaction.Compactor
	partitions int32
	segments   uint64
	appended   int64 // bytes of effects
}

// objects is the bucket as compaction knows it.
type objects struct {
	bucket.Bucket
	whole bool // takes no uploads in parts
}

// bodies is a bucket of which only the bytes count: a put and a get copy them once, and do nothing else.
type bodies struct {
	bucket.Bucket // the rest
	mu            struct {
		sync.Mutex
		of map[string][]byte
	}
}

func (b *bodies) Put(_ context.Context, key string, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.of == nil {
		b.mu.of = map[string][]byte{}
	}
	if b.mu.of[key] != nil {
		return bucket.ErrExists
	}
	b.mu.of[key] = bytes.Clone(body)
	return nil
}

func (b *bodies) GetInto(_ context.Context, key string, offset int64, dst []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, ok := b.mu.of[key]
	if !ok {
		return 0, bucket.ErrNotFound
	}
	return copy(dst, body[min(offset, int64(len(body))):]), nil
}

func (b objects) List(ctx context.Context, prefix, after string) ([]compaction.Object, error) {
	listed, err := b.Bucket.List(ctx, prefix, after, compaction.ListMax)
	var all []compaction.Object
	for _, o := range listed {
		all = append(all, compaction.Object{Key: o.Key, Size: o.Size})
	}
	return all, err
}

func (b objects) Begin(ctx context.Context, key string) (compaction.Upload, error) {
	if b.whole {
		return bucket.Begin(ctx, struct{ bucket.Bucket }{b.Bucket}, key) // hides that it might
	}
	return bucket.Begin(ctx, b.Bucket, key)
}

// catalog keeps all records, and archives them if archived.
type catalog struct{ archived bool }

func (c catalog) Policy(uint64) (compaction.Policy, bool) {
	return compaction.Policy{Retention: -1, RetentionBytes: -1, Archive: compaction.ArchivePolicy{
		Topic: "measured", On: c.archived, Value: archive.Binary, Every: time.Second, Retention: -1,
	}}, true
}

func (catalog) Deleted(uint64) bool { return false }

func (w *world) clock() time.Time { return time.UnixMilli(w.now.Load()) }

func newWorld(ctx context.Context, partitions int32, topics catalog) (*world, error) {
	b, _, err := bucket.Open(ctx, "mem://")
	if err != nil {
		return nil, err
	}
	if topics.archived {
		b = &bodies{Bucket: b}
	}
	return newWorldIn(ctx, b, partitions, topics, false)
}

// newWorldIn is a world on a bucket. whole says that it takes no uploads in parts.
func newWorldIn(ctx context.Context, b bucket.Bucket, partitions int32, topics catalog, whole bool) (_ *world, err error) {
	w := &world{ctx: ctx, partitions: partitions}
	w.now.Store(time.Now().Add(48 * time.Hour).UnixMilli()) // so that no object is too young to be collected
	w.bucket = bucket.Count(b)
	w.store = memory.New(w.clock, metastore.Cluster{ID: clusterID, Shards: 1, Groups: 1, Transactions: 1})
	if w.follower, err = w.replica(nil); err != nil {
		return nil, err
	}
	go w.follower.Run(ctx)
	info, err := w.store.BeginTerm(ctx, metastore.AgentInfo{}, 1000*time.Hour)
	if err != nil {
		return nil, err
	}
	w.writer = metastore.NewWriter(info.Term, w.store, w.follower, w.clock)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	sc := metastore.DefaultSnapshotConfig()
	sc.Log = quiet
	w.snapshots = metastore.NewSnapshotter(w.store, w.bucket, w.follower, w.writer, sc)
	cfg := compaction.DefaultConfig()
	cfg.Log, cfg.BytesPerSecond, cfg.Share = quiet, 0, 1
	w.compactor, err = compaction.New(cfg, compaction.Deps{
		Bucket: objects{w.bucket, whole}, Store: w.store, Writer: w.writer, Catalog: topics,
		Replica: func(int) *metastore.Replica { return w.follower.Replica(metastore.ShardJournal(0)) },
		Refresh: w.follower.Refresh, Mine: func(int) bool { return true }, Now: w.clock,
	})
	if err != nil {
		return nil, err
	}
	return w, w.append(shard.AppendOpened(nil, shard.Opened{Topic: 1, ID: [16]byte{1}, Stride: 1, Count: partitions}))
}

// replica loads a follower of the shard, as an agent does that starts.
func (w *world) replica(grown *fetch.Hub) (*metastore.Follower, error) {
	fc := metastore.DefaultFollowerConfig()
	fc.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	f := metastore.NewFollower(w.store, w.bucket, fc)
	state := shard.New()
	if grown != nil {
		state.OnGrow = grown.Grew
	}
	f.Follow(metastore.ShardJournal(0), state)
	return f, f.Load(w.ctx)
}

func (w *world) append(effects []byte) error {
	w.appended += int64(len(effects))
	_, err := w.writer.Append(w.ctx, []metastore.Draft{{Journal: metastore.ShardJournal(0), Effects: effects}})
	return err
}

// flush puts a segment with one batch for each of some partitions, and appends it.
func (w *world) flush(batches map[int32][]byte) error {
	w.segments++
	id := segment.ID{Term: uint64(w.writer.Term()), Number: w.segments}
	var b segment.Builder
	b.Begin(nil, segment.Info{Cluster: clusterID, ID: id})
	var effect []shard.FlushBatch
	for i := range w.partitions {
		data, ok := batches[i]
		if !ok {
			continue
		}
		h, err := batch.Parse(data)
		if err != nil {
			return err
		}
		effect = append(effect, shard.FlushBatch{
			Partition: shard.PartitionID{Topic: 1, Index: i}, Position: b.Add(0, [16]byte{1}, i, data), Length: int64(len(data)),
			Offsets: h.Records, MaxTimestamp: h.MaxTimestamp, ProducerID: shard.NoProducer,
		})
	}
	if err := w.bucket.Put(w.ctx, id.Key(), b.Finish()); err != nil {
		return err
	}
	return w.append(shard.AppendFlush(nil, id.Number, effect))
}

// stored is what the bucket holds under a prefix.
func (w *world) stored(prefix string) (objects int, bytes int64, err error) {
	for o, err := range bucket.All(w.ctx, w.bucket, prefix) {
		if err != nil {
			return 0, 0, err
		}
		objects++
		bytes += o.Size
	}
	return objects, bytes, nil
}

// replay reads all partitions from their begin to their end, one after the other, by fetches of 1 MiB, and
// returns what that cost.
func (w *world) replay(cacheBytes int64) (records, bytes, gets, statements int64, err error) {
	hub := fetch.NewHub()
	follower, err := w.replica(hub)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan struct{})
	go func() { defer close(done); follower.Run(ctx) }()
	defer func() { cancel(); <-done }()
	buffers, err := cache.NewBuffers(0)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	cc := cache.DefaultConfig()
	cc.BytesMax = cacheBytes
	cc.LoadRun = func(ctx context.Context, id segment.ID, offset int64, dsts [][]byte, done func(i, n int)) error {
		return bucket.Scatter(ctx, w.bucket, id.Key(), offset, dsts, done)
	}
	blocks, err := fetch.NewBlocks(cc, func(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
		return w.bucket.GetInto(ctx, id.Key(), offset, dst)
	}, buffers)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	defer blocks.Cache().Close()
	fetcher, err := fetch.New(fetch.DefaultConfig(), 1, fetch.Deps{
		Replica:   func(int) *metastore.Replica { return follower.Replica(metastore.ShardJournal(0)) },
		Refresher: follower, Rows: w.store, Blocks: blocks, Hub: hub, Clock: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Resolve: func(k fetch.Key) (fetch.Place, error) {
			return fetch.Place{ID: shard.PartitionID{Topic: 1, Index: k.Partition}}, nil
		},
	})
	if err != nil {
		return 0, 0, 0, 0, err
	}
	before := w.bucket.Gets.Load()
	for i := range w.partitions {
		for offset := int64(0); ; {
			r := fetcher.Fetch(w.ctx, &fetch.Request{SessionEpoch: -1, MaxBytes: 50 << 20, Asks: []fetch.Ask{{
				Key: fetch.Key{Partition: i}, Offset: offset, BytesMax: 1 << 20, CurrentEpoch: -1, LastEpoch: -1,
			}}})
			if r.Err != nil || r.Partitions[0].Err != nil {
				return 0, 0, 0, 0, fmt.Errorf("fetch of partition %d from %d: %v, %v", i, offset, r.Err, r.Partitions[0].Err)
			}
			got := r.Records(0)
			r.Release()
			if bytes += int64(len(got)); len(got) == 0 {
				break
			}
			for len(got) > 0 {
				h, err := batch.Verify(got)
				if err != nil {
					return 0, 0, 0, 0, err
				}
				records += int64(h.Records)
				offset, got = h.LastOffset()+1, got[h.Size():]
			}
		}
	}
	return records, bytes, w.bucket.Gets.Load() - before, int64(fetcher.Stats().TableReads), nil
}

// heap is what lives on the heap, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cpu is the time that this process has had of processors.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
