package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/wadi-io/wadi/wire/batch"
)

// MergedInfo is what a partition segment says about itself.
type MergedInfo struct {
	Cluster string // the cluster's id, at most ClusterBytesMax
	ID      ID     // Merged is set
	Written int64  // the writer's clock, ms since 1970 UTC; informative
	Shard   int    // of all its partitions
}

// MergedExtent is one partition's contiguous bytes in a partition segment.
type MergedExtent struct {
	Topic        [16]byte // id
	Number       uint64   // of the topic
	Partition    int32
	Base, End    int64 // the offsets it covers, End excluded
	Position     int64 // of its first byte in the segment
	Length       int64 // bytes; 0 where compaction left nothing
	Records      int64 // kept ones, control records excluded
	MaxTimestamp int64 // ms; of its batches, math.MinInt64 without any
	Index        Index
	Coded        []byte // Index as AppendIndex codes it
}

// MergedBuilder writes one partition segment into one buffer. The zero value is ready,
// and may be reused. It is not safe for concurrent use.
type MergedBuilder struct {
	info    MergedInfo
	dst     []byte
	taken   int64 // bytes that Take has returned
	extents []MergedExtent
	open    bool
	next    int64 // the lowest offset that the open extent's next batch may have
	rollMs  int64 // of the open extent; 0: by size only
	first   int64 // max timestamp of the first batch with one in its last block; negative: none
}

// Begin starts a segment in dst[:0].
func (b *MergedBuilder) Begin(dst []byte, info MergedInfo) {
	if len(info.Cluster) > ClusterBytesMax || !info.ID.Merged || info.Shard < 0 || info.Shard > shardMax {
		panic(fmt.Sprintf("segment: a partition segment of %+v", info))
	}
	b.info, b.open, b.taken = info, false, 0
	b.extents = nil // the caller has the last ones
	b.dst = appendHeader(dst[:0], info.ID)
}

// Open begins an extent from offset base on. An extent before it must have been closed.
func (b *MergedBuilder) Open(topic [16]byte, number uint64, partition int32, base int64) {
	if b.open || partition < 0 || base < 0 {
		panic("segment: an extent opened wrongly")
	}
	b.open, b.next, b.rollMs = true, base, 0
	b.extents = append(b.extents, MergedExtent{
		Topic: topic, Number: number, Partition: partition, Base: base, Position: b.taken + int64(len(b.dst)), MaxTimestamp: math.MinInt64,
	})
}

// rolledBlocksMax bounds the blocks of an extent that Roll may have made: its index must stay small.
const rolledBlocksMax = 256

// Roll has the open extent's blocks end, whatever their size, before a batch that is ms or more younger than their
// first one: so that what is kept by time can go by it, of small partitions too. 0 or less: by size only.
func (b *MergedBuilder) Roll(ms int64) { b.rollMs = max(0, ms) }

// Compacted says of the open extent that key compaction has gone over it.
func (b *MergedBuilder) Compacted() { b.extents[len(b.extents)-1].Index.Compacted = true }

// Add copies one whole checked batch to the end and gives it its base offset.
func (b *MergedBuilder) Add(base int64, data []byte) {
	h, err := batch.Parse(data)
	if !b.open || err != nil || h.Size() != len(data) || base < b.next || h.LastOffsetDelta < 0 {
		panic(fmt.Sprintf("segment: %d bytes at offset %d are not the extent's next batch", len(data), base))
	}
	e := &b.extents[len(b.extents)-1]
	from := len(b.dst)
	at := b.taken + int64(from)
	b.dst = append(b.dst, data...)
	batch.SetBaseOffset(b.dst[from:], base)
	n := len(e.Index.Blocks)
	rolls := n > 0 && n < rolledBlocksMax && b.rollMs > 0 && b.first >= 0 && h.MaxTimestamp >= 0 && h.MaxTimestamp-b.first >= b.rollMs
	if n == 0 || rolls || e.Index.Blocks[n-1].Length >= BlockBytes {
		b.first = -1
		block := Block{Base: base, Position: at - e.Position, MaxTimestamp: h.MaxTimestamp}
		e.Index.Blocks = append(e.Index.Blocks, block)
		n++
	}
	if b.first < 0 { // the first that has a time
		b.first = h.MaxTimestamp
	}
	block := &e.Index.Blocks[n-1]
	block.Length += int64(len(data))
	block.MaxTimestamp = max(block.MaxTimestamp, h.MaxTimestamp)
	block.CRC = crc32.Update(block.CRC, castagnoli, b.dst[from:])
	e.MaxTimestamp = max(e.MaxTimestamp, h.MaxTimestamp)
	e.Length += int64(len(data))
	if !h.Control() {
		e.Records += int64(h.Records)
	}
	b.next = base + int64(h.LastOffsetDelta) + 1
}

// Close ends the extent at offset end, with the aborted transactions that have records
// in it. It returns the size of its index in bytes.
func (b *MergedBuilder) Close(end int64, aborted []Aborted) int {
	e := &b.extents[len(b.extents)-1]
	if !b.open || end < b.next || end <= e.Base {
		panic(fmt.Sprintf("segment: an extent from %d closed at %d after %d", e.Base, end, b.next))
	}
	b.open = false
	e.End = end
	e.Index.Aborted = slices.Clone(aborted)
	e.Coded = AppendIndex(nil, e.Base, &e.Index)
	return len(e.Coded)
}

// Size returns the bytes that are there to take, the footer excluded.
func (b *MergedBuilder) Size() int { return len(b.dst) }

// Take returns what is there of the segment since the last Take, for who writes it in parts.
// It is valid until the next call of b.
func (b *MergedBuilder) Take() []byte {
	taken := b.dst
	b.taken += int64(len(taken))
	b.dst = b.dst[:0]
	return taken
}

// Finish completes the segment and returns it, but for what was taken, with its extents.
func (b *MergedBuilder) Finish() ([]byte, []MergedExtent) {
	if b.open {
		panic("segment: an extent is open")
	}
	footer := len(b.dst)
	b.dst = binary.AppendUvarint(b.dst, uint64(len(b.info.Cluster)))
	b.dst = append(b.dst, b.info.Cluster...)
	b.dst = binary.AppendUvarint(b.dst, b.info.ID.Term)
	b.dst = binary.AppendUvarint(b.dst, b.info.ID.Number)
	b.dst = binary.AppendVarint(b.dst, b.info.Written)
	b.dst = binary.AppendUvarint(b.dst, uint64(b.info.Shard))
	b.dst = binary.AppendUvarint(b.dst, uint64(len(b.extents)))
	for i := range b.extents {
		e := &b.extents[i]
		b.dst = append(b.dst, e.Topic[:]...)
		b.dst = binary.AppendUvarint(b.dst, e.Number)
		b.dst = binary.AppendUvarint(b.dst, uint64(e.Partition))
		b.dst = binary.AppendUvarint(b.dst, uint64(e.Base))
		b.dst = binary.AppendUvarint(b.dst, uint64(e.End-e.Base))
		b.dst = binary.AppendUvarint(b.dst, uint64(e.Length))
		b.dst = binary.AppendUvarint(b.dst, uint64(e.Records))
		b.dst = binary.AppendUvarint(b.dst, uint64(len(e.Coded)))
		b.dst = append(b.dst, e.Coded...)
	}
	b.dst = appendTrailer(b.dst, footer, kindMerged)
	if size := b.taken + int64(len(b.dst)); size > SizeMax {
		panic(fmt.Sprintf("segment: %d bytes", size))
	}
	out, extents := b.dst, b.extents
	b.dst, b.extents, b.info = nil, nil, MergedInfo{} // the caller's now
	return out, extents
}

// MergedSegment is a whole partition segment in memory.
type MergedSegment struct {
	MergedInfo
	Size, FooterAt int64
	Extents        []MergedExtent // in the order of their positions
	body           []byte
}

// mergedExtentBytesMin is the shortest coding of an extent in a footer.
const mergedExtentBytesMin = 16 + 7 + 3

// ParseMerged decodes a whole partition segment, whose bytes it keeps. It checks the
// header and the footer; Verify checks the blocks.
func ParseMerged(b []byte) (*MergedSegment, error) {
	id, err := parseHeader(b, kindMerged)
	if err != nil {
		return nil, err
	}
	footer, err := readTail(b, int64(len(b)), kindMerged)
	if err != nil {
		return nil, err
	}
	s := &MergedSegment{Size: int64(len(b)), FooterAt: int64(len(b) - trailerSize - len(footer)), body: b}
	d := decoder{rest: footer}
	d.merged(s)
	switch {
	case d.fault != "":
		return nil, fmt.Errorf("%w: the footer's %s", ErrCorrupt, d.fault)
	case id != s.ID:
		return nil, fmt.Errorf("%w: the header is of %v, the footer of %v", ErrCorrupt, id, s.ID)
	}
	return s, nil
}

func (d *decoder) merged(s *MergedSegment) {
	s.Cluster = string(d.fixed(int(d.upTo(ClusterBytesMax, "cluster id")), "cluster id"))
	s.ID = ID{Term: d.uvarint("term"), Number: d.uvarint("number"), Merged: true}
	s.Written = d.varint("time")
	s.Shard = int(d.upTo(shardMax, "shard"))
	at := int64(headerSize)
	if n := d.count(mergedExtentBytesMin, "count of extents"); n > 0 {
		s.Extents = make([]MergedExtent, n)
	}
	for i := range s.Extents {
		e := &s.Extents[i]
		copy(e.Topic[:], d.fixed(len(e.Topic), "topic id"))
		e.Number = d.uvarint("topic")
		e.Partition = int32(d.upTo(math.MaxInt32, "partition"))
		e.Base = int64(d.upTo(math.MaxInt64, "offset"))
		e.End = e.Base + int64(d.upTo(uint64(math.MaxInt64-e.Base), "offsets"))
		e.Position = at
		e.Length = int64(d.upTo(uint64(s.FooterAt-at), "extent's length"))
		e.Records = int64(d.upTo(math.MaxInt64, "records"))
		e.Coded = d.fixed(int(d.upTo(uint64(len(d.rest)), "index")), "index")
		if d.fault == "" && e.End == e.Base {
			d.fail("offsets")
		}
		if d.fault != "" {
			return
		}
		x, err := ParseIndex(e.Coded, e.Base, e.End, e.Length)
		if err != nil {
			d.fail("index")
			return
		}
		e.Index = *x
		e.MaxTimestamp = math.MinInt64
		for _, b := range x.Blocks {
			e.MaxTimestamp = max(e.MaxTimestamp, b.MaxTimestamp)
		}
		at += e.Length
	}
	if len(d.rest) > 0 || at != s.FooterAt {
		d.fail("length")
	}
}

// Bytes returns the bytes of an extent.
func (s *MergedSegment) Bytes(e *MergedExtent) []byte {
	return s.body[e.Position : e.Position+e.Length : e.Position+e.Length]
}

// Verify checks the bytes of every block.
func (s *MergedSegment) Verify() error {
	for i := range s.Extents {
		e := &s.Extents[i]
		for k, b := range e.Index.Blocks {
			end := e.End
			if k+1 < len(e.Index.Blocks) {
				end = e.Index.Blocks[k+1].Base
			}
			if err := b.Verify(s.Bytes(e)[b.Position:b.Position+b.Length], end); err != nil {
				return fmt.Errorf("partition %d of topic %d: %w", e.Partition, e.Number, err)
			}
		}
	}
	return nil
}

// Verify checks a block's bytes: their checksum, and that its batches' offsets rise
// from Base to below end.
func (b *Block) Verify(data []byte, end int64) error {
	if int64(len(data)) != b.Length {
		return fmt.Errorf("%w: %d bytes of a block of %d", ErrCorrupt, len(data), b.Length)
	}
	if crc := crc32.Checksum(data, castagnoli); crc != b.CRC {
		return fmt.Errorf("%w: the block from offset %d on has CRC-32C %08x, the index says %08x", ErrCorrupt, b.Base, crc, b.CRC)
	}
	next := b.Base
	for first := true; len(data) > 0; first = false {
		h, _, rest, err := batch.Next(data)
		if err != nil {
			return fmt.Errorf("%w: the block from offset %d on: %w", ErrCorrupt, b.Base, err)
		}
		if h.BaseOffset < next || first && h.BaseOffset != b.Base || h.LastOffsetDelta < 0 || h.LastOffset() >= end || h.LastOffset() < h.BaseOffset {
			return fmt.Errorf("%w: a batch of offsets %d to %d in the block from %d to %d", ErrCorrupt, h.BaseOffset, h.LastOffset(), b.Base, end)
		}
		next, data = h.LastOffset()+1, rest
	}
	return nil
}
