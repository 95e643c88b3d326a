package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
)

// Compaction is what runs beside a term's serving in an agent with that role, until ctx ends
// or the term does. An agent doesn't know the package that does it; its caller hands it over.
type Compaction func(ctx context.Context, t CompactionTerm) error

// CompactionTerm is what a term gives to its compaction.
type CompactionTerm struct {
	Bucket   bucket.Bucket
	Store    metastore.Store
	Writer   *metastore.Writer
	Follower *metastore.Follower
	// Mine tells whether this agent looks after a shard's history.
	Mine func(shard int) bool
	// Level is the cluster's feature level.
	Level func() int32
	// Busy tells whether the bytes that wait for their flush say that ingest needs the machine.
	Busy func() bool
	// Alone says that the agent serves no client: what computes need not leave the processor to others.
	Alone bool
	// Retention returns what a topic's configs say; ok is false for one that isn't there.
	Retention func(topic uint64) (r broker.Retention, ok bool)
	// Archive is the same of its archive.
	Archive func(topic uint64) (a broker.Archive, ok bool)
	// Deleted tells whether there was such a topic and is none any more.
	Deleted   func(topic uint64) bool
	Now       func() time.Time // the database's clock
	StaleMax  time.Duration    // the longest staleness of a replica that answers readers
	CheckEach time.Duration    // log.retention.check.interval.ms
	CleanEach time.Duration    // log.cleaner.backoff.ms
	KeyBytes  int64            // log.cleaner.dedupe.buffer.size: memory for the keys of one pass of key compaction
	Log       *slog.Logger
	// Watch takes what the metrics are read from.
	Watch func(counts func() metrics.Compaction)
}

// compact runs the term's compaction, if the agent has the role.
func (a *Agent) compact(ctx context.Context, t *term) error {
	if a.cfg.Compaction == nil || !a.cfg.Roles.Has(metastore.RoleCompaction) {
		return nil
	}
	p := t.process
	topics := p.follower.Replica(metastore.CatalogJournal)
	defer t.compaction.Store(nil)
	return a.cfg.Compaction(ctx, CompactionTerm{
		Bucket: p.bucket, Store: p.store, Writer: t.writer, Follower: p.follower,
		Mine:  func(i int) bool { return p.compacts(i, t.info.Node) },
		Level: p.level,
		Alone: a.cfg.Roles == metastore.RoleCompaction,
		Busy:  func() bool { return t.ingest.Buffered() > a.cfg.Ingest.BufferBytesMax/2 },
		Retention: func(number uint64) (r broker.Retention, ok bool) {
			metastore.View(topics, func(s *catalog.State) {
				if topic := s.ByNumber(number); topic != nil {
					r, ok = a.settings.Retention(topic), true
					r.Compact = r.Compact && a.settings.Bool("log.cleaner.enable")
				}
			})
			return r, ok
		},
		Archive: func(number uint64) (archive broker.Archive, ok bool) {
			metastore.View(topics, func(s *catalog.State) {
				if topic := s.ByNumber(number); topic != nil {
					archive, ok = a.settings.Archive(topic), true
				}
			})
			return archive, ok
		},
		Deleted: func(number uint64) (deleted bool) {
			metastore.View(topics, func(s *catalog.State) {
				deleted = number < s.NextTopicNumber() && s.ByNumber(number) == nil
			})
			return deleted
		},
		Now:       p.clock.now,
		StaleMax:  a.cfg.StaleMax,
		CheckEach: time.Duration(a.settings.Int64("log.retention.check.interval.ms")) * time.Millisecond,
		CleanEach: time.Duration(a.settings.Int64("log.cleaner.backoff.ms")) * time.Millisecond,
		KeyBytes:  a.settings.Int64("log.cleaner.dedupe.buffer.size"),
		Log:       a.cfg.Log,
		Watch:     func(counts func() metrics.Compaction) { t.compaction.Store(&counts) },
	})
}

// compacts tells whether an agent looks after a shard's history: of the live ones with the
// role, the one that a rendezvous of shard and node chooses. For a second or two
// two may think that they do; then one of their swaps wins.
func (p *process) compacts(i int, node int32) bool {
	best, first := uint64(0), int32(0)
	for _, other := range p.members.View().Live() {
		if !other.Roles.Has(metastore.RoleCompaction) || other.Draining {
			continue
		}
		if s := compactionScore(i, other.Node); first == 0 || s > best {
			best, first = s, other.Node
		}
	}
	return first == node
}

// compactionScore mixes a shard and a node (the finalizer of SplitMix64).
func compactionScore(i int, node int32) uint64 {
	x := uint64(i)<<32 ^ uint64(uint32(node)) ^ 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
