package fetch

import (
	"slices"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

const (
	waysMax      = 4096             // readers that are remembered
	partWaysMax  = 4                // of one partition
	wayIdle      = 30 * time.Second // a reader that was not seen for so long is forgotten
	aheadFetches = 3                // what isn't merged is loaded ahead for so many fetches: the slowest load of one holds up no more than that one
	aheadOfCache = 2                // what all readers have ahead comes to half of the cache at most
)

// way is how one reader goes through what is merged of a partition: from fetch to fetch.
type way struct {
	asked, planned int64 // offsets of the last fetch: asked for, and where its plan ended
	ahead          int64 // the offset up to which was loaded ahead
	left           int64 // bytes between planned and ahead
	window         int64 // bytes
	used           time.Time
}

// ways are the readers that go through history one after the other of its offsets. Their
// windows double with each, so that one that reads all of it costs a GET each 64 MiB.
type ways struct {
	windowMax int64
	cache     int64
	mu        struct {
		sync.Mutex
		parts map[shard.PartitionID][]*way
		count int
		// holding are those that have something ahead: who has come to the end of a partition, and goes on with
		// another, leaves the cache to others.
		holding int
		swept   time.Time
	}
}

func newWays(windowMax, cacheBytes int64) *ways {
	w := &ways{windowMax: windowMax, cache: cacheBytes}
	w.mu.parts = map[shard.PartitionID][]*way{}
	return w
}

// next notes a fetch and returns from where on, and about how many bytes, are to be loaded ahead of its
// reader; 0: enough is.
func (w *ways) next(id shard.PartitionID, asked, planned, bytes int64, now time.Time) (from, window int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweepLocked(now)
	x := w.findLocked(id, asked)
	if x == nil {
		if w.mu.count == waysMax {
			return planned, min(2*bytes, w.windowMax)
		}
		x = &way{window: bytes, ahead: planned}
		w.mu.parts[id] = append(w.mu.parts[id], x)
		w.mu.count++
		if parts := w.mu.parts[id]; len(parts) > partWaysMax {
			w.setLeftLocked(parts[0], 0)
			w.mu.parts[id] = parts[1:]
			w.mu.count--
		}
	}
	x.asked, x.planned, x.used = asked, planned, now
	left := max(0, x.left-bytes)
	if x.ahead <= planned {
		x.ahead, left = planned, 0
	}
	w.setLeftLocked(x, left)
	readers := w.mu.holding
	if left == 0 {
		readers++ // this one
	}
	// Up to one and a half windows of each who reads now are ahead.
	share := w.cache / aheadOfCache / int64(2*readers)
	x.window = max(min(2*x.window, w.windowMax, share), min(2*bytes, w.windowMax))
	if x.left > max(x.window/2, bytes) { // the next fetch has what it will want
		return 0, 0
	}
	return x.ahead, x.window
}

// loading notes that bytes up to an offset are loaded ahead of who asked for asked.
func (w *ways) loading(id shard.PartitionID, asked, ahead, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.mu.parts[id] {
		if x.asked == asked && ahead > x.ahead {
			x.ahead = ahead
			w.setLeftLocked(x, x.left+bytes)
		}
	}
}

// ended notes that a reader has come to the end of what is merged.
func (w *ways) ended(id shard.PartitionID, asked int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.findLocked(id, asked); x != nil {
		w.setLeftLocked(x, 0)
	}
}

// setLeftLocked notes how much a reader has ahead.
func (w *ways) setLeftLocked(x *way, left int64) {
	if x.left > 0 {
		w.mu.holding--
	}
	if x.left = left; left > 0 {
		w.mu.holding++
	}
}

// findLocked returns the reader that asks for what comes next.
func (w *ways) findLocked(id shard.PartitionID, asked int64) *way {
	for _, x := range w.mu.parts[id] {
		if x.asked <= asked && asked <= x.planned {
			return x
		}
	}
	return nil
}

// sweepLocked forgets who has gone.
func (w *ways) sweepLocked(now time.Time) {
	if now.Sub(w.mu.swept) < wayIdle/2 {
		return
	}
	w.mu.swept = now
	for id, parts := range w.mu.parts {
		kept := slices.DeleteFunc(parts, func(x *way) bool {
			gone := now.Sub(x.used) >= wayIdle
			if gone {
				w.setLeftLocked(x, 0)
			}
			return gone
		})
		w.mu.count -= len(parts) - len(kept)
		if w.mu.parts[id] = kept; len(kept) == 0 {
			delete(w.mu.parts, id)
		}
	}
}

// readAhead asks for what the next fetches will want of partitions that have more than
// this answer holds, so that a load's time passes while the reader works.
func (rd *reading) readAhead(r *Response) {
	for i := range rd.parts {
		p := &rd.parts[i]
		if p.planned == 0 || r.Partitions[i].Bytes == 0 {
			continue
		}
		from := rd.extents[p.first+p.planned-1].End()
		if from >= p.upper {
			rd.f.ways.ended(p.place.ID, rd.asks[i].Offset)
			continue
		}
		var extents []shard.Extent
		bytes := int64(min(aheadFetches*int(p.bytes), rd.f.cfg.ReadAheadBytesMax))
		isMerged := false
		metastore.View(rd.f.deps.Replica(p.place.Shard), func(s *shard.State) {
			merged, _ := s.Merged(p.place.ID)
			if isMerged = from < merged.To; isMerged {
				extents, bytes = rd.aheadMerged(p, merged, rd.asks[i].Offset, from)
				return
			}
			rd.f.ways.ended(p.place.ID, rd.asks[i].Offset)
			extents = s.Plan(p.place.ID, from, int(bytes), nil)
		})
		if len(extents) == 0 {
			continue
		}
		all := rd.prefetch(extents, bytes)
		if isMerged && all {
			rd.f.ways.loading(p.place.ID, rd.asks[i].Offset, extents[len(extents)-1].End(), bytes)
		}
		rd.f.counts.readAhead.Add(uint64(len(extents)))
	}
}

// aheadMerged plans what is to be loaded ahead of what is merged, and how many bytes it is.
func (rd *reading) aheadMerged(p *part, merged shard.Merged, asked, from int64) ([]shard.Extent, int64) {
	from, window := rd.f.ways.next(p.place.ID, asked, from, p.bytes, rd.f.deps.Clock())
	if window == 0 {
		return nil, 0
	}
	c := rd.f.history.find(p.place.ID, from, merged.Version)
	if c == nil {
		return nil, 0
	}
	extents, _, _ := c.plan(from, window+window/4, nil)
	extents = cutWindow(extents, window)
	bytes := int64(0)
	for _, e := range extents {
		bytes += e.Length
	}
	return extents, bytes
}

// cutWindow returns about window bytes of extents, as far as they cost whole GETs: all segments that end
// among them, or a window of the first one, which ends after it.
func cutWindow(extents []shard.Extent, window int64) []shard.Extent {
	bytes, within, whole := int64(0), 0, 0
	for n := range extents {
		if n > 0 && extents[n].Segment != extents[n-1].Segment {
			whole = n
			if bytes >= window {
				break
			}
		}
		if bytes < window {
			within = n + 1
		}
		bytes += extents[n].Length
	}
	if whole > 0 {
		return extents[:whole]
	}
	if bytes < window { // all that is known: its segment may end here
		return extents
	}
	return extents[:within]
}

// prefetch loads extents ahead, those that lie side by side by one request. It tells whether
// all of it is here or coming.
func (rd *reading) prefetch(extents []shard.Extent, bytesMax int64) (all bool) {
	all = true
	for i := 0; i < len(extents) && all; {
		e := extents[i]
		end := e.Position + e.Length
		for i++; i < len(extents) && extents[i].Segment == e.Segment && extents[i].Position == end && !extents[i].IsMarker(); i++ {
			end += extents[i].Length
		}
		if !e.IsMarker() {
			all = rd.f.deps.Blocks.prefetch(e.Segment, e.Position, min(end-e.Position, bytesMax))
		}
	}
	return all
}
