package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// What a batch can come to besides an offset.
var (
	ErrPartitionClosed = errors.New("the partition is closed or unknown")
	ErrStaleEpoch      = errors.New("the producer's epoch is lower than the partition has seen")
	ErrDuplicate       = errors.New("the sequence number is behind those remembered")
	ErrOutOfOrder      = errors.New("the sequence number is out of order")
	// ErrTransactionEnded: the batch's transaction has ended in the partition, so it can
	// never stand under that number. Nobody may ask for another one for it: that would put
	// what was aborted into the next transaction.
	ErrTransactionEnded = errors.New("the transaction has ended")
	// ErrTransactionOpen: a batch outside of transactions, of a producer with an open one there.
	ErrTransactionOpen = errors.New("the producer has a transaction open")
	// ErrStorage: nothing was appended, and a retry may succeed. Only for batches
	// without a producer id.
	ErrStorage = errors.New("the batch could not be stored")
	// ErrUnknown: the outcome is unknown, or the producer's order can't be kept
	// otherwise (GUARDS 9): the connection must be closed.
	ErrUnknown = errors.New("the outcome of the batch is unknown")
)

// Batch is one record batch on its way into a partition.
type Batch struct {
	Partition shard.PartitionID
	Topic     [16]byte
	Shard     int
	Header    batch.Header
	// Transaction is the number of the producer's transaction, to which the partition is
	// known to have been added (GUARDS 14); shard.NoTransaction outside of one.
	Transaction uint64
	Bytes       []byte // checked; read until they are copied into a segment
}

// Result is what became of a batch.
type Result struct {
	BaseOffset    int64
	LogAppendTime int64 // ms, −1 unless the topic stamps it
	LogStart      int64
	Err           error // nil, or wraps one of the errors above
}

// Config bounds the ingest path.
type Config struct {
	SegmentBytesMax  int64         // of records in one flush; a flush starts when as much is buffered
	BatchesMax       int           // in one flush and in one append
	Linger           time.Duration // the longest that a batch waits for a flush while a slot is free
	BufferBytesMax   int64         // of records not yet answered; at the limit producers wait. Less than UploadsMax segments and another leaves segments unfilled
	UploadsMax       int           // at once
	PutsPerSecondMax float64       // that are spent to flush before size or linger ask for it; less of them the nearer the load comes to filling segments
	PutsFree         bool          // PUTs cost nothing: they don't become less as the load rises
	HoldMax          time.Duration // of a gap before it is fenced (GUARDS 7)
	WaitMax          time.Duration // of an idempotent batch in this agent (GUARDS 13)
	Clock            func() time.Time
	Log              *slog.Logger
}

// entryBatchBytesMax bounds one batch's share of an entry, in bytes.
const entryBatchBytesMax = 84

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		SegmentBytesMax:  8 << 20,
		BatchesMax:       12_000,
		Linger:           350 * time.Millisecond,
		BufferBytesMax:   96 << 20,
		UploadsMax:       8,
		PutsPerSecondMax: 25,
		HoldMax:          time.Second,
		WaitMax:          2 * time.Minute,
		Clock:            time.Now,
		Log:              slog.Default(),
	}
}

// Validate says which setting is out of bounds.
func (c Config) Validate() error {
	switch {
	case c.SegmentBytesMax < 1<<10 || c.SegmentBytesMax > 1<<30:
		return fmt.Errorf("the segment size of %d bytes is not within 1 KiB and 1 GiB", c.SegmentBytesMax)
	case c.BatchesMax < 1 || c.BatchesMax*entryBatchBytesMax > metastore.EntryBytesMax:
		return fmt.Errorf("%d batches a flush are not within 1 and %d", c.BatchesMax, metastore.EntryBytesMax/entryBatchBytesMax)
	case c.UploadsMax < 1:
		return errors.New("at least one upload at once is needed")
	case c.BufferBytesMax < c.SegmentBytesMax:
		return errors.New("the buffer must hold at least one segment")
	case c.PutsPerSecondMax <= 0:
		return errors.New("the PUT budget must be above 0")
	case c.Linger < 0:
		return errors.New("the linger must not be below 0")
	}
	return nil
}

// Bucket takes segments, create-only.
type Bucket interface {
	Put(ctx context.Context, key string, body []byte) error
}

// Cache takes over a segment's buffer once it is durable, so that readers of the tail need no GET.
type Cache interface {
	Put(id segment.ID, body []byte, free func([]byte))
}

// Buffers lends segment buffers.
type Buffers interface {
	Get(size int) []byte
	Put([]byte)
}

// Writer appends to the journals.
type Writer interface {
	Term() metastore.Term
	Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error)
}

// Shards gives the replicas of the shards, and brings them up to date.
type Shards interface {
	Replica(id metastore.JournalID) *metastore.Replica
	Refresh(ctx context.Context, journals ...metastore.JournalID) error
}

// Deps are the parts that the ingest path stands on.
type Deps struct {
	Cluster string
	Bucket  Bucket
	Cache   Cache
	Buffers Buffers
	Writer  Writer
	Shards  Shards
}

// Stats counts what the ingest path did.
type Stats struct {
	FlushesBySize, FlushesByLinger, FlushesAtOnce atomic.Int64
	Segments, SegmentBytes, Batches, Records      atomic.Int64
	UploadsFailed, Appends, Voids, Held, Fences   atomic.Int64
	Duplicates                                    atomic.Int64
	Observe                                       func(stage Stage, d time.Duration) // nil: nobody looks
}

// Stage is a part of a batch's way, for latency metrics.
type Stage string

// The stages.
const (
	StageWait   Stage = "wait"   // from Append to the begin of its flush
	StageUpload Stage = "upload" // sealing and PUT
	StageCommit Stage = "commit" // from the end of the upload to the answer
)

// Ingest is the write path of one term: buffer, upload, commit. It ends with its term.
type Ingest struct {
	cfg   Config
	deps  Deps
	Stats Stats

	uploaded chan *flush   // in flush order; the committer takes them
	landed   chan struct{} // an upload has ended
	grew     chan struct{} // a shard's partition grew while batches are held
	held     atomic.Int64  // batches held for a gap
	settled  atomic.Uint64
	writing  atomic.Int64 // bytes of the buffers of segments that are being written
	uploads  metastore.Trouble

	mu struct {
		sync.Mutex
		buffer   []*item
		bytes    int64         // of records buffered
		inFlight int64         // of records not yet answered
		room     chan struct{} // closed when inFlight shrinks; nil while nobody waits
		ended    error
	}
	filled   chan struct{} // the buffer changed
	builders sync.Pool     // of *segment.Builder

	fates struct {
		sync.Mutex
		list []segment.Fate
	}
}

// New returns the write path of a writer's term.
func New(cfg Config, deps Deps) (*Ingest, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Ingest{cfg: cfg, deps: deps,
		uploaded: make(chan *flush, cfg.UploadsMax),
		landed:   make(chan struct{}, 1),
		grew:     make(chan struct{}, 1),
		filled:   make(chan struct{}, 1),
		builders: sync.Pool{New: func() any { return new(segment.Builder) }},
		uploads: metastore.Trouble{Log: cfg.Log, Level: slog.LevelError,
			Begun: "a segment could not be uploaded; its batches are refused", Over: "segments are uploaded again"},
	}, nil
}

// Settled returns the highest number of a segment of this term, such that none up to it is
// in an append to come: what of them the journals don't name by now they never will.
func (in *Ingest) Settled() uint64 { return in.settled.Load() }

// Run flushes, uploads and commits until ctx ends or the term does; then all that
// is unanswered is answered with ErrUnknown. It returns nil only when ctx ended.
func (in *Ingest) Run(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	c := newCommitter(in)
	group.Go(func() error { return in.flushes(groupCtx) })
	group.Go(func() error { return c.run(groupCtx) })
	err := group.Wait()
	// No upload reads a frame any more; what is left can be answered.
	in.end(c)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// end answers everything that is left.
func (in *Ingest) end(c *committer) {
	in.mu.Lock()
	in.mu.ended = fmt.Errorf("%w: the term has ended", ErrUnknown)
	rest := in.mu.buffer
	in.mu.buffer = nil
	in.wakeLocked()
	in.mu.Unlock()
	close(in.uploaded)
	for f := range in.uploaded {
		rest = append(rest, f.items...)
	}
	for _, it := range append(rest, c.unanswered()...) {
		in.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, Err: ErrUnknown})
	}
}

// Grew tells that a partition of a shard grew; it never blocks.
func (in *Ingest) Grew() {
	if in.held.Load() > 0 {
		select {
		case in.grew <- struct{}{}:
		default:
		}
	}
}
