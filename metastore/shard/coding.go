package shard

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// The codings of effects and snapshots share these. Numbers are unsigned varints
// with a stated maximum; what may be negative is a zigzag varint.

// appendUint panics on a negative number: better here than in every replica that
// would stop at the entry.
func appendUint[T int16 | int32 | int64](dst []byte, v T) []byte {
	if v < 0 {
		panic(fmt.Sprintf("coding of %d, which must not be negative", v))
	}
	return binary.AppendUvarint(dst, uint64(v))
}

// decodeUint reads a number of at most limit.
func decodeUint(d *metastore.Decoder, limit uint64, what string) int64 {
	v := d.Uvarint()
	if v > limit {
		d.Fail(what + " out of range")
		return 0
	}
	return int64(v)
}

func appendSigned(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func appendPartition(dst []byte, p PartitionID) []byte {
	return appendUint(binary.AppendUvarint(dst, p.Topic), p.Index)
}

func decodePartition(d *metastore.Decoder) PartitionID {
	return PartitionID{Topic: d.Uvarint(), Index: int32(decodeUint(d, math.MaxInt32, "partition"))}
}

// Expected is what a fence or forget expects to be known of the producer.
type Expected struct {
	Unknown bool
	Epoch   int16
	Last    int32 // the last sequence, -1 for none
}

// Expect returns what an effect decided on state expects.
func Expect(state ProducerState) Expected {
	if !state.Known {
		return Expected{Unknown: true}
	}
	return Expected{Epoch: state.Epoch, Last: state.Last}
}

// appendExpected appends 0 for unknown, else epoch + 1 and last + 1.
func appendExpected(dst []byte, e Expected) []byte {
	if e.Unknown {
		return append(dst, 0)
	}
	dst = appendUint(dst, int32(e.Epoch)+1)
	return appendLast(dst, e.Last)
}

func decodeExpected(d *metastore.Decoder) Expected {
	epoch := decodeUint(d, math.MaxInt16+1, "epoch") - 1
	if epoch < 0 {
		return Expected{Unknown: true}
	}
	return Expected{Epoch: int16(epoch), Last: decodeLast(d)}
}

func appendLast(dst []byte, last int32) []byte {
	return binary.AppendUvarint(dst, uint64(int64(last)+1))
}

func decodeLast(d *metastore.Decoder) int32 {
	return int32(decodeUint(d, math.MaxInt32+1, "sequence") - 1)
}

// holds tells whether a producer, nil when unknown, is as expected.
func (e Expected) holds(p *producer) bool {
	if known := p != nil && p.known; !known || e.Unknown {
		return !known && e.Unknown
	}
	return p.epoch == e.Epoch && p.last == e.Last
}
