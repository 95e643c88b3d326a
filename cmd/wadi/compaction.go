package main

import (
	"context"
	"time"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
)

// compact runs compaction beside a term, at so many bytes a second, over each shard so often.
func compact(bytesPerSecond int64, every time.Duration) agent.Compaction {
	return func(ctx context.Context, t agent.CompactionTerm) error {
		cfg := compaction.DefaultConfig()
		cfg.Log, cfg.BytesPerSecond, cfg.MergeEvery = t.Log, bytesPerSecond, every
		cfg.RetentionEvery = t.CheckEach
		cfg.CleanEvery, cfg.KeyMapBytesMax = max(t.CleanEach, time.Millisecond), max(t.KeyBytes, compaction.KeyMapBytesMin)
		cfg.LookEvery = min(cfg.LookEvery, t.CheckEach, every)
		cfg.Grace = max(cfg.Grace, compaction.StalenessMin(t.StaleMax))
		c, err := compaction.New(cfg, compaction.Deps{
			Bucket:  compactionBucket{t.Bucket},
			Store:   t.Store,
			Writer:  t.Writer,
			Catalog: compactionCatalog{t},
			Replica: func(i int) *metastore.Replica { return t.Follower.Replica(metastore.ShardJournal(i)) },
			Refresh: t.Follower.Refresh,
			Mine:    t.Mine,
			Level:   t.Level,
			Busy:    t.Busy,
			Now:     t.Now,
		})
		if err != nil {
			return err
		}
		t.Watch(func() metrics.Compaction {
			s := &c.Stats
			return metrics.Compaction{
				Merges: s.Merges.Load(), MergesLost: s.MergesLost.Load(), Remerges: s.Remerges.Load(), MergedExtents: s.MergedExtents.Load(),
				BytesRead: s.BytesRead.Load(), BytesWritten: s.BytesWritten.Load(), LogStartsMoved: s.LogStartsMoved.Load(),
				RowsRemoved: s.RowsRemoved.Load(), Retired: s.Retired.Load(), Deleted: s.Deleted.Load(),
				Failures: s.Failures.Load(), Stopped: s.Stopped.Load(),
				Cleanings: s.Cleanings.Load(), CleanedRecords: s.CleanedRecords.Load(), CleanedBytes: s.CleanedBytes.Load(), Uncleanable: s.Uncleanable.Load(),
				ArchiveFiles: s.ArchiveFiles.Load(), ArchiveRows: s.ArchiveRows.Load(), ArchiveBytes: s.ArchiveBytes.Load(),
				ArchivesLost: s.ArchivesLost.Load(), ArchiveExpired: s.ArchiveExpired.Load(),
			}
		})
		return c.Run(ctx)
	}
}

// compactionBucket is a bucket as compaction knows it. Its reads are cold ones, which S3
// has connections of their own for.
type compactionBucket struct{ bucket.Bucket }

func (b compactionBucket) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	return b.Bucket.GetInto(bucket.Cold(ctx), key, offset, dst)
}

func (b compactionBucket) List(ctx context.Context, prefix, after string) ([]compaction.Object, error) {
	listed, err := b.Bucket.List(ctx, prefix, after, compaction.ListMax)
	objects := make([]compaction.Object, len(listed))
	for i, o := range listed {
		objects[i] = compaction.Object{Key: o.Key, Size: o.Size, Modified: o.Modified}
	}
	return objects, err
}

// compactionCatalog tells of topics what compaction wants to know.
type compactionCatalog struct{ t agent.CompactionTerm }

func (c compactionCatalog) Policy(topic uint64) (compaction.Policy, bool) {
	r, ok := c.t.Retention(topic)
	a, there := c.t.Archive(topic)
	return compaction.Policy{
		Delete: r.Delete, Retention: r.Age, RetentionBytes: r.Bytes,
		Compact: r.Compact, DeleteRetention: r.DeleteRetention, MinLag: r.MinLag, MaxLag: r.MaxLag, DirtyRatio: r.DirtyRatio,
		Archive: compaction.ArchivePolicy{Topic: a.Topic, On: a.On, Value: archive.Value(a.Value), Every: a.Every, Retention: a.Retention},
	}, ok && there
}

func (c compactionCatalog) Deleted(topic uint64) bool { return c.t.Deleted(topic) }
