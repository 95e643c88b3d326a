package segment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/wadi-io/wadi/wire/batch"
)

// Index tells where in an extent of a partition segment the offsets and times lie.
// Its coding stands in the segment's footer and in the extent's row of the metastore.
type Index struct {
	Blocks  []Block
	Aborted []Aborted // transactions with records in the extent, by their last offsets
	// Compacted: key compaction has gone over all of it, and over what comes before it by its keys.
	Compacted bool
}

// Block is some whole batches of an extent.
type Block struct {
	Base         int64 // the first offset it covers; it ends where the next one begins
	Position     int64 // bytes from the extent's begin
	Length       int64 // bytes
	MaxTimestamp int64 // ms
	CRC          uint32
}

// Aborted is a transaction whose records from First to its marker at Last are aborted.
type Aborted struct {
	Producer    int64
	First, Last int64
}

// BlockBytes is from what size on a block is full, in bytes; its last batch may pass it.
const BlockBytes = 1 << 20

// What opens an index: what follows is coded the same. Persisted; never renumber.
const (
	indexFormat    = 1
	indexCompacted = 2 // of an extent that key compaction has gone over
)

// The shortest codings of an index's elements, in bytes.
const (
	blockBytesMin   = 1 + 1 + 1 + 4
	abortedBytesMin = 3
)

// AppendIndex appends the coding of x, the index of an extent that begins at base.
func AppendIndex(dst []byte, base int64, x *Index) []byte {
	format := byte(indexFormat)
	if x.Compacted {
		format = indexCompacted
	}
	dst = append(dst, format)
	dst = binary.AppendUvarint(dst, uint64(len(x.Blocks)))
	at, timestamp := base, int64(0)
	for _, b := range x.Blocks {
		dst = binary.AppendUvarint(dst, uint64(b.Base-at))
		dst = binary.AppendUvarint(dst, uint64(b.Length))
		dst = binary.AppendVarint(dst, b.MaxTimestamp-timestamp)
		dst = binary.BigEndian.AppendUint32(dst, b.CRC)
		at, timestamp = b.Base, b.MaxTimestamp
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.Aborted)))
	last := base
	for _, a := range x.Aborted {
		dst = binary.AppendUvarint(dst, uint64(a.Producer))
		dst = binary.AppendVarint(dst, a.Last-last)
		dst = binary.AppendUvarint(dst, uint64(a.Last-a.First))
		last = a.Last
	}
	return dst
}

// ParseIndex decodes the index of an extent of length bytes whose offsets are base
// to end−1. Each block lies within them.
func ParseIndex(b []byte, base, end, length int64) (*Index, error) {
	d := decoder{rest: b}
	x := d.index(base, end, length)
	if len(d.rest) > 0 {
		d.fail("length")
	}
	if d.fault != "" {
		return nil, fmt.Errorf("%w: the index's %s", ErrCorrupt, d.fault)
	}
	return x, nil
}

// IndexCompacted tells of a coded index whether its extent is compacted by key.
func IndexCompacted(b []byte) bool { return len(b) > 0 && b[0] == indexCompacted }

func (d *decoder) index(base, end, length int64) *Index {
	f := d.fixed(1, "format")
	if f == nil || f[0] != indexFormat && f[0] != indexCompacted {
		d.fail("format")
		return nil
	}
	x := &Index{Compacted: f[0] == indexCompacted}
	if n := d.count(blockBytesMin, "count of blocks"); n > 0 {
		x.Blocks = make([]Block, n)
	}
	at, position, timestamp := base, int64(0), int64(0)
	for i := range x.Blocks {
		delta := int64(d.upTo(math.MaxInt64, "offset"))
		size := int64(d.upTo(math.MaxInt64, "block's length"))
		timestamp += d.varint("timestamp")
		crc := d.fixed(4, "block's checksum")
		if d.fault != "" {
			return nil
		}
		// Compaction may have left nothing before the first block, and a block begins where its first batch does.
		if delta > end-1-at || i > 0 && delta == 0 || size < batch.HeaderSize || size > length-position {
			d.fail("block")
			return nil
		}
		at += delta
		x.Blocks[i] = Block{Base: at, Position: position, Length: size, MaxTimestamp: timestamp, CRC: binary.BigEndian.Uint32(crc)}
		position += size
	}
	if position != length {
		d.fail("blocks' lengths")
	}
	if n := d.count(abortedBytesMin, "count of aborted transactions"); n > 0 {
		x.Aborted = make([]Aborted, n)
	}
	last := base
	for i := range x.Aborted {
		a := &x.Aborted[i]
		a.Producer = int64(d.upTo(math.MaxInt64, "producer"))
		last += d.varint("aborted transaction")
		a.Last = last
		back := int64(d.upTo(math.MaxInt64, "aborted transaction"))
		if a.First = last - back; last < 0 || a.First < 0 || a.First >= end || a.Last < base {
			d.fail("aborted transaction")
		}
		if d.fault != "" {
			return nil
		}
	}
	return x
}

func (d *decoder) varint(what string) int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail(what)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}
