package agent

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/agent/cache"
)

// Most of an agent's heap is the buffers of its cache, which stay. By Go's own rule the
// heap would grow to twice its size between two collections, so that a cache of 256 MiB
// took 512. The collector is given a limit instead: the buffers, and room for the rest.
const (
	memoryLimitEvery = time.Second
	// memoryHeadroomBytes is what may become garbage between two collections.
	memoryHeadroomBytes = 16 << 20
	// memoryLooks is of how many looks the lowest counts. What is live was counted at the last
	// collection, what buffers hold is of now, and both change by segments.
	memoryLooks = 8
	// collectionsMax is how many collections a second are worth the memory that they save. With more
	// of them the limit is too near to what is live: what was looked at was of another moment.
	collectionsMax = 1
	// memoryExtraStepBytes is by how much the limit is raised for each few too many, and at least, and
	// memoryExtraBackBytes by how much it is lowered in a second without any.
	memoryExtraStepBytes, memoryExtraBackBytes = 16 << 20, 1 << 20
	memoryExtraStepEach                        = 4
)

// limitMemory keeps the limit right until ctx ends. It is the process's, so only an
// agent that has it to itself does so.
func (a *Agent) limitMemory(ctx context.Context, p *process) error {
	tick := time.NewTicker(memoryLimitEvery)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(live)
	var last, extra int64
	cycles := live[1].Value.Uint64()
	var rests []int64
	for {
		metrics.Read(live)
		held := p.heldBytes()
		rests = append(rests, max(0, int64(live[0].Value.Uint64())-held))
		rests = rests[max(0, len(rests)-memoryLooks):]
		extra = memoryExtra(extra, int64(live[1].Value.Uint64()-cycles), a.cfg.CacheBytes)
		cycles = live[1].Value.Uint64()
		limit := memoryLimit(max(a.cfg.CacheBytes, held), slices.Min(rests)+extra/2)
		if limit != last {
			debug.SetMemoryLimit(limit)
			last = limit
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// memoryExtra is what the limit gives beyond what was counted, after a second with so many
// collections: at most half of what the cache has.
func memoryExtra(extra, collections, cacheBytes int64) int64 {
	switch {
	case collections > collectionsMax:
		steps := max(1, (collections-collectionsMax)/memoryExtraStepEach)
		return min(extra+steps*memoryExtraStepBytes, cacheBytes/2)
	case collections == 0:
		return max(0, extra-memoryExtraBackBytes)
	}
	return extra
}

// memoryLimit is what the process may take, in bytes: the buffers that it may hold, the
// rest of what is live twice, as Go has it, and the headroom.
func memoryLimit(buffersMax, rest int64) int64 {
	const step = 8 << 20 // so that it doesn't change with each byte
	return (buffersMax + 2*rest + memoryHeadroomBytes + step - 1) / step * step
}

// heldBytes is what buffers hold of the heap.
func (p *process) heldBytes() int64 { return p.blocks.Cache().Stats().Bytes + p.outsideBytes() }

// outsideBytes is what buffers hold that aren't the cache's: segments that are being
// written, frames, and what is kept for the next ones.
func (p *process) outsideBytes() int64 { return p.segmentBytes() + p.frameBytes() }

// reservedBytes is what the cache leaves to others. Frames come and go by tens of
// megabytes in a second: were the cache to follow them, it would give up buffers to the
// collector, and have new ones made and cleared a moment later.
func (p *process) reservedBytes() int64 { return p.segmentBytes() + p.frames.of(p.frameBytes()) }

func (p *process) segmentBytes() int64 {
	held := p.buffers.IdleBytes()
	if in := p.grew.Load(); in != nil {
		held += in.WritingBytes()
	}
	return held
}

func (p *process) frameBytes() int64 {
	if s := p.server.Load(); s != nil {
		stats := s.Stats()
		return stats.BytesInFlight + stats.BytesIdle
	}
	return 0
}

// peak follows a number upwards at once, and downwards slowly.
type peak struct{ atomic.Int64 }

// peakFall is which part of the distance a peak falls by each time that it is asked.
const peakFall = 512

// of returns what the peak of now and before is.
func (p *peak) of(now int64) int64 {
	for {
		old := p.Load()
		next := max(now, old-(old-now)/peakFall)
		if p.CompareAndSwap(old, next) {
			return next
		}
	}
}

// segmentBuffers lends buffers for segments that are written: those that the cache gives up for them.
type segmentBuffers struct {
	*cache.Buffers
	cache *cache.Cache
}

// Get implements ingest.Buffers.
func (b segmentBuffers) Get(size int) []byte { return b.cache.Lend(size) }
