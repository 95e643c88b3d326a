package fetch

import (
	"encoding/binary"
	"fmt"

	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

// baseOffsetBytes is the size of the field that opens a batch and is written anew.
const baseOffsetBytes = 8

// span walks bytes that may lie in several of the cache's blocks.
type span struct {
	slices [][]byte
	at     int // in slices[0]
	left   int64
}

func newSpan(slices [][]byte) span {
	s := span{slices: slices}
	for _, b := range slices {
		s.left += int64(len(b))
	}
	return s
}

// peek returns the next n bytes, in scratch if they lie in two blocks; nil if there are fewer.
func (s *span) peek(n int, scratch []byte) []byte {
	if int64(n) > s.left {
		return nil
	}
	s.settle()
	if b := s.slices[0][s.at:]; len(b) >= n {
		return b[:n]
	}
	scratch = scratch[:0]
	at := s.at
	for _, b := range s.slices {
		scratch = append(scratch, b[at:min(len(b), at+n-len(scratch))]...)
		at = 0
		if len(scratch) == n {
			break
		}
	}
	return scratch
}

// settle moves past blocks that are used up.
func (s *span) settle() {
	for len(s.slices) > 0 && s.at == len(s.slices[0]) {
		s.slices, s.at = s.slices[1:], 0
	}
}

// each calls f, unless it is nil, with the next n bytes in as many pieces as they lie in, and
// moves past them. There must be as many.
func (s *span) each(n int, f func([]byte)) {
	s.left -= int64(n)
	for n > 0 {
		s.settle()
		b := s.slices[0][s.at:]
		b = b[:min(n, len(b))]
		if f != nil {
			f(b)
		}
		s.at += len(b)
		n -= len(b)
	}
}

// next reads the header of the batch that comes next, whole in the span.
func (s *span) next(sizeMax int, scratch []byte) (batch.Header, error) {
	b := s.peek(batch.HeaderSize, scratch)
	if b == nil {
		return batch.Header{}, fmt.Errorf("%w: %d bytes where a batch should be", ErrCorrupt, s.left)
	}
	h, err := batch.Parse(b)
	if err == nil {
		err = h.CheckEpoch()
	}
	if err != nil {
		return h, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if size := h.Size(); size < batch.HeaderSize || int64(size) > s.left || size > sizeMax || h.LastOffsetDelta < 0 {
		return h, fmt.Errorf("%w: a batch of %d bytes with %d left", ErrCorrupt, size, s.left)
	}
	return h, nil
}

// cut appends to the response the batches of an extent from the one that holds
// offset on, each whole and with its base offset, until the next would pass
// bytesMax or begins at upper. Where first is set, the first one goes along however
// large. It returns the bytes appended and whether it stopped for bytesMax.
func (r *Response) cut(slices [][]byte, e shard.Extent, offset, upper int64, bytesMax, sizeMax int, first bool) (bytes int, full bool, err error) {
	s := newSpan(slices)
	var scratch [batch.HeaderSize]byte
	base := e.BaseOffset
	for base < e.End() && base < upper && (s.left > 0 || !e.Segment.Merged) {
		h, err := s.next(sizeMax, scratch[:])
		if err != nil {
			return bytes, false, err
		}
		if e.Segment.Merged { // its batches have their offsets, with the holes that compaction made
			if base = h.BaseOffset; base >= upper {
				break
			}
		}
		size := h.Size()
		end := base + int64(h.LastOffsetDelta) + 1
		if end > e.End() {
			return bytes, false, fmt.Errorf("%w: a batch ends at offset %d, its extent at %d", ErrCorrupt, end, e.End())
		}
		if end <= offset { // before the one asked for
			s.each(size, nil)
			base = end
			continue
		}
		if bytes+size > bytesMax && !first {
			return bytes, true, nil
		}
		first = false
		r.take(&s, size, base, h.BaseOffset == base)
		bytes += size
		base = end
	}
	return bytes, false, nil
}

// take appends one batch. asIs says that its base offset is right as it is stored.
func (r *Response) take(s *span, size int, base int64, asIs bool) {
	if !asIs {
		r.pieces = append(r.pieces, r.baseOffset(base))
		s.each(baseOffsetBytes, nil)
		size -= baseOffsetBytes
	}
	s.each(size, func(b []byte) { r.pieces = append(r.pieces, b) })
}

// controlsBytes is the size of the arrays that control batches are written to.
const controlsBytes = 16 * batch.ControlSize

// control returns a marker's control batch, which lives as long as the response.
func (r *Response) control(e shard.Extent) []byte {
	if cap(r.controls)-len(r.controls) < batch.ControlSize {
		r.controls = make([]byte, 0, controlsBytes) // pieces keep the full one
	}
	n := len(r.controls)
	r.controls = e.AppendControl(r.controls)
	return r.controls[n:len(r.controls):len(r.controls)]
}

// basesBytes is the size of the arrays that base offsets are written to.
const basesBytes = 512 * baseOffsetBytes

// baseOffset returns the encoding of a base offset, which lives as long as the response.
func (r *Response) baseOffset(base int64) []byte {
	if cap(r.bases)-len(r.bases) < baseOffsetBytes {
		r.bases = make([]byte, 0, basesBytes) // pieces keep the full one
	}
	n := len(r.bases)
	r.bases = binary.BigEndian.AppendUint64(r.bases, uint64(base))
	return r.bases[n : n+baseOffsetBytes : n+baseOffsetBytes]
}
