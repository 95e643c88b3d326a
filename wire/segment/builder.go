package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/wadi-io/wadi/wire/batch"
)

// Builder writes one segment into one buffer. The zero Builder is ready; it may
// be reused, which spares its allocations. It is not safe for concurrent use.
type Builder struct {
	info Info
	dst  []byte
	runs []buildingRun
	sum  uint32 // CRC-32C of dst
}

// buildingRun is a run while it grows. Its batches' lengths are not kept: they
// stand in the batches.
type buildingRun struct {
	shard     int
	topic     [16]byte
	partition int32
	begin     int // position of its first byte
	batches   int
	crc       uint32
}

// Sizes that bound parts of the footer, in bytes. See FORMAT.md.
const (
	infoBytesMax  = 2 + ClusterBytesMax + 4*10 + 2*5
	fateBytesMax  = 5 + 10 + 10
	runBytesMax   = 5 + 16 + 5 + 4 + 5
	batchBytesMax = 5
)

// SizeHint returns a size in bytes that a segment of so many bytes of batches,
// batches, runs (partitions) and fates will not pass: allocate dst with it.
func SizeHint(dataBytes, batches, runs, fates int) int {
	return headerSize + dataBytes + infoBytesMax + fates*fateBytesMax + runs*runBytesMax + batches*batchBytesMax + trailerSize
}

// Begin starts a segment in dst[:0]. It keeps info.Fates until Finish.
func (b *Builder) Begin(dst []byte, info Info) {
	if len(info.Cluster) > ClusterBytesMax {
		panic(fmt.Sprintf("segment: a cluster id of %d bytes", len(info.Cluster)))
	}
	b.info = info
	b.runs = b.runs[:0]
	b.dst = appendHeader(dst[:0], info.ID)
	b.sum = crc32.Checksum(b.dst, castagnoli)
}

// Add copies one whole batch, whose CRC was checked, to the end and returns its position in the
// segment. Shards must not fall, nor partitions within consecutive batches of a topic.
func (b *Builder) Add(shard int, topic [16]byte, partition int32, data []byte) (position int64) {
	if n := len(b.runs); n == 0 || b.runs[n-1].partition != partition || b.runs[n-1].topic != topic || b.runs[n-1].shard != shard {
		b.startRun(shard, topic, partition)
	}
	if len(data) < batch.HeaderSize || len(data) > math.MaxInt32 || len(data) != batch.Size(data) {
		panic(fmt.Sprintf("segment: %d bytes are not a batch", len(data)))
	}
	run := &b.runs[len(b.runs)-1]
	at := len(b.dst)
	b.dst = append(b.dst, data...)
	if len(data) < combineBytesMin {
		run.crc = crc32.Update(run.crc, castagnoli, data)
		b.sum = crc32.Update(b.sum, castagnoli, data)
	} else {
		crc, shift := batchCRC(data), shiftOf(len(data))
		run.crc = appendCRC(run.crc, crc, shift)
		b.sum = appendCRC(b.sum, crc, shift)
	}
	run.batches++
	return int64(at)
}

func (b *Builder) startRun(shard int, topic [16]byte, partition int32) {
	if shard < 0 || shard > shardMax || partition < 0 {
		panic(fmt.Sprintf("segment: shard %d, partition %d", shard, partition))
	}
	if n := len(b.runs); n > 0 {
		last := &b.runs[n-1]
		if shard < last.shard || shard == last.shard && topic == last.topic && partition < last.partition {
			panic(fmt.Sprintf("segment: shard %d, partition %d after shard %d, partition %d", shard, partition, last.shard, last.partition))
		}
	}
	b.runs = append(b.runs, buildingRun{shard: shard, topic: topic, partition: partition, begin: len(b.dst)})
}

// Size returns the bytes written so far, the footer excluded.
func (b *Builder) Size() int { return len(b.dst) }

// Finish completes the segment and returns it: dst, or a larger buffer where dst
// was too small. It panics when the segment passes SizeMax.
func (b *Builder) Finish() []byte {
	footer := len(b.dst)
	b.dst = appendInfo(b.dst, b.info)
	b.dst = binary.AppendUvarint(b.dst, uint64(len(b.runs)))
	shard := 0
	for i := range b.runs {
		run := &b.runs[i]
		b.dst = binary.AppendUvarint(b.dst, uint64(run.shard-shard))
		shard = run.shard
		b.dst = append(b.dst, run.topic[:]...)
		b.dst = binary.AppendUvarint(b.dst, uint64(run.partition))
		b.dst = binary.BigEndian.AppendUint32(b.dst, run.crc)
		b.dst = binary.AppendUvarint(b.dst, uint64(run.batches))
		at := run.begin
		for range run.batches {
			size := batch.Size(b.dst[at:])
			b.dst = binary.AppendUvarint(b.dst, uint64(size))
			at += size
		}
	}
	b.dst = appendTrailer(b.dst, footer, kindIngest)
	if len(b.dst) > SizeMax {
		panic(fmt.Sprintf("segment: %d bytes", len(b.dst)))
	}
	b.sum = crc32.Update(b.sum, castagnoli, b.dst[footer:])
	out := b.dst
	b.dst, b.info = nil, Info{} // the caller's now
	return out
}

// Checksum returns the CRC-32C of the segment that Finish returned, until the next Begin. It
// is told by the batches' own, so it is that of the bytes as they came.
func (b *Builder) Checksum() uint32 { return b.sum }
