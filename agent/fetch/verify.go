package fetch

import (
	"fmt"
	"hash/crc32"

	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcFrom is where the bytes of a batch begin that its CRC covers.
const crcFrom = 21

// check reads an extent's batches: each whole, with the right CRC-32C, and all of
// them as many bytes and offsets as the extent says.
func check(slices [][]byte, e shard.Extent, sizeMax int) error {
	s := newSpan(slices)
	if s.left != e.Length {
		return fmt.Errorf("%w: %d bytes of an extent of %d", ErrCorrupt, s.left, e.Length)
	}
	if e.Segment.Merged {
		return checkMerged(s, e, sizeMax)
	}
	var scratch [batch.HeaderSize]byte
	offsets := int64(0)
	for s.left > 0 {
		h, err := s.next(sizeMax, scratch[:])
		if err != nil {
			return err
		}
		s.each(crcFrom, nil)
		crc := uint32(0)
		s.each(h.Size()-crcFrom, func(b []byte) { crc = crc32.Update(crc, castagnoli, b) })
		if crc != h.CRC {
			return fmt.Errorf("%w: CRC-32C %08x at offset %d, the header says %08x", ErrCorrupt, crc, e.BaseOffset+offsets, h.CRC)
		}
		offsets += int64(h.LastOffsetDelta) + 1
	}
	if offsets != int64(e.Records) {
		return fmt.Errorf("%w: batches of %d offsets in an extent of %d", ErrCorrupt, offsets, e.Records)
	}
	return nil
}

// checkMerged reads a block of a partition segment: its checksum covers the offsets too,
// which rise within the block's.
func checkMerged(s span, e shard.Extent, sizeMax int) error {
	crc := uint32(0)
	for _, b := range s.slices {
		crc = crc32.Update(crc, castagnoli, b)
	}
	if crc != e.CRC {
		return fmt.Errorf("%w: CRC-32C %08x of the block from offset %d on, the index says %08x", ErrCorrupt, crc, e.BaseOffset, e.CRC)
	}
	var scratch [batch.HeaderSize]byte
	for next := e.BaseOffset; s.left > 0; {
		h, err := s.next(sizeMax, scratch[:])
		if err != nil {
			return err
		}
		if h.BaseOffset < next || h.LastOffset() >= e.End() {
			return fmt.Errorf("%w: offsets %d to %d in the block from %d to %d", ErrCorrupt, h.BaseOffset, h.LastOffset(), e.BaseOffset, e.End())
		}
		s.each(h.Size(), nil)
		next = h.LastOffset() + 1
	}
	return nil
}
