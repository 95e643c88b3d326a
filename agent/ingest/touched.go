package ingest

import "github.com/wadi-io/wadi/metastore/shard"

// touched is a set of partitions that may seem to hold more than it does: a bit for
// each hash. So that two sets don't meet is certain.
type touched [touchedBits / 64]uint64

// touchedBits is what a flush of a few dozen partitions leaves mostly empty.
const touchedBits = 1024

func (t *touched) add(id shard.PartitionID) {
	const golden = 0x9e3779b97f4a7c15 // 2⁶⁴ ÷ φ: consecutive partitions spread widely
	bit := (id.Topic*31 + uint64(id.Index)) * golden >> (64 - 10)
	t[bit/64] |= 1 << (bit % 64)
}

func (t *touched) join(other *touched) {
	for i, bits := range other {
		t[i] |= bits
	}
}

func (t *touched) meets(other *touched) bool {
	for i, bits := range other {
		if t[i]&bits != 0 {
			return true
		}
	}
	return false
}
