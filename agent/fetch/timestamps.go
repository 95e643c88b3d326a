package fetch

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

// since returns the first record whose timestamp is at least timestamp.
func (f *Fetcher) since(ctx context.Context, p Place, timestamp int64) Offset {
	from, found := f.sinceMerged(ctx, p, timestamp)
	if found != none {
		return found
	}
	replanned := false
	for {
		var e shard.Extent
		var more, moved bool
		err := f.viewLog(p, func(s *shard.State, logStart int64) {
			merged, _ := s.Merged(p.ID)
			moved = max(from, logStart) < merged.To
			from = max(from, logStart)
			e, more = s.FirstSinceFrom(p.ID, from, timestamp)
		})
		if err == nil && moved { // merged since: what was looked for here has its place there now
			if from, found = f.sinceMerged(ctx, p, timestamp); found != none {
				return found
			}
			continue
		}
		if err != nil || !more {
			return failed(err)
		}
		found = none
		err = f.scan(ctx, e, from, timestamp, func(offset, t int64) (stop bool) {
			if t >= timestamp {
				found = Offset{Offset: offset, Timestamp: t}
			}
			return t >= timestamp
		})
		if errors.Is(err, bucket.ErrNotFound) && !replanned && f.refreshShard(ctx, p.Shard) == nil {
			replanned = true
			continue
		}
		if err != nil || found != none {
			found.Err = err
			return found
		}
		from = e.End() // its batches promised more than their records hold, or it lies below the log start
	}
}

// latest returns the record with the largest timestamp, the first such.
func (f *Fetcher) latest(ctx context.Context, p Place) Offset {
	found := f.latestPlanned(ctx, p)
	if errors.Is(found.Err, bucket.ErrNotFound) && f.refreshShard(ctx, p.Shard) == nil {
		return f.latestPlanned(ctx, p)
	}
	return found
}

func (f *Fetcher) latestPlanned(ctx context.Context, p Place) Offset {
	// In this order: what is merged meanwhile is seen twice, and not missed.
	hot := f.latestHot(ctx, p)
	if hot.Err != nil {
		return hot
	}
	if merged := f.latestMerged(ctx, p); merged.Err != nil || merged.Offset >= 0 && merged.Timestamp >= hot.Timestamp {
		return merged
	}
	return hot
}

// latestHot looks among what is not merged.
func (f *Fetcher) latestHot(ctx context.Context, p Place) Offset {
	var e shard.Extent
	var more bool
	var from int64
	err := f.viewLog(p, func(s *shard.State, logStart int64) {
		merged, _ := s.Merged(p.ID)
		from = max(logStart, merged.To)
		e, more = s.MaxTimestamp(p.ID)
	})
	if err != nil || !more {
		return failed(err)
	}
	found := f.latestIn(ctx, e, from)
	if found.Err != nil || found.Timestamp >= e.MaxTimestamp {
		return found
	}
	// The record lies below the log start, or its batch promised more than its records
	// hold. Then the best of the other extents may be later.
	var other shard.Extent
	another := false
	err = f.viewLog(p, func(s *shard.State, logStart int64) {
		for _, o := range s.Plan(p.ID, max(logStart, from), math.MaxInt, nil) {
			if o.BaseOffset != e.BaseOffset && (!another || o.MaxTimestamp > other.MaxTimestamp) {
				other, another = o, true
			}
		}
	})
	if err != nil || !another || other.MaxTimestamp <= found.Timestamp {
		return found
	}
	best := f.latestIn(ctx, other, from)
	if best.Err == nil && best.Timestamp <= found.Timestamp {
		return found
	}
	return best
}

// latestIn returns the record of an extent with the largest timestamp, from an offset on.
func (f *Fetcher) latestIn(ctx context.Context, e shard.Extent, from int64) Offset {
	found := none
	found.Err = f.scan(ctx, e, from, math.MinInt64, func(offset, t int64) (stop bool) {
		if t > found.Timestamp {
			found.Offset, found.Timestamp, found.Epoch = offset, t, 0
		}
		return t >= e.MaxTimestamp
	})
	return found
}

// scan visits the records of an extent's batches from an offset on, those of
// batches that promise a timestamp of at least since. The extent is read through the cache.
func (f *Fetcher) scan(ctx context.Context, e shard.Extent, from, since int64, visit func(offset, timestamp int64) (stop bool)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.IsMarker() { // its control record counts, as in Kafka
		if e.BaseOffset >= from && e.MaxTimestamp >= since {
			visit(e.BaseOffset, e.MaxTimestamp)
		}
		return nil
	}
	pinned, err := f.read(ctx, e, false)
	if err != nil {
		return err
	}
	defer pinned.Release()
	s := newSpan(pinned.Slices)
	var scratch [batch.HeaderSize]byte
	base := e.BaseOffset
	for s.left > 0 {
		h, err := s.next(f.cfg.BatchBytesMax, scratch[:])
		if err != nil {
			return err
		}
		if e.Segment.Merged {
			base = h.BaseOffset
		}
		end := base + int64(h.LastOffsetDelta) + 1
		if end <= from || h.MaxTimestamp < since {
			s.each(h.Size(), nil)
			base = end
			continue
		}
		b := make([]byte, 0, h.Size()) // contiguous, and ours to set the base offset in
		s.each(h.Size(), func(piece []byte) { b = append(b, piece...) })
		batch.SetBaseOffset(b, base)
		if f.visit(b, h, max(base, from), visit) {
			return nil
		}
		base = end
	}
	return nil
}

// visit visits the records of a batch from an offset on. Where they can't be read
// or are too large to be, although their checksum is right, it visits the begin of
// the batch, from where a reader misses none of them.
func (f *Fetcher) visit(b []byte, h batch.Header, from int64, visit func(offset, timestamp int64) (stop bool)) bool {
	for r, err := range batch.Records(b, f.cfg.DecompressedBytesMax) {
		if err != nil {
			f.deps.Log.Warn("a batch's records can't be searched for a timestamp", "offset", from, "err", err)
			return visit(from, h.MaxTimestamp)
		}
		if r.Offset >= from && visit(r.Offset, r.Timestamp) {
			return true
		}
	}
	return false
}

// viewLog calls see with an open partition's shard.
func (f *Fetcher) viewLog(p Place, see func(s *shard.State, logStart int64)) error {
	err, _ := f.view(p.Shard, true, func(s *shard.State) (error, bool) {
		logStart, _, _, ok := s.Bounds(p.ID)
		if !ok {
			return ErrUnknownPartition, false
		}
		see(s, logStart)
		return nil, false
	})
	return err
}

func (f *Fetcher) refreshShard(ctx context.Context, i int) error {
	if err := f.refresh(ctx, []metastore.JournalID{metastore.ShardJournal(i)}); err != nil {
		return fmt.Errorf("%w: %w", ErrStale, err)
	}
	return nil
}

// failed is the answer without an offset.
func failed(err error) Offset {
	a := none
	a.Err = err
	return a
}
