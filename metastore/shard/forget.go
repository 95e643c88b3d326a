package shard

import (
	"encoding/binary"
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
	// Unknown instead expects that no batch and no fence of the producer stands, only markers.
	Unknown bool
	Ended   uint64 // expected: the highest transaction that ended here
}

// Forget returns what forgets the producer as it was found.
func (e Expired) Forget() Forget {
	f := Forget{Partition: e.Partition, Producer: e.Producer, Epoch: e.State.Epoch, Last: e.State.Last, Ended: e.Ended}
	if !e.State.Known {
		f.Unknown, f.Epoch, f.Last = true, 0, noSequence
	}
	return f
}

// AppendForget appends the effect of f: partition, producer, epoch, last, and, of a
// producer with transactions, the highest that ended, doubled, + 1 if unknown.
func AppendForget(dst []byte, f Forget) []byte {
	body := appendPartition(make([]byte, 0, 32), f.Partition)
	body = appendUint(body, f.Producer)
	body = appendLast(appendUint(body, f.Epoch), f.Last)
	if f.Unknown || f.Ended != NoTransaction {
		unknown := uint64(0)
		if f.Unknown {
			unknown = 1
		}
		body = binary.AppendUvarint(body, f.Ended<<1|unknown)
	}
	return metastore.AppendEffect(dst, metastore.EffectForgetProducer, body)
}

func decodeForget(d *metastore.Decoder) Forget {
	f := Forget{
		Partition: decodePartition(d),
		Producer:  decodeUint(d, math.MaxInt64, "producer"),
		Epoch:     int16(decodeUint(d, math.MaxInt16, "epoch")),
		Last:      decodeLast(d),
	}
	if len(d.Rest) > 0 {
		transactions := d.Uvarint()
		f.Ended, f.Unknown = transactions>>1, transactions&1 == 1
		if d.Err == nil && (transactions == 0 || f.Unknown && (f.Epoch != 0 || f.Last != noSequence)) {
			d.Fail("a forget's expectation")
		}
	}
	return f
}

func (f Forget) expect() Expected {
	if f.Unknown {
		return Expected{Unknown: true}
	}
	return Expected{Epoch: f.Epoch, Last: f.Last}
}

func (s *State) applyForget(d *metastore.Decoder) bool {
	f := decodeForget(d)
	p := s.partition(f.Partition)
	if p == nil || d.Err != nil {
		return false
	}
	i, ok := p.searchProducer(f.Producer)
	if !ok {
		return false
	}
	if state := p.producers[i].state; !f.expect().holds(state) || state.ended() != f.Ended || state.open() != NoTransaction {
		return false
	}
	p.producers = slices.Delete(p.producers, i, i+1)
	return true
}
