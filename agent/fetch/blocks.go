package fetch

import (
	"context"
	"sync"

	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// marksMax bounds the extents that are remembered as verified. One that was
// forgotten is verified again.
const marksMax = 1 << 16

// Blocks are the segments' bytes in memory: a cache, and what of it is known to be
// right. The ingest path hands its segments over by Put; what was loaded from
// the bucket is verified once an extent, by whoever reads it first.
type Blocks struct {
	cache *cache.Cache
	mu    struct {
		sync.Mutex
		segments map[segment.ID]*marks
		order    []segment.ID // of segments, the first marked first
		count    int          // of all marks
		loads    uint64       // loads begun
		dropped  uint64       // the highest of the dropped marks' loads
		evicted  uint64       // bytes found wrong: what is pinned may be older than the marks
		checks   uint64       // extents verified
	}
}

// marks are what is known of the bytes that the cache holds of one segment.
type marks struct {
	load     uint64          // the last load of any of its bytes; marks are of no earlier one
	written  bool            // handed over by the ingest path, not loaded since
	verified map[int64]int64 // lengths of verified extents by position
}

// NewBlocks returns a cache whose loads are verified.
func NewBlocks(cfg cache.Config, load cache.Load, buffers *cache.Buffers) (*Blocks, error) {
	b := &Blocks{}
	b.mu.segments = map[segment.ID]*marks{}
	if run := cfg.LoadRun; run != nil {
		cfg.LoadRun = func(ctx context.Context, id segment.ID, offset int64, dsts [][]byte, done func(i, n int)) error {
			b.loading(id)
			return run(ctx, id, offset, dsts, done)
		}
	}
	c, err := cache.New(cfg, func(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
		b.loading(id)
		return load(ctx, id, offset, dst)
	}, buffers)
	if err != nil {
		return nil, err
	}
	b.cache = c
	return b, nil
}

// Cache returns the cache, for its stats and its end.
func (b *Blocks) Cache() *cache.Cache { return b.cache }

// Put hands over a segment as it was written; see cache.Put.
func (b *Blocks) Put(id segment.ID, body []byte, free func([]byte)) {
	b.mu.Lock()
	b.marksLocked(id).written = true
	b.mu.Unlock()
	b.cache.Put(id, body, free)
}

// loading forgets what was known of a segment: other bytes are coming.
func (b *Blocks) loading(id segment.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.loads++
	m := b.marksLocked(id)
	b.mu.count -= len(m.verified)
	*m = marks{load: b.mu.loads}
}

// marksLocked returns a segment's marks, and drops the oldest ones at the bound.
func (b *Blocks) marksLocked(id segment.ID) *marks {
	if m := b.mu.segments[id]; m != nil {
		return m
	}
	for b.mu.count >= marksMax && len(b.mu.order) > 0 {
		old := b.mu.order[0]
		b.mu.order = b.mu.order[1:]
		m := b.mu.segments[old]
		delete(b.mu.segments, old)
		b.mu.dropped = max(b.mu.dropped, m.load)
		b.mu.count -= 1 + len(m.verified)
	}
	m := &marks{}
	b.mu.segments[id] = m
	b.mu.order = append(b.mu.order, id)
	b.mu.count++
	return m
}

// known tells whether the bytes that the cache holds of an extent are known to be
// right, and as of which load and eviction that is said.
func (b *Blocks) known(e shard.Extent) (right bool, load, evicted uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.mu.segments[e.Segment]; m != nil {
		right = m.written || m.verified[e.Position] >= e.Length
	}
	return right, b.mu.loads, b.mu.evicted
}

// verified notes that bytes pinned when known returned load and evicted are right. If
// more of the segment was loaded since, or bytes were evicted, they may not be those
// that the cache holds now.
func (b *Blocks) verified(e shard.Extent, load, evicted uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.checks++
	if b.mu.evicted != evicted || b.mu.segments[e.Segment] == nil && b.mu.dropped > load {
		return
	}
	m := b.marksLocked(e.Segment)
	if m.load > load {
		return
	}
	if m.verified == nil {
		m.verified = map[int64]int64{}
	}
	if _, ok := m.verified[e.Position]; !ok {
		b.mu.count++
	}
	m.verified[e.Position] = max(e.Length, m.verified[e.Position])
}

// read pins an extent's bytes and verifies them unless they are known to be right.
// more says that the reader holds pins already, so it must not wait for room.
func (b *Blocks) read(ctx context.Context, e shard.Extent, sizeMax int, more bool) (*cache.Pinned, error) {
	read := b.cache.Read
	if more {
		read = b.cache.ReadMore
	}
	_, _, before := b.known(e)
	pinned, err := read(ctx, e.Segment, e.Position, e.Length)
	if err != nil {
		return nil, err
	}
	// What is pinned stays in the cache, and so is what the marks speak of, unless it
	// was evicted because another reader found it wrong.
	right, load, evicted := b.known(e)
	if right && evicted == before {
		return pinned, nil
	}
	if err := check(pinned.Slices, e, sizeMax); err != nil {
		b.mu.Lock()
		b.mu.evicted++
		b.mu.Unlock()
		pinned.Evict()
		return nil, err
	}
	b.verified(e, load, before)
	return pinned, nil
}

// Checks counts the extents that were verified and found right, for metrics.
func (b *Blocks) Checks() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.checks
}

// prefetch loads a range of a segment ahead. It tells whether all of it is here or coming.
func (b *Blocks) prefetch(id segment.ID, position, length int64) bool {
	return b.cache.Prefetch(id, position, length)
}
