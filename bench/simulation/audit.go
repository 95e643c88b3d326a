package simulation

import (
	"context"
	"math"
	"sync"

	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// audit looks at what is left when all agents are gone: the journals fold, every segment that they
// name is in the bucket, long enough, and tables and bucket agree (compaction.Verify).
func (w *world) audit(ctx context.Context) {
	f := metastore.NewFollower(w.store, w.bucket, metastore.DefaultFollowerConfig())
	for i := range w.cfg.Cluster.Shards {
		f.Follow(metastore.ShardJournal(i), shard.New())
	}
	if err := f.Load(ctx); err != nil {
		w.bug("the shards can't be folded: %v", err)
		return
	}
	archived := map[shard.PartitionID]int64{}
	for i := range w.cfg.Cluster.Shards {
		metastore.View(f.Replica(metastore.ShardJournal(i)), func(s *shard.State) {
			archivedTo(s, archived)
			for _, p := range s.Partitions() {
				start, _, _, _ := s.Bounds(p)
				for _, e := range s.Plan(p, start, math.MaxInt, nil) {
					if e.Length == 0 {
						continue // A marker.
					}
					b, err := w.bucket.Get(ctx, e.Segment.Key(), e.Position, e.Length)
					if err != nil || int64(len(b)) != e.Length {
						w.bug("partition %v at offset %d: %d bytes at %d of %s: %d are there, %v", p, e.BaseOffset, e.Length, e.Position, e.Segment.Key(), len(b), err)
					}
				}
			}
		})
	}
	w.checkCleaned(ctx)
	w.checkArchive(ctx, archived)
	following, stop := context.WithCancel(ctx)
	var followed sync.WaitGroup
	followed.Go(func() { f.Run(following) })
	defer followed.Wait()
	defer stop()
	bill, err := compaction.Verify(ctx, compaction.Deps{
		Bucket: objects{w.bucket}, Store: w.store, Refresh: f.Refresh,
		Replica: func(i int) *metastore.Replica { return f.Replica(metastore.ShardJournal(i)) },
	})
	if err != nil {
		w.bug("bucket and metastore can't be compared: %v", err)
		return
	}
	for _, key := range bill.Missing {
		w.bug("%s is named and isn't there", key)
	}
	for _, wrong := range bill.Wrong {
		w.bug("tables and shards don't agree: %s", wrong)
	}
	w.note("bill", "%+v live, %+v retired, %+v garbage", bill.Live, bill.Retired, bill.Garbage)
}
