package transaction

import (
	"encoding/binary"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// Added adds partitions and groups to an id's transaction, and begins it if need be.
type Added struct {
	ID         string
	ProducerID int64
	Epoch      int16
	Version2   bool // the client is on KIP-890's version: an epoch has one transaction
	// Seen is Number of the state on which it was decided, and Begin whether that was not
	// ongoing. A transaction begins only after the very one that its writer saw, and what is
	// meant for one that has ended is void.
	Seen   uint64
	Begin  bool
	Topics []Topic // ordered
	Groups []string
}

// Addition is what an addition came to.
type Addition struct {
	Stood  bool
	Number uint64 // of the transaction, if it stood: what its batches and offsets carry
}

// The flags of an addition. Persisted.
const (
	addedVersion2 = 1 << 0
	addedBegin    = 1 << 1
	addedFlags    = addedVersion2 | addedBegin
)

// AppendAdded appends the effect of x. It panics on lists out of order.
func AppendAdded(dst []byte, x Added) []byte {
	body := appendID(nil, x.ID)
	body = appendUint(appendUint(body, x.ProducerID), x.Epoch)
	body = append(body, bit(x.Version2, addedVersion2)|bit(x.Begin, addedBegin))
	body = binary.AppendUvarint(body, x.Seen)
	body = appendGroups(appendTopics(body, x.Topics), x.Groups)
	return metastore.AppendEffect(dst, metastore.EffectTransactionAdded, body)
}

func decodeAdded(d *metastore.Decoder) Added {
	x := Added{
		ID:         decodeID(d),
		ProducerID: decodeUint(d, math.MaxInt64, "producer"),
		Epoch:      int16(decodeUint(d, math.MaxInt16, "epoch")),
	}
	flags := decodeFlags(d, addedFlags)
	x.Version2, x.Begin = flags&addedVersion2 != 0, flags&addedBegin != 0
	x.Seen = d.Uvarint()
	x.Topics, x.Groups = decodeTopics(d), decodeGroups(d)
	return x
}

func (s *State) applyAdded(at metastore.At, d *metastore.Decoder) (Addition, error) {
	x := decodeAdded(d)
	if err := atEnd(d); err != nil {
		return Addition{}, err
	}
	t := s.ids[x.ID]
	if t == nil || t.ProducerID != x.ProducerID || t.Epoch != x.Epoch || !x.stands(t) {
		return Addition{}, nil
	}
	next := *t
	next.Topics, next.Groups = merged(t.Topics, x.Topics), mergedGroups(t.Groups, x.Groups)
	if next.Partitions() > PartitionsMax || len(next.Groups) > GroupsMax {
		return Addition{}, nil
	}
	if t.Status != Ongoing {
		// Unique and rising: one entry can't begin two, since the second's writer would have seen the first.
		next.Status, next.Number, next.Started, next.Version2 = Ongoing, uint64(at.Version), at.Time, x.Version2
	}
	next.Written, next.Updated = at.Version, at.Time
	s.put(x.ID, &next)
	return Addition{true, next.Number}, nil
}

// stands tells whether what its writer saw of the transaction still holds. In version 2 another
// agent may have begun it meanwhile: under this epoch there is no other one.
func (x *Added) stands(t *Transaction) bool {
	switch {
	case t.Status.Prepared():
		return false
	case t.Status == Ongoing && x.Begin:
		return x.Version2 && t.Version2 && t.Number > x.Seen
	case t.Status == Ongoing:
		return t.Number == x.Seen
	}
	return x.Begin && t.Number == x.Seen
}
