package shard

import (
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// Forget makes a producer unknown in a partition (GUARDS 13).
type Forget struct {
	Partition PartitionID
	Producer  int64
	Epoch     int16 // expected: as seen by whoever judged the producer old
	Last      int32 // expected, -1 for none
}

// AppendForget appends the effect of f.
func AppendForget(dst []byte, f Forget) []byte {
	body := appendPartition(make([]byte, 0, 32), f.Partition)
	body = appendUint(body, f.Producer)
	body = appendLast(appendUint(body, f.Epoch), f.Last)
	return metastore.AppendEffect(dst, metastore.EffectForgetProducer, body)
}

func decodeForget(d *metastore.Decoder) Forget {
	return Forget{
		Partition: decodePartition(d),
		Producer:  decodeUint(d, math.MaxInt64, "producer"),
		Epoch:     int16(decodeUint(d, math.MaxInt16, "epoch")),
		Last:      decodeLast(d),
	}
}

func (s *State) applyForget(d *metastore.Decoder) bool {
	f := decodeForget(d)
	p := s.partition(f.Partition)
	if p == nil || d.Err != nil {
		return false
	}
	i, ok := p.searchProducer(f.Producer)
	if !ok || !(Expected{Epoch: f.Epoch, Last: f.Last}).holds(p.producers[i].state) {
		return false
	}
	p.producers = slices.Delete(p.producers, i, i+1)
	return true
}
