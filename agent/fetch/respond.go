package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// loaded is what became of one planned extent.
type loaded struct {
	pinned *cache.Pinned // nil with an error, and once the answer has it
	err    error
}

// respond loads what is planned and makes the answer of it.
func (rd *reading) respond(ctx context.Context) *Response {
	loads := rd.load(ctx)
	if rd.gone(loads) {
		// Compaction has replaced the segment: a refreshed replica names another.
		release(loads)
		for i := range rd.parts {
			rd.parts[i].chunk = nil
			rd.f.history.forget(rd.parts[i].place.ID)
		}
		rd.lookFresh(ctx, func(*part) bool { return true })
		loads = rd.load(ctx)
	}
	r := &Response{Partitions: make([]Partition, len(rd.parts))}
	left, nothing := rd.bytesMax, true
	for i := range rd.parts {
		p := &rd.parts[i]
		out := &r.Partitions[i]
		*out = Partition{Key: rd.asks[i].Key, HighWatermark: -1, LastStable: -1, LogStart: -1, ReadCommitted: rd.req.ReadCommitted}
		if p.err == nil {
			p.err = rd.fill(r, out, i, loads[p.first:p.first+p.planned], left, nothing)
		}
		if p.err != nil {
			out.Err = p.err
			continue
		}
		if out.Bytes > 0 {
			nothing = false
			left = max(0, left-out.Bytes)
			r.Bytes += out.Bytes
		}
	}
	rd.f.counts.bytes.Add(uint64(r.Bytes))
	rd.readAhead(r)
	return r
}

// fill puts a partition's bounds and records into the answer. An error that comes
// after some records leaves it for the next fetch to tell.
func (rd *reading) fill(r *Response, out *Partition, i int, loads []loaded, left int, nothing bool) (err error) {
	p, ask := &rd.parts[i], &rd.asks[i]
	out.firstPiece = len(r.pieces)
	bytesMax := budget(ask, left)
	for k := range loads {
		l := &loads[k]
		if errors.Is(l.err, cache.ErrFull) {
			break // the answer is full as far as memory goes: the next fetch has its turn
		}
		if err = l.err; err != nil {
			break
		}
		var n int
		var full bool
		first := nothing && out.Bytes == 0
		if e := rd.extents[p.first+k]; e.IsMarker() {
			if e.BaseOffset >= p.upper {
				break
			}
			if !first && out.Bytes+int(e.Bytes()) > bytesMax {
				break
			}
			r.pieces = append(r.pieces, r.control(e))
			out.Bytes += int(e.Bytes())
			continue
		}
		before := len(r.pieces)
		n, full, err = r.cut(l.pinned.Slices, rd.extents[p.first+k], ask.Offset, p.upper, bytesMax-out.Bytes, rd.f.cfg.BatchBytesMax, first)
		if len(r.pieces) > before {
			r.pins = append(r.pins, l.pinned)
			l.pinned = nil
		}
		out.Bytes += n
		if full || err != nil {
			break
		}
	}
	release(loads)
	out.pieces = len(r.pieces) - out.firstPiece
	if err != nil && out.Bytes == 0 {
		return err
	}
	out.HighWatermark, out.LastStable, out.LogStart = p.highWatermark, p.lastStable, p.logStart
	out.Aborted = rd.aborted[p.abortedFrom:p.abortedTo]
	out.Preferred = p.preferred
	if p.diverging {
		out.Diverging, out.DivergingEnd = true, p.highWatermark
	}
	return nil
}

// load reads all planned extents, several at a time. It waits for room in the cache
// for the first one only, holding nothing, so that readers never wait for each other.
func (rd *reading) load(ctx context.Context) []loaded {
	loads := make([]loaded, len(rd.extents))
	for i := range rd.parts {
		// What is large and lies side by side comes by one request instead of one a block.
		if p := &rd.parts[i]; p.bytes > rd.f.cfg.TogetherBytesMin && p.planned > 1 {
			rd.prefetch(rd.extents[p.first:p.first+p.planned], p.bytes+rd.f.cfg.TogetherBytesMin)
		}
	}
	stage := rd.traceRead()
	defer rd.traceHas(stage, loads)
	read := func(i int) {
		if rd.extents[i].IsMarker() {
			return // it has no bytes to load
		}
		load := rd.traceLoad(stage, rd.extents[i])
		loads[i].pinned, loads[i].err = rd.f.read(ctx, rd.extents[i], true)
		rd.traceLoaded(load, loads[i])
	}
	if workers := min(len(loads), rd.f.cfg.LoadsMax); workers > 1 {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(loads); i = int(next.Add(1)) - 1 {
					read(i)
				}
			})
		}
		wg.Wait()
	} else if workers == 1 {
		read(0)
	}
	full := func(l loaded) bool { return errors.Is(l.err, cache.ErrFull) }
	held := func(l loaded) bool { return l.pinned != nil }
	if i := slices.IndexFunc(loads, full); i >= 0 && !slices.ContainsFunc(loads, held) {
		loads[i].pinned, loads[i].err = rd.f.read(ctx, rd.extents[i], false)
	}
	return loads
}

// release lets go of what is still pinned.
func release(loads []loaded) {
	for i := range loads {
		if l := &loads[i]; l.pinned != nil {
			l.pinned.Release()
			l.pinned = nil
		}
	}
}

// gone tells whether a segment was not there.
func (rd *reading) gone(loads []loaded) bool {
	for i := range loads {
		if errors.Is(loads[i].err, bucket.ErrNotFound) {
			return true
		}
	}
	return false
}

// toldMax bounds the segments that are remembered as told of.
const toldMax = 1024

// toldSegments are those whose loss was told: their readers ask again and again.
type toldSegments struct {
	mu struct {
		sync.Mutex
		ids map[segment.ID]bool
	}
}

// first tells whether a segment was not told of yet.
func (s *toldSegments) first(id segment.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.ids[id] {
		return false
	}
	if s.mu.ids == nil || len(s.mu.ids) >= toldMax {
		s.mu.ids = map[segment.ID]bool{}
	}
	s.mu.ids[id] = true
	return true
}

// read pins an extent's bytes, verified. Bytes that are wrong are loaded once more.
// more says that the caller may hold pins: then cache.ErrFull comes at once.
func (f *Fetcher) read(ctx context.Context, e shard.Extent, more bool) (*cache.Pinned, error) {
	for again := false; ; again = true {
		pinned, err := f.deps.Blocks.read(ctx, e, f.cfg.BatchBytesMax, more)
		switch {
		case err == nil:
			return pinned, nil
		case errors.Is(err, ErrCorrupt):
			f.counts.corrupt.Add(1)
			if f.told.first(e.Segment) {
				f.deps.Log.Error("a segment's bytes are not what was written", "segment", e.Segment.Key(),
					"position", e.Position, "length", e.Length, "offset", e.BaseOffset, "err", err)
			}
			if again {
				return nil, err
			}
		case errors.Is(err, bucket.ErrNotFound):
			f.counts.missing.Add(1)
			if f.told.first(e.Segment) {
				f.deps.Log.Error("a segment is not in the bucket", "segment", e.Segment.Key(), "offset", e.BaseOffset, "err", err)
			}
			return nil, fmt.Errorf("%w: %w", ErrStorage, err)
		default:
			return nil, fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
}
