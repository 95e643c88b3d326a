package shard

import (
	"fmt"
	"math"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// Swap says that compaction has changed a partition's rows of the table extents, in
// the append that holds it. A merge has placed rows for the offsets up to To, so the
// extents below it leave the state. A rewrite has exchanged or removed rows below.
type Swap struct {
	Partition PartitionID
	Rewrite   bool
	Expected  int64 // of a merge: up to which offset the partition was merged, as its writer saw it
	To        int64 // of a merge: above Expected, at most the last stable offset
	Bytes     int64 // what the rows have more than before, or less
}

// The forms of a swap. Persisted; never renumber.
const (
	swapMerge   = 0
	swapRewrite = 1
)

// AppendSwap appends the effect of w: the partition, its form, of a merge the offset
// expected and how far beyond it is merged now, the change of bytes.
func AppendSwap(dst []byte, w Swap) []byte {
	body := appendPartition(make([]byte, 0, 48), w.Partition)
	if w.Rewrite {
		body = append(body, swapRewrite)
	} else {
		if w.To <= w.Expected {
			panic(fmt.Sprintf("coding of a merge from %d to %d", w.Expected, w.To))
		}
		body = append(body, swapMerge)
		body = appendUint(body, w.Expected)
		body = appendUint(body, w.To-w.Expected)
	}
	return metastore.AppendEffect(dst, metastore.EffectSwap, appendSigned(body, w.Bytes))
}

func decodeSwap(d *metastore.Decoder) Swap {
	w := Swap{Partition: decodePartition(d)}
	form := d.Fixed(1)
	if d.Err != nil {
		return w
	}
	switch form[0] {
	case swapMerge:
		w.Expected = decodeUint(d, math.MaxInt64, "offset")
		w.To = w.Expected + decodeUint(d, uint64(math.MaxInt64-w.Expected), "offset")
		if d.Err == nil && w.To == w.Expected {
			d.Fail("a merge of nothing")
		}
	case swapRewrite:
		w.Rewrite = true
	default:
		d.Fail("form of a swap")
	}
	w.Bytes = d.Varint()
	return w
}

// applySwap takes what was merged out of the state. A merge stands iff the partition
// is open, merged up to the offset expected, and stable up to the new one; a rewrite
// iff it is open. Frozen: replicas fold old entries by it.
func (s *State) applySwap(at metastore.At, d *metastore.Decoder) bool {
	w := decodeSwap(d)
	p := s.partition(w.Partition)
	if d.Err != nil || p == nil {
		return false
	}
	if !w.Rewrite {
		if p.merged.To != w.Expected || w.To > p.lastStable() {
			return false
		}
		p.merged.To = w.To
		p.dropBefore(w.To)
		p.dropAbortedBefore(w.To)
	}
	// No row that is counted here is removed without its bytes; a bug must not stop the journal.
	bytes := p.merged.Bytes + w.Bytes
	if w.Bytes > 0 && bytes < 0 {
		bytes = math.MaxInt64
	}
	p.merged.Bytes = max(0, bytes)
	p.merged.Version = at.Version
	return true
}

// Merged is what a partition's state knows of its merged history, which lies in the
// table extents.
type Merged struct {
	To      int64             // the offsets below have left the state; rows hold those from the log start on
	Bytes   int64             // of the rows, those below the log start included until they are removed
	Version metastore.Version // of the last swap: rows that were read for a lower one may be replaced
}

// appendMerged codes what is merged; see snapshotMerged.
func (p *partition) appendMerged(dst []byte) []byte {
	dst = appendUint(dst, p.merged.To)
	dst = appendUint(dst, p.merged.Bytes)
	return appendUint(dst, int64(p.merged.Version))
}

func (p *partition) restoreMerged(d *metastore.Decoder) {
	p.merged.To = decodeUint(d, uint64(p.highWatermark), "merged offset")
	p.merged.Bytes = decodeUint(d, math.MaxInt64, "merged bytes")
	p.merged.Version = metastore.Version(decodeUint(d, math.MaxInt64, "merged version"))
}

// Merged returns what is known of the partition's merged history. ok is false for one
// that is not open.
func (s *State) Merged(id PartitionID) (m Merged, ok bool) {
	p := s.partition(id)
	if p == nil {
		return m, false
	}
	return p.merged, true
}

// Hot is what of a partition is not merged yet.
type Hot struct {
	ID         PartitionID
	Merged     Merged
	LogStart   int64
	LastStable int64
	First      int64 // the first offset that is not merged, nor below the log start
	Extents    int   // those of it, and their bytes
	Bytes      int64
	Oldest     int64 // ms: the largest timestamp of the first extent
}

// Hot appends to dst the partitions that have extents, in order. It walks the extents.
func (s *State) Hot(dst []Hot) []Hot {
	for _, t := range s.sorted() {
		for _, p := range t.partitions {
			if len(p.extents) == 0 {
				continue
			}
			h := Hot{
				ID: p.id, Merged: p.merged, LogStart: p.logStart, LastStable: p.lastStable(),
				First: max(p.merged.To, p.logStart, p.extents[0].base), Extents: len(p.extents), Oldest: p.extents[0].maxTimestamp,
			}
			for i := range p.extents {
				h.Bytes += int64(p.extents[i].length)
			}
			dst = append(dst, h)
		}
	}
	return dst
}

// EachSegment calls f with the ingest segment of every extent; one may come many times.
func (s *State) EachSegment(f func(segment.ID)) {
	for _, t := range s.topics {
		for _, p := range t.partitions {
			for i := range p.extents {
				if e := &p.extents[i]; !e.isMarker() {
					f(segment.ID{Term: e.term, Number: e.number})
				}
			}
		}
	}
}
