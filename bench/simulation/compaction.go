package simulation

import (
	"context"
	"time"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
)

// compactionConfig has history merged, cleaned, expired and collected within seconds, in jobs of few
// kilobytes, so that a minute sees many.
func compactionConfig() compaction.Config {
	cfg := compaction.DefaultConfig()
	cfg.LookEvery = 700 * time.Millisecond
	cfg.MergeEvery = 3 * time.Second
	cfg.MergeBytesMin, cfg.ExtentsMin = 8<<10, 20
	cfg.JobBytesMax, cfg.RewriteBytesMax, cfg.PieceBytes = 16<<10, 32<<10, 4<<10
	cfg.GapBytesMax = 256
	cfg.Fan = 3
	cfg.RetentionEvery = 2 * time.Second
	cfg.CleanEvery = time.Second
	cfg.CollectEvery = 3 * time.Second
	cfg.Grace = compaction.StalenessMin(staleMax)
	return cfg
}

// compact runs compaction beside a term.
func (w *world) compact(ctx context.Context, t agent.CompactionTerm) error {
	cfg := compactionConfig()
	cfg.Log = t.Log
	c, err := compaction.New(cfg, compaction.Deps{
		Bucket: objects{t.Bucket}, Store: t.Store, Writer: t.Writer, Catalog: policies{t},
		Replica: func(i int) *metastore.Replica { return t.Follower.Replica(metastore.ShardJournal(i)) },
		Refresh: t.Follower.Refresh, Mine: t.Mine, Level: t.Level, Busy: t.Busy, Now: t.Now,
	})
	if err != nil {
		return err
	}
	defer func() {
		w.count(func(n *counts) {
			n.merges += c.Stats.Merges.Load() + c.Stats.Remerges.Load()
			n.cleaned += c.Stats.CleanedRecords.Load()
			n.expired += c.Stats.LogStartsMoved.Load()
			n.deleted += c.Stats.Deleted.Load()
			n.archived += c.Stats.ArchiveRows.Load()
		})
	}()
	return c.Run(ctx)
}

// objects is a bucket as compaction knows it.
type objects struct{ bucket.Bucket }

func (b objects) List(ctx context.Context, prefix, after string) (found []compaction.Object, err error) {
	listed, err := b.Bucket.List(ctx, prefix, after, compaction.ListMax)
	for _, o := range listed {
		found = append(found, compaction.Object{Key: o.Key, Size: o.Size})
	}
	return found, err
}

// Begin puts an object in parts.
func (b objects) Begin(ctx context.Context, key string) (compaction.Upload, error) {
	return bucket.Begin(ctx, b.Bucket, key)
}

// policies are what topics' configs say of their history.
type policies struct{ t agent.CompactionTerm }

func (c policies) Policy(topic uint64) (compaction.Policy, bool) {
	r, ok := c.t.Retention(topic)
	a, there := c.t.Archive(topic)
	return compaction.Policy{
		Delete: r.Delete, Retention: r.Age, RetentionBytes: r.Bytes, Roll: r.Roll,
		Compact: r.Compact, DeleteRetention: r.DeleteRetention, MinLag: r.MinLag, MaxLag: r.MaxLag, DirtyRatio: r.DirtyRatio,
		Archive: compaction.ArchivePolicy{Topic: a.Topic, On: a.On, Value: archive.Value(a.Value), Schema: a.Schema, Every: a.Every, Retention: a.Retention},
	}, ok && there
}

func (c policies) Deleted(topic uint64) bool { return c.t.Deleted(topic) }
