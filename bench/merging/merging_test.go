package merging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

const partitions = 3

// world is one agent's read path and compaction.
type world struct {
	t         *testing.T
	bucket    *bucket.Counter
	store     *memory.Store
	follower  *metastore.Follower
	writer    *metastore.Writer
	fetcher   *fetch.Fetcher
	compactor *compaction.Compactor
	segments  uint64
}

type ours struct{ bucket.Bucket }

func (b ours) List(ctx context.Context, prefix, after string) ([]compaction.Object, error) {
	listed, err := b.Bucket.List(ctx, prefix, after, compaction.ListMax)
	var objects []compaction.Object
	for _, o := range listed {
		objects = append(objects, compaction.Object{Key: o.Key, Size: o.Size})
	}
	return objects, err
}

func (b ours) Begin(ctx context.Context, key string) (compaction.Upload, error) {
	return bucket.Begin(ctx, b.Bucket, key)
}

type catalog struct{}

func (catalog) Policy(uint64) (compaction.Policy, bool) {
	return compaction.Policy{Retention: -1, RetentionBytes: -1, Roll: time.Second}, true
}
func (catalog) Deleted(uint64) bool { return false }

// newWorld is a cluster of one agent, whose cache has so many blocks of a size.
func newWorld(t *testing.T, jobBytes int64) *world { return newWorldOf(t, jobBytes, 64, 64<<10) }

func newWorldOf(t *testing.T, jobBytes, blocksMax int64, blockBytes int) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t}
	b, closer, err := bucket.Open(ctx, "mem://")
	if err != nil {
		t.Fatal(err)
	}
	w.bucket = bucket.Count(b)
	t.Cleanup(func() { closer.Close() })
	w.store = memory.New(time.Now, metastore.Cluster{ID: "MkU3OEVBNTcwNTJENDM2Qg", Shards: 1, Groups: 1, Transactions: 1})
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	fc := metastore.DefaultFollowerConfig()
	fc.Log = log
	w.follower = metastore.NewFollower(w.store, w.bucket, fc)
	hub := fetch.NewHub()
	state := shard.New()
	state.OnGrow = hub.Grew
	w.follower.Follow(metastore.ShardJournal(0), state)
	if err := w.follower.Load(ctx); err != nil {
		t.Fatal(err)
	}
	following, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.follower.Run(following)
	}()
	t.Cleanup(func() { stop(); <-done })
	info, err := w.store.BeginTerm(ctx, metastore.AgentInfo{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.writer = metastore.NewWriter(info.Term, w.store, w.follower, time.Now)
	buffers, err := cache.NewBuffers(0)
	if err != nil {
		t.Fatal(err)
	}
	cc := cache.DefaultConfig()
	cc.BytesMax, cc.BlockBytes = blocksMax*int64(blockBytes), blockBytes
	cc.RunBytesMax = 10 * int64(cc.BlockBytes)
	cc.LoadRun = func(ctx context.Context, id segment.ID, offset int64, dsts [][]byte, done func(i, n int)) error {
		return bucket.Scatter(ctx, w.bucket, id.Key(), offset, dsts, done)
	}
	blocks, err := fetch.NewBlocks(cc, func(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
		return w.bucket.GetInto(ctx, id.Key(), offset, dst)
	}, buffers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(blocks.Cache().Close)
	replica := func(int) *metastore.Replica { return w.follower.Replica(metastore.ShardJournal(0)) }
	readers := fetch.DefaultConfig()
	readers.WindowBytesMax = 8 * int64(cc.BlockBytes)
	readers.TogetherBytesMin = int64(cc.BlockBytes)
	w.fetcher, err = fetch.New(readers, 1, fetch.Deps{
		Replica: replica, Refresher: w.follower, Rows: w.store, Blocks: blocks, Hub: hub, Clock: time.Now, Log: log,
		Resolve: func(k fetch.Key) (fetch.Place, error) {
			return fetch.Place{ID: shard.PartitionID{Topic: 1, Index: k.Partition}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := compaction.DefaultConfig()
	cfg.Log, cfg.BytesPerSecond, cfg.Share, cfg.Fan, cfg.JobBytesMax = log, 0, 1, 3, jobBytes
	cfg.RewriteBytesMax, cfg.PieceBytes = 8*jobBytes, max(1, jobBytes/2)
	w.compactor, err = compaction.New(cfg, compaction.Deps{
		Bucket: ours{w.bucket}, Store: w.store, Writer: w.writer, Catalog: catalog{}, Replica: replica,
		Refresh: w.follower.Refresh, Mine: func(int) bool { return true }, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.append(shard.AppendOpened(nil, shard.Opened{Topic: 1, ID: [16]byte{1}, Stride: 1, Count: partitions}))
	return w
}

func (w *world) append(effects []byte) {
	w.t.Helper()
	if _, err := w.writer.Append(context.Background(), []metastore.Draft{{Journal: metastore.ShardJournal(0), Effects: effects}}); err != nil {
		w.t.Fatal(err)
	}
}

// flush writes some random batches, of a transaction unless x is 0.
func (w *world) flush(rnd *rand.Rand, producer int64, x uint64) {
	w.t.Helper()
	w.segments++
	id := segment.ID{Term: uint64(w.writer.Term()), Number: w.segments}
	var b segment.Builder
	b.Begin(nil, segment.Info{Cluster: "MkU3OEVBNTcwNTJENDM2Qg", ID: id})
	var effect []shard.FlushBatch
	for i := range int32(partitions) {
		n := 1 + rnd.IntN(4)
		var records []batch.Record
		for k := range n {
			records = append(records, batch.Record{Offset: int64(k), Timestamp: rnd.Int64N(500), Value: make([]byte, rnd.IntN(300))})
		}
		h := batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
		f := shard.FlushBatch{Partition: shard.PartitionID{Topic: 1, Index: i}, Offsets: int32(n), ProducerID: shard.NoProducer}
		if x != 0 {
			h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Attributes = producer, int16(x), 0, 1<<4
			f.ProducerID, f.Epoch, f.Transaction = producer, int16(x), x
		}
		data, err := batch.Recompress(batch.Append(nil, h, records), batch.Codec(rnd.IntN(int(batch.Zstd)+1)), 1, 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		parsed, err := batch.Parse(data)
		if err != nil {
			w.t.Fatal(err)
		}
		f.Position, f.Length, f.MaxTimestamp = b.Add(0, [16]byte{1}, i, data), int64(len(data)), parsed.MaxTimestamp
		effect = append(effect, f)
	}
	if err := w.bucket.Put(context.Background(), id.Key(), b.Finish()); err != nil {
		w.t.Fatal(err)
	}
	w.append(shard.AppendFlush(nil, id.Number, effect))
}

// answers is all that readers are told: every fetch from every offset, and offsets by time.
func (w *world) answers() map[string]string {
	w.t.Helper()
	ctx := context.Background()
	told := map[string]string{}
	for i := range int32(partitions) {
		key := fetch.Key{Partition: i}
		bounds := w.fetcher.Bounds(ctx, []fetch.Key{key})[0]
		if bounds.Err != nil {
			w.t.Fatal(bounds.Err)
		}
		told[fmt.Sprint(i, " bounds")] = fmt.Sprint(bounds.LogStart, bounds.HighWatermark, bounds.LastStable)
		for _, committed := range []bool{false, true} {
			for offset := bounds.LogStart; offset <= bounds.HighWatermark; offset++ {
				told[fmt.Sprint(i, " from ", offset, committed)] = w.readAll(key, offset, committed)
			}
			for timestamp := int64(-3); timestamp < 520; timestamp += 13 {
				o := w.fetcher.Offsets(ctx, []fetch.OffsetAsk{{Key: key, CurrentEpoch: -1, Timestamp: timestamp, ReadCommitted: committed}})[0]
				if o.Err != nil {
					w.t.Fatal(o.Err)
				}
				told[fmt.Sprint(i, " at ", timestamp, committed)] = fmt.Sprint(o.Offset, o.Timestamp, o.Epoch)
			}
		}
	}
	return told
}

// readAll fetches from an offset until there is no more.
func (w *world) readAll(key fetch.Key, offset int64, committed bool) string {
	w.t.Helper()
	var all []byte
	var aborted []string
	for {
		r := w.fetcher.Fetch(context.Background(), &fetch.Request{
			SessionEpoch: -1, MaxBytes: 1 << 20, ReadCommitted: committed,
			Asks: []fetch.Ask{{Key: key, Offset: offset, BytesMax: 2000, CurrentEpoch: -1, LastEpoch: -1}},
		})
		if r.Err != nil || r.Partitions[0].Err != nil {
			w.t.Fatalf("fetch of %d from %d: %v, %v", key.Partition, offset, r.Err, r.Partitions[0].Err)
		}
		for _, a := range r.Partitions[0].Aborted {
			if text := fmt.Sprint(a.ProducerID, ":", a.FirstOffset); !slices.Contains(aborted, text) {
				aborted = append(aborted, text)
			}
		}
		got := r.Records(0)
		r.Release()
		if len(got) == 0 {
			slices.Sort(aborted)
			return fmt.Sprintf("%x aborted %v", all, aborted)
		}
		all = append(all, got...)
		for len(got) > 0 {
			h, err := batch.Verify(got)
			if err != nil {
				w.t.Fatal(err)
			}
			offset, got = h.LastOffset()+1, got[h.Size():]
		}
	}
}

func TestReadersSeeTheSame(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 9))
			w := newWorld(t, 1+rnd.Int64N(6000))
			open := map[int64]uint64{}
			next := uint64(1)
			for round := range 5 {
				for range 4 {
					switch producer := 1 + rnd.Int64N(2); {
					case rnd.IntN(2) == 0:
						w.flush(rnd, 0, 0)
					case open[producer] == 0:
						open[producer] = next
						w.flush(rnd, producer, next)
						next++
					default:
						m := shard.Marker{Producer: producer, Transaction: open[producer], Epoch: int16(open[producer]), Commit: rnd.IntN(2) == 0, Timestamp: 7}
						for i := range int32(partitions) {
							m.Partitions = append(m.Partitions, shard.PartitionID{Topic: 1, Index: i})
						}
						w.append(shard.AppendMarker(nil, m))
						open[producer] = 0
					}
				}
				before := w.answers()
				if err := w.compactor.Merge(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				after := w.answers()
				for what, was := range before {
					if after[what] != was {
						t.Fatalf("round %d, %s: %.600s\nand was %.600s", round, what, after[what], was)
					}
				}
			}
			if w.compactor.Stats.Merges.Load() == 0 || w.fetcher.Stats().TableReads == 0 {
				t.Error("nothing was merged, or nothing of it read")
			}
		})
	}
}
