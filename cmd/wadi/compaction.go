package main

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
)

const (
	flagCompactionRate  = "compaction-rate"
	flagCompactionEvery = "compaction-every"
	flagCollectInterval = "collect-interval"
	flagCollectGrace    = "collect-grace"
)

// compactionFlags pace the work on old segments.
func compactionFlags() []cli.Flag {
	defaults := compaction.DefaultConfig()
	return []cli.Flag{
		&cli.StringFlag{Name: flagCompactionRate, Value: bytesText(defaults.BytesPerSecond), Usage: "merge history at up to `SIZE` a second, read and written (0: unbounded)"},
		&cli.DurationFlag{Name: flagCompactionEvery, Value: defaults.MergeEvery, Usage: "merge a shard's small extents each `TIME`, unless they are many or large before"},
		&cli.DurationFlag{Name: flagCollectInterval, Value: defaults.CollectEvery, Usage: "list the bucket each `TIME` for segments that nobody needs"},
		&cli.DurationFlag{Name: flagCollectGrace, Value: defaults.Grace, Usage: "delete them `TIME` after they were found, twice the longest staleness of readers at least"},
	}
}

// compactionConfig is what compactionFlags say.
func compactionConfig(ctx *cli.Context) (compaction.Config, error) {
	cfg := compaction.DefaultConfig()
	var err error
	if cfg.BytesPerSecond, err = parseBytes(ctx.String(flagCompactionRate)); err != nil {
		return cfg, usagef("--%s: %s", flagCompactionRate, err)
	}
	for _, f := range []struct {
		name string
		of   *time.Duration
	}{{flagCompactionEvery, &cfg.MergeEvery}, {flagCollectInterval, &cfg.CollectEvery}, {flagCollectGrace, &cfg.Grace}} {
		if *f.of = ctx.Duration(f.name); *f.of <= 0 {
			return cfg, usagef("--%s: it must be longer than nothing", f.name)
		}
	}
	return cfg, nil
}

// compact runs compaction beside a term, paced by cfg and the broker's configs.
func compact(cfg compaction.Config) agent.Compaction {
	return func(ctx context.Context, t agent.CompactionTerm) error {
		cfg := cfg
		cfg.Log = t.Log
		cfg.RetentionEvery = t.CheckEach
		cfg.CleanEvery, cfg.KeyMapBytesMax = max(t.CleanEach, time.Millisecond), max(t.KeyBytes, compaction.KeyMapBytesMin)
		if t.Alone {
			cfg.Share = 1
		}
		cfg.LookEvery = min(cfg.LookEvery, t.CheckEach, cfg.MergeEvery, cfg.CollectEvery)
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
				RowsRemoved: s.RowsRemoved.Load(), Retired: s.Retired.Load(), Deleted: s.Deleted.Load(), UploadsEnded: s.UploadsEnded.Load(),
				Failures: s.Failures.Load(), Stopped: s.Stopped.Load(),
				Cleanings: s.Cleanings.Load(), CleanedRecords: s.CleanedRecords.Load(), CleanedBytes: s.CleanedBytes.Load(), Uncleanable: s.Uncleanable.Load(),
				ArchiveFiles: s.ArchiveFiles.Load(), ArchiveRows: s.ArchiveRows.Load(), ArchiveBytes: s.ArchiveBytes.Load(),
				ArchivesLost: s.ArchivesLost.Load(), ArchiveDead: s.ArchiveDead.Load(), ArchiveExpired: s.ArchiveExpired.Load(),
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
		objects[i] = compaction.Object{Key: o.Key, Size: o.Size}
	}
	return objects, err
}

func (b compactionBucket) Unfinished(ctx context.Context, prefix string) ([]compaction.Unfinished, error) {
	listed, err := bucket.ListUnfinished(ctx, b.Bucket, prefix)
	found := make([]compaction.Unfinished, len(listed))
	for i, u := range listed {
		found[i] = compaction.Unfinished{Key: u.Key, ID: u.ID}
	}
	return found, err
}

func (b compactionBucket) End(ctx context.Context, u compaction.Unfinished) error {
	return bucket.End(ctx, b.Bucket, bucket.Unfinished{Key: u.Key, ID: u.ID})
}

// Begin puts an object in parts. Its key is this term's alone: what is there already was put by a
// commit whose answer was lost, or the comparison, which follows, says so.
func (b compactionBucket) Begin(ctx context.Context, key string) (compaction.Upload, error) {
	u, err := bucket.Begin(ctx, b.Bucket, key)
	return compactionUpload{u}, err
}

type compactionUpload struct{ bucket.Upload }

func (u compactionUpload) Commit(ctx context.Context) error {
	if err := u.Upload.Commit(ctx); err != nil && !errors.Is(err, bucket.ErrExists) {
		return err
	}
	return nil
}

// compactionCatalog tells of topics what compaction wants to know.
type compactionCatalog struct{ t agent.CompactionTerm }

func (c compactionCatalog) Policy(topic uint64) (compaction.Policy, bool) {
	r, ok := c.t.Retention(topic)
	a, there := c.t.Archive(topic)
	return compaction.Policy{
		Delete: r.Delete, Retention: r.Age, RetentionBytes: r.Bytes, Roll: r.Roll,
		Compact: r.Compact, DeleteRetention: r.DeleteRetention, MinLag: r.MinLag, MaxLag: r.MaxLag, DirtyRatio: r.DirtyRatio,
		Archive: compaction.ArchivePolicy{Topic: a.Topic, On: a.On, Value: archive.Value(a.Value), Schema: a.Schema, Every: a.Every, Retention: a.Retention},
	}, ok && there
}

func (c compactionCatalog) Deleted(topic uint64) bool { return c.t.Deleted(topic) }
