package fetch

import (
	"sync"

	"github.com/wadi-io/wadi/metastore/shard"
)

// Hub wakes the fetches that wait for partitions to grow.
type Hub struct {
	mu struct {
		sync.Mutex
		watched map[shard.PartitionID][]*watchEntry
	}
}

// Watch waits for some partitions. At most one wake-up is kept until it is received.
type Watch struct {
	hub     *Hub
	wake    chan struct{}
	entries []watchEntry
}

// watchEntry is a Watch's place in the list of a partition's watches.
type watchEntry struct {
	watch     *Watch
	partition shard.PartitionID
	index     int // in the list; the hub's lock guards it
}

// NewHub returns a Hub without watches.
func NewHub() *Hub {
	h := &Hub{}
	h.mu.watched = map[shard.PartitionID][]*watchEntry{}
	return h
}

// Grew wakes who watches the partition. It is the shards' OnGrow: it runs under
// the replica's lock, and never blocks for longer than the hub's own short lock.
func (h *Hub) Grew(p shard.PartitionID, highWatermark int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.mu.watched[p] {
		select {
		case e.watch.wake <- struct{}{}:
		default: // a wake-up is waiting already
		}
	}
}

// Watch begins to watch. Look at the partitions' state after it, not before, or a
// growth in between is missed. The caller closes the Watch.
func (h *Hub) Watch(partitions []shard.PartitionID) *Watch {
	w := &Watch{hub: h, wake: make(chan struct{}, 1), entries: make([]watchEntry, len(partitions))}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, p := range partitions {
		list := h.mu.watched[p]
		e := &w.entries[i]
		*e = watchEntry{watch: w, partition: p, index: len(list)}
		h.mu.watched[p] = append(list, e)
	}
	return w
}

// Wake receives once some of the partitions have grown.
func (w *Watch) Wake() <-chan struct{} { return w.wake }

// Close ends the watch.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	for i := range w.entries {
		e := &w.entries[i]
		list := w.hub.mu.watched[e.partition]
		last := len(list) - 1
		list[e.index] = list[last]
		list[e.index].index = e.index
		list[last] = nil
		if last == 0 {
			delete(w.hub.mu.watched, e.partition)
		} else {
			w.hub.mu.watched[e.partition] = list[:last]
		}
	}
	w.entries = nil
}

// Watched returns how many partitions are watched, for metrics.
func (h *Hub) Watched() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.mu.watched)
}
