package fetch

import (
	"testing"

	"github.com/wadi-io/wadi/metastore/shard"
)

func woken(w *Watch) bool {
	select {
	case <-w.Wake():
		return true
	default:
		return false
	}
}

func TestHub_WakesWatchesOfThePartition(t *testing.T) {
	h := NewHub()
	p := func(i int32) shard.PartitionID { return shard.PartitionID{Topic: 1, Index: i} }
	a := h.Watch([]shard.PartitionID{p(1), p(2)})
	b := h.Watch([]shard.PartitionID{p(2), p(3), p(2)}) // named twice
	c := h.Watch([]shard.PartitionID{p(2)})
	h.Grew(p(1), 1)
	h.Grew(p(1), 2) // one wake-up is kept
	if !woken(a) || woken(a) || woken(b) || woken(c) {
		t.Error("growth of the first partition woke others than its watch, or twice")
	}
	h.Grew(p(4), 1)
	if woken(a) || woken(b) || woken(c) {
		t.Error("growth of a partition that nobody watches woke somebody")
	}
	b.Close()
	h.Grew(p(2), 1)
	if !woken(a) || woken(b) || !woken(c) {
		t.Error("after one watch was closed, the others are to be woken")
	}
	a.Close()
	h.Grew(p(2), 2)
	if woken(a) || !woken(c) {
		t.Error("the last watch is to be woken")
	}
	c.Close()
	if n := h.Watched(); n != 0 {
		t.Errorf("%d partitions are watched by nobody", n)
	}
}
