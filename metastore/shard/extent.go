package shard

import (
	"math"
	"sort"

	wirebatch "github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// Extent is one partition's contiguous bytes in a segment: one or more whole
// batches, whose offsets are contiguous as well. Or it is a marker, one offset without bytes,
// whose control batch is made when it is read.
type Extent struct {
	BaseOffset   int64
	Records      int32 // offsets covered
	MaxTimestamp int64 // the largest of its batches', ms
	Segment      segment.ID
	Position     int64 // bytes from the begin of the segment
	Length       int64 // bytes; 0: it is a marker
	Marker       MarkerAt
	CRC          uint32 // of a block of a partition segment; see wire/segment. 0 of what the state holds
}

// IsMarker tells whether the extent is a marker. It has no segment then.
func (e Extent) IsMarker() bool { return e.Length == 0 }

// Bytes returns how many bytes a reader gets of the extent.
func (e Extent) Bytes() int64 {
	if e.IsMarker() {
		return wirebatch.ControlSize
	}
	return e.Length
}

// AppendControl appends the control batch of a marker, the same bytes for ever.
func (e Extent) AppendControl(dst []byte) []byte {
	return wirebatch.AppendControl(dst, wirebatch.Control{
		BaseOffset:       e.BaseOffset,
		Timestamp:        e.MaxTimestamp,
		ProducerID:       e.Marker.ProducerID,
		ProducerEpoch:    e.Marker.Epoch,
		CoordinatorEpoch: e.Marker.CoordinatorEpoch,
		Commit:           e.Marker.Commit,
	})
}

// End returns the offset after the last one covered.
func (e Extent) End() int64 { return e.BaseOffset + int64(e.Records) }

// segmentBytesMax bounds a segment: positions and lengths are kept in 32 bits.
const segmentBytesMax = math.MaxUint32

// extent is an Extent as it is kept: 48 bytes. It ends where the next one begins. Of a
// marker see markerExtent.
type extent struct {
	base         int64
	maxTimestamp int64
	highest      int64 // the largest maxTimestamp of this one and those before it; derived
	term, number uint64
	position     uint32
	length       uint32
}

// extents are dense and in order of their offsets; the last ends at the high watermark.
type extents []extent

// add puts the bytes of one batch, whose offsets reach to end, at the end. Bytes that follow on the last
// extent's, in the same segment, become part of it.
func (x *extents) add(e extent, end int64) {
	if n := len(*x); n > 0 {
		last := &(*x)[n-1]
		e.highest = max(last.highest, e.maxTimestamp)
		if !last.isMarker() && !e.isMarker() && last.term == e.term && last.number == e.number &&
			uint64(last.position)+uint64(last.length) == uint64(e.position) &&
			end-last.base <= math.MaxInt32 {
			last.length += e.length
			last.maxTimestamp = max(last.maxTimestamp, e.maxTimestamp)
			last.highest = e.highest
			return
		}
	} else {
		e.highest = e.maxTimestamp
	}
	*x = append(*x, e)
}

// dropBefore removes the extents that lie wholly below offset.
func (x *extents) dropBefore(offset, highWatermark int64) {
	n := len(*x)
	if offset >= highWatermark {
		*x = nil
		return
	}
	if n == 0 || offset <= (*x)[0].base {
		return
	}
	k := x.find(offset)
	if k == 0 {
		return
	}
	rest := (*x)[k:]
	if len(rest) < n/2 {
		rest = append(make(extents, 0, len(rest)), rest...) // let go of the rest's memory
	}
	rest.raise()
	*x = rest
}

// raise sets highest from the first extent on, until it is as it was.
func (x extents) raise() {
	for i := range x {
		h := x[i].maxTimestamp
		if i > 0 {
			h = max(h, x[i-1].highest)
		}
		if x[i].highest == h {
			return
		}
		x[i].highest = h
	}
}

// find returns the index of the extent that holds offset, which must not be below the first.
func (x extents) find(offset int64) int {
	return sort.Search(len(x), func(i int) bool { return x[i].base > offset }) - 1
}

// findHighest returns the first extent with timestamps as late as timestamp, or
// len(x). Since highest rises, the first that has it has its maximum at that extent.
func (x extents) findHighest(timestamp int64) int {
	return sort.Search(len(x), func(i int) bool { return x[i].highest >= timestamp })
}

// at returns the i-th extent.
func (x extents) at(i int, highWatermark int64) Extent {
	e := &x[i]
	end := highWatermark
	if i+1 < len(x) {
		end = x[i+1].base
	}
	if e.isMarker() {
		return Extent{BaseOffset: e.base, Records: 1, MaxTimestamp: e.maxTimestamp, Marker: e.marker()}
	}
	return Extent{
		BaseOffset:   e.base,
		Records:      int32(end - e.base),
		MaxTimestamp: e.maxTimestamp,
		Segment:      segment.ID{Term: e.term, Number: e.number},
		Position:     int64(e.position),
		Length:       int64(e.length),
	}
}
