package fetch

import (
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore/shard"
)

// Who has come to the end of a partition takes nothing of the next one's window; those that
// read at the same time share the cache.
func TestWays_Share(t *testing.T) {
	const mib = 1 << 20
	now := time.Unix(1, 0)
	// read goes through 128 offsets of a MiB each and returns the largest window.
	read := func(w *ways, id shard.PartitionID, ends bool) (largest int64) {
		for at := int64(0); at < 128; at++ {
			if at == 127 && ends {
				w.ended(id, at)
				break
			}
			from, window := w.next(id, at, at+1, mib, now)
			if window > 0 {
				w.loading(id, at, min(from+window/mib, 128), window)
			}
			largest = max(largest, window)
		}
		return largest
	}
	one := newWays(64*mib, 256*mib)
	for i := range int32(8) {
		if got := read(one, shard.PartitionID{Topic: 1, Index: i}, true); got != 64*mib {
			t.Errorf("reader %d, after others: a window of %d MiB", i, got/mib)
		}
	}
	if one.mu.holding != 0 || one.mu.count != 8 {
		t.Errorf("%d of %d hold something", one.mu.holding, one.mu.count)
	}
	// Eight that stop in between hold what they have until they are forgotten.
	many := newWays(64*mib, 256*mib)
	for i := range int32(8) {
		id := shard.PartitionID{Topic: 1, Index: i}
		_, window := many.next(id, 0, 1, mib, now)
		many.loading(id, 0, 1+window/mib, window)
	}
	ninth := shard.PartitionID{Topic: 2}
	if got := read(many, ninth, true); got > 256*mib/2/2/9 {
		t.Errorf("beside eight others: a window of %d MiB", got/mib)
	}
	now = now.Add(2 * wayIdle)
	if got := read(many, shard.PartitionID{Topic: 3}, true); got != 64*mib || many.mu.holding != 0 || many.mu.count != 1 {
		t.Errorf("after they were forgotten: a window of %d MiB, %d of %d hold something", got/mib, many.mu.holding, many.mu.count)
	}
}
