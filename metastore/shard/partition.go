package shard

import (
	"cmp"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// partition is what the shard knows of one open partition.
type partition struct {
	id            PartitionID
	logStart      int64
	highWatermark int64
	extents       extents
	producers     []producerSlot    // by id
	open          []openTransaction // by first offset; derived
	aborted       []aborted         // by last offset
	merged        Merged
	holes         []hole
	archived      int64 // the archive holds what is below; see archived.go
}

// producerSlot keeps the id beside the pointer, so that a search touches one array.
type producerSlot struct {
	id    int64
	state *producer
}

func (p *partition) searchProducer(id int64) (int, bool) {
	// Ids rise, so the newest producer is the last as a rule.
	if n := len(p.producers); n == 0 || p.producers[n-1].id < id {
		return n, false
	}
	return slices.BinarySearchFunc(p.producers, id, func(s producerSlot, id int64) int {
		return cmp.Compare(s.id, id)
	})
}

// producer returns what is known of a producer, or nil.
func (p *partition) producer(id int64) *producer {
	if i, ok := p.searchProducer(id); ok {
		return p.producers[i].state
	}
	return nil
}

// ensureProducer returns what is known of a producer, making it known.
func (p *partition) ensureProducer(id int64) *producer {
	i, ok := p.searchProducer(id)
	if !ok {
		p.producers = slices.Insert(p.producers, i, producerSlot{id, &producer{last: noSequence, touched: math.MinInt64}})
	}
	return p.producers[i].state
}

// Bounds returns the partition's log start, high watermark and last stable offset.
// ok is false for a partition that is not open.
func (s *State) Bounds(id PartitionID) (logStart, highWatermark, lastStable int64, ok bool) {
	p := s.partition(id)
	if p == nil {
		return 0, 0, 0, false
	}
	return p.logStart, p.highWatermark, p.lastStable(), true
}

// Plan appends to dst the extent that holds offset and those after it, until
// bytesMax bytes are reached; at least one. It appends none for an offset outside
// the partition's bounds, nor for one that was merged: rows hold its place.
func (s *State) Plan(id PartitionID, offset int64, bytesMax int, dst []Extent) []Extent {
	p := s.partition(id)
	if p == nil || offset < p.logStart || offset < p.merged.To || offset >= p.highWatermark {
		return dst
	}
	bytes := int64(0)
	for i := max(0, p.extents.find(offset)); i < len(p.extents); i++ {
		e := p.extent(i)
		if e.End() <= offset {
			continue // offset is in the hole after it
		}
		dst = append(dst, e)
		if bytes += e.Bytes(); bytes >= int64(bytesMax) {
			break
		}
	}
	return dst
}

// FirstSince returns the first extent whose MaxTimestamp is at least timestamp. The
// record that has it may lie below the log start, in the first extent: go on with
// FirstSinceFrom then.
func (s *State) FirstSince(id PartitionID, timestamp int64) (Extent, bool) {
	p := s.partition(id)
	if p == nil {
		return Extent{}, false
	}
	i := p.extents.findHighest(timestamp)
	if i == len(p.extents) {
		return Extent{}, false
	}
	return p.extent(i), true
}

// FirstSinceFrom returns the first extent that ends after offset and whose
// MaxTimestamp is at least timestamp. It walks the extents from there on.
func (s *State) FirstSinceFrom(id PartitionID, offset, timestamp int64) (Extent, bool) {
	p := s.partition(id)
	if p == nil || offset >= p.highWatermark {
		return Extent{}, false
	}
	for i := max(0, p.extents.find(offset), p.extents.findHighest(timestamp)); i < len(p.extents); i++ {
		if p.extents[i].maxTimestamp >= timestamp && p.extent(i).End() > offset {
			return p.extent(i), true
		}
	}
	return Extent{}, false
}

// MaxTimestamp returns the extent with the largest MaxTimestamp, the earliest such.
func (s *State) MaxTimestamp(id PartitionID) (Extent, bool) {
	p := s.partition(id)
	if p == nil || len(p.extents) == 0 {
		return Extent{}, false
	}
	i := p.extents.findHighest(p.extents[len(p.extents)-1].highest)
	return p.extent(i), true
}

// AppendLogStart appends the effect that moves a partition's log start to offset,
// at most to the high watermark and never back (GUARDS 17).
// math.MaxInt64 means the high watermark, whatever it will be.
func AppendLogStart(dst []byte, p PartitionID, offset int64) []byte {
	body := appendPartition(make([]byte, 0, 24), p)
	return metastore.AppendEffect(dst, metastore.EffectLogStart, appendUint(body, offset))
}

type logStart struct {
	partition PartitionID
	offset    int64
}

func decodeLogStart(d *metastore.Decoder) logStart {
	return logStart{decodePartition(d), decodeUint(d, math.MaxInt64, "offset")}
}

func (s *State) applyLogStart(d *metastore.Decoder) int64 {
	l := decodeLogStart(d)
	p := s.partition(l.partition)
	if p == nil || d.Err != nil {
		return -1
	}
	p.logStart = max(p.logStart, min(l.offset, p.highWatermark))
	p.dropBefore(p.logStart)
	p.dropAbortedBefore(p.logStart)
	return p.logStart
}
