package fetch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// Place is where a partition lives.
type Place struct {
	ID    shard.PartitionID
	Shard int
	Topic string // the topic's name; empty where nobody knows it
}

// Refresher brings replicas to all that had been appended before the call; a metastore.Follower.
type Refresher interface {
	Refresh(ctx context.Context, journals ...metastore.JournalID) error
}

// Deps are what a Fetcher works with.
type Deps struct {
	// Replica returns the replica of a shard, whose machine is a *shard.State.
	Replica func(shard int) *metastore.Replica
	// Resolve finds a partition. It fails with ErrUnknownTopicID or ErrUnknownPartition.
	Resolve   func(Key) (Place, error)
	Refresher Refresher
	Rows      Rows // where merged offsets lie
	Blocks    *Blocks
	Hub       *Hub
	Clock     func() time.Time
	Log       *slog.Logger
}

// Fetcher serves all fetches of a process.
type Fetcher struct {
	cfg      Config
	deps     Deps
	sessions *Sessions
	history  *history
	ways     *ways
	places   *semaphore.Weighted // partitions of the fetches under way
	answered []atomic.Uint64     // by shard: the highest version that an answer came from
	counts   counters
	told     toldSegments // broken or missing ones
}

// New returns a Fetcher for the shards 0 to shards-1.
func New(cfg Config, shards int, deps Deps) (*Fetcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Fetcher{
		cfg:      cfg,
		deps:     deps,
		sessions: NewSessions(cfg, deps.Clock),
		history:  newHistory(deps.Rows),
		ways:     newWays(cfg.WindowBytesMax, deps.Blocks.Cache().Stats().BytesMax),
		places:   semaphore.NewWeighted(int64(cfg.PartitionsMax)),
		answered: make([]atomic.Uint64, shards),
	}, nil
}

// Request is a Fetch request.
type Request struct {
	TopicIDs      bool // topics are named by id: version 13 and later
	SessionID     int32
	SessionEpoch  int32 // -1 without a session: version 6 and earlier
	Asks          []Ask
	Forgotten     []Key
	MaxWait       time.Duration
	MinBytes      int
	MaxBytes      int
	ReadCommitted bool
	// Preferred returns the node id of the agent that the reader should read a shard's
	// partitions from instead, 0 for this one; nil: this one.
	Preferred func(shard int) int32
	Hurry     <-chan struct{} // closed: answer with what there is; nil: never
}

// Partition is the answer for one partition.
type Partition struct {
	Key
	Err           error
	HighWatermark int64 // this and the next two are -1 with an error
	LastStable    int64
	LogStart      int64
	ReadCommitted bool
	// Aborted are the transactions whose records among those answered a reader that is
	// ReadCommitted must skip, by the offset of their markers.
	Aborted      []shard.AbortedTransaction
	Diverging    bool  // the reader's last epoch ended at DivergingEnd, before its offset
	DivergingEnd int64 // an offset
	Preferred    int32 // node id of the agent to read it from; 0: this one
	Bytes        int   // of its records

	firstPiece, pieces int // of Response.pieces
}

// Response is the answer to a fetch. It pins blocks of the cache until Release.
type Response struct {
	Err        error // of the session; then there are no partitions
	SessionID  int32
	Partitions []Partition
	Bytes      int // of all records

	pins     []*cache.Pinned
	pieces   [][]byte // records and base offsets, in the order of the partitions
	bases    []byte
	controls []byte   // control batches
	frame    []byte   // what Encode puts between the records
	out      [][]byte // what Encode returned
}

// Release lets go of the blocks. The response must not be used after it.
func (r *Response) Release() {
	for _, p := range r.pins {
		p.Release()
	}
	*r = Response{}
}

// Fetch answers a request once it has what the request waits for. ctx ends with
// the connection; then the answer matters to nobody. The caller releases it.
func (f *Fetcher) Fetch(ctx context.Context, req *Request) *Response {
	t, err := f.sessions.begin(req)
	if err != nil {
		return &Response{Err: err}
	}
	// At the bound the reader waits; it holds nothing yet.
	weight := int64(min(len(t.asks), f.cfg.PartitionsMax))
	if err := f.places.Acquire(ctx, weight); err != nil {
		return &Response{Err: ErrStale}
	}
	defer f.places.Release(weight)

	f.counts.fetches.Add(1)
	rd := f.newReading(req, t.asks)
	rd.traceBegin(ctx)
	rd.wait(ctx)
	r := rd.respond(ctx)
	id, kept, err := f.sessions.finish(t, r.Partitions)
	if err != nil {
		r.Release()
		return &Response{Err: err, SessionID: id}
	}
	r.SessionID, r.Partitions = id, kept
	return r
}

// counters are counted by all fetches.
type counters struct {
	fetches, bytes, waits, refreshes, corrupt, missing, readAhead atomic.Uint64
}

// Stats are counts since the start and of now, for metrics.
type Stats struct {
	Fetches, Bytes uint64
	Waits          uint64 // fetches that waited for bytes
	Refreshes      uint64 // refreshes that fetches asked for
	Corrupt        uint64 // loads whose bytes did not match their checksum
	Missing        uint64 // extents whose segment was not there
	ReadAhead      uint64 // extents asked for ahead
	TableReads     uint64 // statements that asked where merged offsets lie
	Watched        int    // partitions that fetches wait for
	Sessions       SessionCounts
}

// Stats returns the counts.
func (f *Fetcher) Stats() Stats {
	c := &f.counts
	return Stats{c.fetches.Load(), c.bytes.Load(), c.waits.Load(), c.refreshes.Load(), c.corrupt.Load(),
		c.missing.Load(), c.readAhead.Load(), f.history.Statements(), f.deps.Hub.Watched(), f.sessions.Counts()}
}

// Records returns a copy of the records of a partition of the answer, for who doesn't
// write it to a socket.
func (r *Response) Records(i int) []byte {
	var records []byte
	if p := &r.Partitions[i]; p.Bytes > 0 {
		for _, piece := range r.pieces[p.firstPiece : p.firstPiece+p.pieces] {
			records = append(records, piece...)
		}
	}
	return records
}
