package shard

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// hole is a range of offsets between two extents, or after the last one, that no
// record will ever have: a recovery jumped over it. Holes are in the order of
// their offsets, none touches another, and none lies before the first extent.
type hole struct{ from, to int64 }

// jumpMax bounds one jump, in offsets.
const jumpMax = math.MaxInt32

// AppendJump appends the effect that moves a partition's high watermark up to
// offset, unless it is there already. Nothing will stand at the offsets passed over: they
// may have been given to records that the metastore lost. A jump over more than
// 2³¹−1 offsets is a bug.
func AppendJump(dst []byte, p PartitionID, offset int64) []byte {
	body := appendPartition(make([]byte, 0, 24), p)
	return metastore.AppendEffect(dst, metastore.EffectJump, appendUint(body, offset))
}

func decodeJump(d *metastore.Decoder) logStart {
	return logStart{decodePartition(d), decodeUint(d, math.MaxInt64, "offset")}
}

// applyJump returns the high watermark, -1 for a partition that is not open. Frozen:
// replicas fold old entries by it.
func (s *State) applyJump(d *metastore.Decoder) (int64, error) {
	j := decodeJump(d)
	p := s.partition(j.partition)
	if p == nil || d.Err != nil {
		return -1, nil
	}
	if j.offset <= p.highWatermark {
		return p.highWatermark, nil
	}
	if j.offset-p.highWatermark > jumpMax {
		return 0, fmt.Errorf("a jump of %v from offset %d to %d: a bug", j.partition, p.highWatermark, j.offset)
	}
	if n := len(p.holes); n > 0 && p.holes[n-1].to == p.highWatermark {
		p.holes[n-1].to = j.offset
	} else if len(p.extents) > 0 {
		p.holes = append(p.holes, hole{p.highWatermark, j.offset})
	}
	p.highWatermark = j.offset
	s.grew(p)
	return j.offset, nil
}

// before returns where the records end that lie before end, which is where an extent
// begins, or the high watermark.
func (p *partition) before(end int64) int64 {
	for i := len(p.holes) - 1; i >= 0 && p.holes[i].to >= end; i-- {
		if p.holes[i].to == end {
			return p.holes[i].from
		}
	}
	return end
}

// extent returns the i-th extent.
func (p *partition) extent(i int) Extent {
	e := p.extents.at(i, p.highWatermark)
	if len(p.holes) > 0 && !e.IsMarker() {
		end := p.highWatermark
		if i+1 < len(p.extents) {
			end = p.extents[i+1].base
		}
		e.Records = int32(p.before(end) - e.BaseOffset)
	}
	return e
}

// addExtent puts the bytes of one batch, or a marker, at the end, which is a new
// extent's begin after a hole.
func (p *partition) addExtent(e extent, end int64) {
	if p.before(e.base) != e.base {
		e.highest = max(p.extents[len(p.extents)-1].highest, e.maxTimestamp)
		p.extents = append(p.extents, e)
		return
	}
	p.extents.add(e, end)
}

// dropBefore removes the extents that lie wholly below offset, and the holes between them.
func (p *partition) dropBefore(offset int64) {
	p.extents.dropBefore(offset, p.highWatermark)
	if len(p.holes) == 0 {
		return
	}
	if len(p.extents) > 0 && p.extent(0).End() <= offset {
		next := p.highWatermark // within the hole after it
		if len(p.extents) > 1 {
			next = p.extents[1].base
		}
		p.extents.dropBefore(next, p.highWatermark)
	}
	p.holes = slices.DeleteFunc(p.holes, func(h hole) bool { return len(p.extents) == 0 || h.to <= p.extents[0].base })
	if len(p.holes) == 0 {
		p.holes = nil
	}
}

// holeBytesMin is the shortest coding of a hole.
const holeBytesMin = 2

// appendHoles codes the holes, the last first: its distance from the high watermark or
// from the one after it, and its length.
func (p *partition) appendHoles(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p.holes)))
	end := p.highWatermark
	for _, h := range slices.Backward(p.holes) {
		dst = appendUint(dst, end-h.to)
		dst = appendUint(dst, h.to-h.from)
		end = h.from
	}
	return dst
}

func (p *partition) restoreHoles(d *metastore.Decoder) {
	n := d.Count(holeBytesMin)
	if n > 0 {
		p.holes = make([]hole, n)
	}
	end := p.highWatermark
	for i := n - 1; i >= 0; i-- {
		distance := decodeUint(d, uint64(end), "offset")
		to := end - distance
		length := decodeUint(d, uint64(to), "offset")
		if d.Err == nil && (length == 0 || i < n-1 && distance == 0 || to-length <= p.logStart) {
			d.Fail("hole out of range")
		}
		if d.Err != nil {
			p.holes = nil
			return
		}
		p.holes[i] = hole{to - length, to}
		end = to - length
	}
}
