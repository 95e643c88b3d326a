package shard

import (
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// Fence closes a producer's epoch in a partition, so that an answer that a batch
// did not happen is true (GUARDS 7, 8).
type Fence struct {
	Partition PartitionID
	Producer  int64
	Epoch     int16 // the batch's
	Expect    Expected
}

// AppendFence appends the effect of f: 16 to 20 bytes.
func AppendFence(dst []byte, f Fence) []byte {
	body := appendPartition(make([]byte, 0, 32), f.Partition)
	body = appendUint(body, f.Producer)
	body = appendUint(body, f.Epoch)
	return metastore.AppendEffect(dst, metastore.EffectFence, appendExpected(body, f.Expect))
}

func decodeFence(d *metastore.Decoder) Fence {
	return Fence{
		Partition: decodePartition(d),
		Producer:  decodeUint(d, math.MaxInt64, "producer"),
		Epoch:     int16(decodeUint(d, math.MaxInt16, "epoch")),
		Expect:    decodeExpected(d),
	}
}

// applyFence closes the higher of the two epochs. A last sequence is of the epoch
// that it was known under: were it kept for a higher one, batches of that epoch
// that never stood would be Behind. The window keeps its epoch and its batches.
func (s *State) applyFence(at metastore.At, d *metastore.Decoder) bool {
	f := decodeFence(d)
	p := s.partition(f.Partition)
	if p == nil || d.Err != nil {
		return false
	}
	state := p.producer(f.Producer)
	if !f.Expect.holds(state) {
		return false
	}
	if state == nil || !state.known {
		state = p.ensureProducer(f.Producer)
		state.known, state.epoch = true, f.Epoch
	}
	if f.Epoch > state.epoch {
		state.epoch, state.last = f.Epoch, noSequence
	}
	state.closed = true
	state.touched = max(state.touched, at.Time)
	return true
}
