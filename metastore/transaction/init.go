package transaction

import (
	"encoding/binary"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// Init gives a transactional id its client's identity, and makes the id if it is unknown.
type Init struct {
	ID string
	// Expect is Written of the state on which it was decided; 0: the id is unknown.
	Expect metastore.Version
	Identity
	TimeoutMs int32 // ≥ 0
}

// AppendInit appends the effect of x. It is void if the id has changed since, while its
// transaction is ongoing or not complete, and if another id has the producer id.
func AppendInit(dst []byte, x Init) []byte {
	body := appendID(nil, x.ID)
	body = binary.AppendUvarint(body, uint64(x.Expect))
	body = appendUint(appendIdentity(body, x.Identity), x.TimeoutMs)
	return metastore.AppendEffect(dst, metastore.EffectTransactionInit, body)
}

func decodeInit(d *metastore.Decoder) Init {
	return Init{
		ID:        decodeID(d),
		Expect:    metastore.Version(d.Uvarint()),
		Identity:  decodeIdentity(d),
		TimeoutMs: int32(decodeUint(d, math.MaxInt32, "time-out")),
	}
}

func (s *State) applyInit(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	x := decodeInit(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	t := s.ids[x.ID]
	if t.written() != x.Expect || !s.free(x.ProducerID, x.ID) {
		return false, nil
	}
	next := &Transaction{ID: x.ID}
	if t != nil {
		if t.Status == Ongoing || t.Status.Prepared() {
			return false, nil
		}
		next.Version2, next.Number = t.Version2, t.Number
	}
	next.Written, next.Identity, next.TimeoutMs = at.Version, x.Identity, x.TimeoutMs
	next.Status, next.Started, next.Updated = Empty, None, at.Time
	s.put(x.ID, next)
	return true, nil
}

// written is 0 for an id that is unknown.
func (t *Transaction) written() metastore.Version {
	if t == nil {
		return 0
	}
	return t.Written
}

// Removal makes an id unknown that nobody has used for long.
type Removal struct {
	ID     string
	Expect metastore.Version // Written of the state on which it was decided
}

// AppendRemoved appends the effect of x. It is void if the id has changed since, and while
// its transaction is ongoing or not complete.
func AppendRemoved(dst []byte, x Removal) []byte {
	body := binary.AppendUvarint(appendID(nil, x.ID), uint64(x.Expect))
	return metastore.AppendEffect(dst, metastore.EffectTransactionRemoved, body)
}

func decodeRemoval(d *metastore.Decoder) Removal {
	return Removal{decodeID(d), metastore.Version(d.Uvarint())}
}

func (s *State) applyRemoved(d *metastore.Decoder) (stood bool, err error) {
	x := decodeRemoval(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	t := s.ids[x.ID]
	if t == nil || t.Written != x.Expect || t.Status == Ongoing || t.Status.Prepared() {
		return false, nil
	}
	s.put(x.ID, nil)
	return true, nil
}
