package compaction

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// Bucket is what compaction needs of a bucket. Put creates, durably.
type Bucket interface {
	Put(ctx context.Context, key string, body []byte) error
	GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error)
	Delete(ctx context.Context, key string) error
	// List returns, in the order of their bytes, the objects whose keys begin with prefix
	// and come after after; fewer than ListMax means that there are no more.
	List(ctx context.Context, prefix, after string) ([]Object, error)
}

// ListMax is how many objects a List returns at most.
const ListMax = 1000

// Object is an object of the bucket.
type Object struct {
	Key  string
	Size int64 // bytes
}

// Store is what compaction needs of the metastore.
type Store interface {
	Extents(ctx context.Context, q metastore.ExtentQuery) ([]metastore.ExtentRow, error)
	ExtentTopics(ctx context.Context, after uint64, limit int) ([]uint64, error)
	Retire(ctx context.Context, term metastore.Term, reason string, objects []metastore.SegmentRow) error
	Retired(ctx context.Context, age time.Duration, limit int) ([]metastore.SegmentRow, error)
	Collected(ctx context.Context, term metastore.Term, objects []string) error
	Segments(ctx context.Context, after string, limit int) ([]metastore.SegmentRow, error)
	ArchiveFiles(ctx context.Context, q metastore.ArchiveQuery) ([]metastore.ArchiveFile, error)
	RemoveArchiveFiles(ctx context.Context, term metastore.Term, reason string, objects []string) error
	Snapshots(ctx context.Context, journals []metastore.JournalID) ([]metastore.SnapshotPlace, error)
	Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error)
	Cluster() metastore.Cluster
}

// Writer appends for the term; a metastore.Writer.
type Writer interface {
	Term() metastore.Term
	Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error)
	AppendRows(ctx context.Context, drafts []metastore.Draft, rows metastore.Rows) (*metastore.Landed, error)
}

// Policy is what a topic's configs say of its history.
type Policy struct {
	Delete         bool          // retention applies
	Retention      time.Duration // by age; negative: for ever
	RetentionBytes int64         // of a partition; negative: unbounded

	Roll            time.Duration // merged records whose times are so far apart go apart; 0: as their blocks are
	Compact         bool          // key compaction applies
	DeleteRetention time.Duration // how long tombstones and markers stay after the first cleaning
	MinLag          time.Duration // records younger than this are not cleaned
	MaxLag          time.Duration // records older than this are, whatever the ratio; negative: no such age
	DirtyRatio      float64       // cleaned once more than this share of the bytes is dirty
	Archive         ArchivePolicy
}

// ArchivePolicy is what a topic's configs say of its archive.
type ArchivePolicy struct {
	Topic     string // its name
	On        bool
	Value     archive.Value
	Schema    string        // of typed columns, as package columns reads it; empty: none
	Every     time.Duration // records wait no longer
	Retention time.Duration // of the archive's objects; negative: for ever
}

// Catalog is what compaction needs to know of topics.
type Catalog interface {
	// Policy returns a topic's; ok is false for one that was deleted or isn't known yet.
	Policy(topic uint64) (p Policy, ok bool)
	// Deleted tells whether there was such a topic and is none any more.
	Deleted(topic uint64) bool
}

// Deps are what a Compactor works with.
type Deps struct {
	Bucket  Bucket
	Store   Store
	Writer  Writer
	Catalog Catalog
	// Replica returns the replica of a shard, whose machine is a *shard.State.
	Replica func(shard int) *metastore.Replica
	// Refresh brings replicas to all that had been appended before the call.
	Refresh func(ctx context.Context, journals ...metastore.JournalID) error
	// Mine tells whether this agent looks after a shard. Two that believe so do no harm.
	Mine func(shard int) bool
	// Level is the cluster's feature level: without swaps nothing is merged; nil: the newest.
	Level func() int32
	// Busy tells whether ingest needs the machine now: jobs wait.
	Busy func() bool
	Now  func() time.Time // the database's clock
}

// Compactor does one term's compaction.
type Compactor struct {
	cfg    Config
	deps   Deps
	pace   *pace
	number atomic.Uint64 // of the term's last partition segment
	Stats  Stats
	// shards and what follows are Run's own.
	shards    map[int]*shardWork
	retention map[shard.PartitionID]kept
	lists     lists
	pass      *pass // of key compaction, one at a time
	looks     map[shard.PartitionID]look
	waiting   map[int]map[shard.PartitionID]time.Time // by shard: since when partitions have records for the archive
	space     workspace
	mu        struct {
		sync.Mutex
		troubles
	}
}

// shardWork is when a shard was looked at.
type shardWork struct {
	merged, retained, cleaned time.Time
	failed                    time.Time     // its last merge, if pause isn't 0
	pause                     time.Duration // before the next try
}

// Stats count what a Compactor has done, for metrics.
type Stats struct {
	Merges, MergesLost      atomic.Int64
	MergedExtents           atomic.Int64 // taken out of shards' states
	BytesRead, BytesWritten atomic.Int64
	Remerges                atomic.Int64
	RowsRemoved             atomic.Int64
	LogStartsMoved          atomic.Int64
	Retired, Deleted        atomic.Int64 // objects
	UploadsEnded            atomic.Int64 // of dead terms
	Failures                atomic.Int64 // jobs that failed
	Stopped                 atomic.Int64 // partitions that have stopped: damaged
	Cleanings               atomic.Int64 // passes of key compaction that came to their end
	CleanedRecords          atomic.Int64 // records that key compaction removed
	CleanedBytes            atomic.Int64 // bytes that key compaction left out of what it wrote anew
	Uncleanable             atomic.Int64 // partitions whose key compaction has stopped
	// Of the archive: objects, their rows and bytes; jobs that another's came before; objects expired.
	ArchiveFiles, ArchiveRows, ArchiveBytes atomic.Int64
	ArchivesLost, ArchiveExpired            atomic.Int64
	ArchiveDead                             atomic.Int64 // rows that could not be typed
}

// New returns the Compactor of a term that has written no partition segment yet.
func New(cfg Config, deps Deps) (*Compactor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Compactor{cfg: cfg, deps: deps, pace: newPace(cfg.BytesPerSecond, cfg.Share, deps.Busy), shards: map[int]*shardWork{}, retention: map[shard.PartitionID]kept{}, looks: map[shard.PartitionID]look{}, waiting: map[int]map[shard.PartitionID]time.Time{}}
	c.mu.troubles = newTroubles()
	return c, nil
}

// Run works until ctx ends, or the term does.
func (c *Compactor) Run(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.LookEvery)
	defer tick.Stop()
	var collected, ended, swept time.Time
	told := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for i := range c.deps.Store.Cluster().Shards {
			if !c.deps.Mine(i) {
				delete(c.shards, i)
				if c.pass != nil && c.pass.shard == i {
					c.pass = nil
				}
				delete(c.waiting, i)
				continue
			}
			if err := c.failed(ctx, "the compaction of a shard", c.Shard(ctx, i), "shard", i); err != nil {
				return err
			}
		}
		c.space = workspace{}
		now := c.deps.Now()
		if c.deps.Mine(0) && now.Sub(collected) >= c.cfg.CollectEvery {
			collected = now
			if err := c.failed(ctx, "the collection of dead segments", c.Collect(ctx)); err != nil {
				return err
			}
		}
		if c.deps.Mine(0) && now.Sub(ended) >= c.cfg.CollectEvery {
			ended = now
			if err := c.EndUploads(ctx); err != nil && ctx.Err() == nil && !told {
				// Not every server lets them be listed, nor may everyone who may put. Nothing depends on it: once is enough.
				told = true
				c.cfg.Log.Warn("unfinished uploads of dead agents can't be ended: a lifecycle rule of the bucket does so too (AbortIncompleteMultipartUpload)", "err", err)
			}
		}
		if now.Sub(swept) >= c.cfg.RetentionEvery {
			swept = now
			if err := c.failed(ctx, "the removal of deleted topics' extents", c.Sweep(ctx)); err != nil {
				return err
			}
		}
	}
}

// failed logs what will be tried again, and returns what ends the term's compaction.
func (c *Compactor) failed(ctx context.Context, what string, err error, attrs ...any) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, metastore.ErrTermEnded), errors.Is(err, metastore.ErrUnknown):
		return fmt.Errorf("%s: %w", what, err)
	case ctx.Err() != nil:
		return nil
	}
	c.Stats.Failures.Add(1)
	c.cfg.Log.Log(ctx, metastore.TroubleLevel(err), what+" has failed; it is tried again", append(attrs, "err", err)...)
	return nil
}

// Shard does what is due in a shard.
func (c *Compactor) Shard(ctx context.Context, i int) error {
	r := c.deps.Replica(i)
	if r.Err() != nil {
		return nil // said by its follower
	}
	w := c.shards[i]
	now := c.deps.Now()
	if w == nil {
		// Staggered, so that a start doesn't merge all shards at once.
		w = &shardWork{merged: now.Add(-c.cfg.MergeEvery * time.Duration(i%16) / 16), retained: now}
		c.shards[i] = w
	}
	// What one of them can't do keeps none of the others waiting.
	var errs []error
	if now.Sub(w.retained) >= c.cfg.RetentionEvery {
		w.retained = now
		errs = append(errs, c.Retain(ctx, i), c.ExpireArchive(ctx, i))
	}
	errs = append(errs, c.Archive(ctx, i))
	if c.deps.Level != nil && c.deps.Level() < metastore.LevelOf(metastore.EffectSwap) {
		return errors.Join(errs...)
	}
	if now.Sub(w.failed) >= w.pause && c.due(r, now.Sub(w.merged), w.pause > 0) {
		if err := c.Merge(ctx, i); err != nil {
			w.failed, w.pause = now, min(max(2*w.pause, retryFirst), retryMax)
			errs = append(errs, err)
		} else {
			w.merged, w.pause = now, 0
		}
	}
	if (c.pass == nil || c.pass.shard != i) && now.Sub(w.cleaned) < c.cfg.CleanEvery {
		return errors.Join(errs...)
	}
	w.cleaned = now
	return errors.Join(append(errs, c.Clean(ctx, i))...)
}

// due tells whether a shard is to be merged: since is the time since it was, failed says
// that the last try came to nothing.
func (c *Compactor) due(r *metastore.Replica, since time.Duration, failed bool) bool {
	var bytes int64
	extents := 0
	metastore.View(r, func(s *shard.State) {
		for _, h := range s.Hot(nil) {
			if c.rests(h.ID) {
				continue
			}
			failed = failed || c.wasPutOff(h.ID)
			bytes += h.Bytes
			extents += h.Extents
		}
	})
	return extents > 0 && (failed || since >= c.cfg.MergeEvery || bytes >= c.cfg.MergeBytesMin || extents >= c.cfg.ExtentsMin)
}
