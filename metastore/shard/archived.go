package shard

import (
	"fmt"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// Archived says that the archive holds a partition's records below To, in files whose
// rows the append that holds it has placed.
type Archived struct {
	Partition PartitionID
	Expected  int64 // up to where it held them before, as its writer saw it
	To        int64 // above Expected, at most the last stable offset
}

// AppendArchived appends the effect of a: the partition, the offset expected, how far beyond it.
func AppendArchived(dst []byte, a Archived) []byte {
	if a.To <= a.Expected {
		panic(fmt.Sprintf("coding of an archive from %d to %d", a.Expected, a.To))
	}
	body := appendPartition(make([]byte, 0, 40), a.Partition)
	body = appendUint(body, a.Expected)
	return metastore.AppendEffect(dst, metastore.EffectArchived, appendUint(body, a.To-a.Expected))
}

func decodeArchived(d *metastore.Decoder) Archived {
	a := Archived{Partition: decodePartition(d)}
	a.Expected = decodeUint(d, math.MaxInt64, "offset")
	a.To = a.Expected + decodeUint(d, uint64(math.MaxInt64-a.Expected), "offset")
	if d.Err == nil && a.To == a.Expected {
		d.Fail("an archive of nothing")
	}
	return a
}

// applyArchived stands iff the partition is open, archived up to the offset expected,
// and stable up to the new one. Frozen: replicas fold old entries by it.
func (s *State) applyArchived(d *metastore.Decoder) bool {
	a := decodeArchived(d)
	p := s.partition(a.Partition)
	if d.Err != nil || p == nil || p.archived != a.Expected || a.To > p.lastStable() {
		return false
	}
	p.archived = a.To
	return true
}

// Archived returns up to where the archive holds the partition's records. ok is false
// for one that is not open.
func (s *State) Archived(id PartitionID) (to int64, ok bool) {
	p := s.partition(id)
	if p == nil {
		return 0, false
	}
	return p.archived, true
}
