package merging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// compacted is a catalog whose topics are all compacted by key.
type compacted struct{ catalog }

func (compacted) Policy(uint64) (compaction.Policy, bool) {
	return compaction.Policy{Retention: -1, RetentionBytes: -1, Roll: time.Second, Compact: true, DeleteRetention: time.Hour, MaxLag: -1}, true
}

// compactsByKey gives the world another Compactor.
func (w *world) compactsByKey(jobBytes, keyBytes int64) {
	w.t.Helper()
	cfg := compaction.DefaultConfig()
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.BytesPerSecond, cfg.Fan, cfg.JobBytesMax, cfg.KeyMapBytesMax = 0, 3, jobBytes, keyBytes
	var err error
	w.compactor, err = compaction.New(cfg, compaction.Deps{
		Bucket: ours{w.bucket}, Store: w.store, Writer: w.writer, Catalog: compacted{},
		Replica: func(int) *metastore.Replica { return w.follower.Replica(metastore.ShardJournal(0)) },
		Refresh: w.follower.Refresh, Mine: func(int) bool { return true }, Now: time.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// change writes some changes of a table to partition 0, of a transaction unless x is 0.
func (w *world) change(rnd *rand.Rand, producer int64, x uint64) {
	w.t.Helper()
	w.segments++
	id := segment.ID{Term: uint64(w.writer.Term()), Number: w.segments}
	var b segment.Builder
	b.Begin(nil, segment.Info{Cluster: "MkU3OEVBNTcwNTJENDM2Qg", ID: id})
	n := 1 + rnd.IntN(6)
	var records []batch.Record
	for k := range n {
		r := batch.Record{Offset: int64(k), Timestamp: rnd.Int64N(500), Key: fmt.Appendf(nil, "key %d", rnd.IntN(30))}
		if rnd.IntN(5) > 0 {
			r.Value = fmt.Appendf(nil, "%d", rnd.Int())
		}
		records = append(records, r)
	}
	h := batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	f := shard.FlushBatch{Partition: shard.PartitionID{Topic: 1}, Offsets: int32(n), ProducerID: shard.NoProducer}
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
	f.Position, f.Length, f.MaxTimestamp = b.Add(0, [16]byte{1}, 0, data), int64(len(data)), parsed.MaxTimestamp
	if err := w.bucket.Put(context.Background(), id.Key(), b.Finish()); err != nil {
		w.t.Fatal(err)
	}
	w.append(shard.AppendFlush(nil, id.Number, []shard.FlushBatch{f}))
}

// restore reads partition 0 from an offset on as a changelog's consumer does, committed
// records only, and returns the table, and where the reader ended.
func (w *world) restore(from int64) (table map[string]string, position int64) {
	w.t.Helper()
	table, position = map[string]string{}, from
	for {
		r := w.fetcher.Fetch(context.Background(), &fetch.Request{
			SessionEpoch: -1, MaxBytes: 1 << 20, ReadCommitted: true,
			Asks: []fetch.Ask{{Key: fetch.Key{}, Offset: position, BytesMax: 700, CurrentEpoch: -1, LastEpoch: -1}},
		})
		if r.Err != nil || r.Partitions[0].Err != nil {
			w.t.Fatalf("fetch from %d: %v, %v", position, r.Err, r.Partitions[0].Err)
		}
		first := map[int64]int64{} // of each aborted producer here
		for _, a := range r.Partitions[0].Aborted {
			if was, ok := first[a.ProducerID]; !ok || a.FirstOffset < was {
				first[a.ProducerID] = a.FirstOffset
			}
		}
		got := r.Records(0)
		r.Release()
		if len(got) == 0 {
			return table, position
		}
		for len(got) > 0 {
			h, err := batch.Verify(got)
			if err != nil {
				w.t.Fatal(err)
			}
			// A producer here has one transaction.
			begin, aborted := first[h.ProducerID]
			for record, err := range batch.Records(got[:h.Size()], 1<<20) {
				switch {
				case err != nil:
					w.t.Fatal(err)
				case h.Control() || h.Transactional() && aborted && begin <= h.BaseOffset:
				case record.Value == nil:
					delete(table, string(record.Key))
				default:
					table[string(record.Key)] = string(record.Value)
				}
			}
			position, got = h.LastOffset()+1, got[h.Size():]
		}
	}
}

// A changelog restores to the same table before and after key compaction, read by
// the real fetcher; and a reader that stands anywhere comes to the same end.
func TestChangelogsRestoreTheSame(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 5))
			w := newWorld(t, 1)
			w.compactsByKey(100+rnd.Int64N(3000), 1<<10+rnd.Int64N(4<<10))
			x := uint64(0)
			for round := range 5 {
				for range 8 {
					if rnd.IntN(3) > 0 {
						w.change(rnd, 0, 0)
						continue
					}
					x++
					w.change(rnd, int64(x), x)
					if rnd.IntN(8) > 0 || round == 0 { // else it stays open: nothing from it on is cleaned
						w.append(shard.AppendMarker(nil, shard.Marker{
							Producer: int64(x), Transaction: x, Epoch: int16(x), Commit: rnd.IntN(2) == 0, Timestamp: 7,
							Partitions: []shard.PartitionID{{Topic: 1}},
						}))
					}
				}
				table, end := w.restore(0)
				for range 20 {
					if err := w.compactor.Merge(t.Context(), 0); err != nil {
						t.Fatal(err)
					}
					if err := w.compactor.Clean(t.Context(), 0); err != nil {
						t.Fatal(err)
					}
				}
				after, endAfter := w.restore(0)
				if !maps.Equal(table, after) || end != endAfter {
					t.Fatalf("round %d: restored %v to offset %d\nwas %v to %d", round, after, endAfter, table, end)
				}
				for offset := range end {
					if _, at := w.restore(offset); at != end {
						t.Fatalf("round %d: a reader at offset %d ends at %d, not %d", round, offset, at, end)
					}
				}
				for timestamp := int64(0); timestamp < 520; timestamp += 40 {
					o := w.fetcher.Offsets(t.Context(), []fetch.OffsetAsk{{CurrentEpoch: -1, Timestamp: timestamp}})[0]
					if o.Err != nil {
						t.Fatal(o.Err)
					}
				}
			}
			if w.compactor.Stats.CleanedRecords.Load() == 0 {
				t.Error("nothing was removed")
			}
		})
	}
}
