package simulation

import (
	"context"
	"math"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// audit looks at what is left when all agents are gone: the journals fold, and
// every segment that they name is in the bucket, long enough.
func (w *world) audit(ctx context.Context) {
	f := metastore.NewFollower(w.store, w.bucket, metastore.DefaultFollowerConfig())
	for i := range w.cfg.Cluster.Shards {
		f.Follow(metastore.ShardJournal(i), shard.New())
	}
	if err := f.Load(ctx); err != nil {
		w.bug("the shards can't be folded: %v", err)
		return
	}
	for i := range w.cfg.Cluster.Shards {
		metastore.View(f.Replica(metastore.ShardJournal(i)), func(s *shard.State) {
			for _, p := range s.Partitions() {
				start, _, _, _ := s.Bounds(p)
				for _, e := range s.Plan(p, start, math.MaxInt, nil) {
					b, err := w.bucket.Get(ctx, e.Segment.Key(), e.Position, e.Length)
					if err != nil || int64(len(b)) != e.Length {
						w.bug("partition %v at offset %d: %d bytes at %d of %s: %d are there, %v", p, e.BaseOffset, e.Length, e.Position, e.Segment.Key(), len(b), err)
					}
				}
			}
		})
	}
}
