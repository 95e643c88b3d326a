package transaction

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// Decided ends a transaction, or the epoch of an id without one.
type Decided struct {
	ID         string
	ProducerID int64 // as they stand
	Epoch      int16
	Number     uint64 // as it stands
	Ongoing    bool   // whether a transaction is ongoing; one without can only be aborted
	Commit     bool
	Version2   bool // the client is on KIP-890's version: Next must have another epoch
	// Next is the identity after the decision: the epoch raised, or another producer id when
	// epochs are used up, or unchanged (version 1, when the client ends it).
	Next Identity
	// MarkerEpoch is what the markers tell; see Ending.
	MarkerEpoch int16
	// Complete says that its markers and its groups' ends are in the same append, which is
	// then strict (see the package's comment), and that they are for so many partitions and groups.
	Complete           bool
	Partitions, Groups int
}

// The flags of a decision. Persisted.
const (
	decidedOngoing  = 1 << 0
	decidedCommit   = 1 << 1
	decidedVersion2 = 1 << 2
	decidedComplete = 1 << 3
	decidedFlags    = decidedOngoing | decidedCommit | decidedVersion2 | decidedComplete
)

// Check returns an error for a decision that can't be coded.
func (x *Decided) Check() error {
	switch {
	case !x.Ongoing && (x.Commit || !x.Complete || x.Partitions != 0 || x.Groups != 0):
		return errors.New("a decision on no transaction, but to abort it wholly")
	case x.Next.ProducerID == x.ProducerID && x.Next.Epoch < x.Epoch:
		return fmt.Errorf("epoch %d after %d", x.Next.Epoch, x.Epoch)
	case x.Version2 && x.Next.ProducerID == x.ProducerID && x.Next.Epoch == x.Epoch:
		return fmt.Errorf("version 2 keeps epoch %d", x.Epoch)
	case x.Partitions < 0 || x.Partitions > PartitionsMax || x.Groups < 0 || x.Groups > GroupsMax:
		return fmt.Errorf("%d partitions, %d groups", x.Partitions, x.Groups)
	}
	return nil
}

// AppendDecided appends the effect of x. It panics on what Check refuses.
func AppendDecided(dst []byte, x Decided) []byte {
	if err := x.Check(); err != nil {
		panic(fmt.Sprintf("coding of a decision on %q: %v", x.ID, err))
	}
	body := appendID(nil, x.ID)
	body = appendUint(appendUint(body, x.ProducerID), x.Epoch)
	body = binary.AppendUvarint(body, x.Number)
	body = append(body, bit(x.Ongoing, decidedOngoing)|bit(x.Commit, decidedCommit)|
		bit(x.Version2, decidedVersion2)|bit(x.Complete, decidedComplete))
	body = appendUint(appendIdentity(body, x.Next), x.MarkerEpoch)
	if x.Complete {
		body = binary.AppendUvarint(body, uint64(x.Partitions))
		body = binary.AppendUvarint(body, uint64(x.Groups))
	}
	return metastore.AppendEffect(dst, metastore.EffectTransactionDecided, body)
}

func decodeDecided(d *metastore.Decoder) Decided {
	x := Decided{
		ID:         decodeID(d),
		ProducerID: decodeUint(d, math.MaxInt64, "producer"),
		Epoch:      int16(decodeUint(d, math.MaxInt16, "epoch")),
		Number:     d.Uvarint(),
	}
	flags := decodeFlags(d, decidedFlags)
	x.Ongoing, x.Commit = flags&decidedOngoing != 0, flags&decidedCommit != 0
	x.Version2, x.Complete = flags&decidedVersion2 != 0, flags&decidedComplete != 0
	x.Next = decodeIdentity(d)
	x.MarkerEpoch = int16(decodeUint(d, math.MaxInt16, "epoch"))
	if x.Complete {
		x.Partitions = int(decodeUint(d, PartitionsMax, "partitions"))
		x.Groups = int(decodeUint(d, GroupsMax, "groups"))
	}
	if d.Err == nil {
		if err := x.Check(); err != nil {
			d.Fail(err.Error())
		}
	}
	return x
}

// Check tells whether a decision stands on this state.
func (s *State) Check(x *Decided) bool {
	t := s.ids[x.ID]
	return t != nil && t.ProducerID == x.ProducerID && t.Epoch == x.Epoch && t.Number == x.Number &&
		(t.Status == Ongoing) == x.Ongoing && !t.Status.Prepared() && s.free(x.Next.ProducerID, x.ID)
}

func (s *State) applyDecided(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	x := decodeDecided(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	t := s.ids[x.ID]
	alone := x.Partitions == 0 && x.Groups == 0
	switch {
	case !s.Check(&x) && x.Complete && !alone:
		return false, fmt.Errorf("the decision on transaction %d of %q is void, and its markers were appended with it: a bug", x.Number, x.ID)
	case !s.Check(&x):
		return false, nil
	case x.Complete && alone && (len(t.Topics) > 0 || len(t.Groups) > 0):
		// Something was added since it was seen to be empty, and no marker went along.
		return false, nil
	case x.Complete && (t.Partitions() != x.Partitions || len(t.Groups) != x.Groups):
		return false, fmt.Errorf("transaction %d of %q has %d partitions and %d groups, and markers for %d and %d were appended: a bug",
			x.Number, x.ID, t.Partitions(), len(t.Groups), x.Partitions, x.Groups)
	}
	next := *t
	next.Identity, next.Written, next.Updated = x.Next, at.Version, at.Time
	next.Version2 = x.Version2
	switch {
	case x.Complete:
		next.complete(x.Commit)
	case x.Commit:
		next.Status = PrepareCommit
	default:
		next.Status = PrepareAbort
	}
	if next.Status.Prepared() {
		next.EndingProducerID, next.EndingEpoch = x.ProducerID, x.MarkerEpoch
	}
	s.put(x.ID, &next)
	return true, nil
}

// complete lets go of what the transaction held.
func (t *Transaction) complete(commit bool) {
	t.Status = CompleteAbort
	if commit {
		t.Status = CompleteCommit
	}
	t.Topics, t.Groups = nil, nil
	t.EndingProducerID, t.EndingEpoch, t.Started = 0, 0, None
}

// Completion says that all markers and groups' ends of a decided transaction are known to
// be in their journals.
type Completion struct {
	ID     string
	Number uint64
}

// AppendCompleted appends the effect of x. It is void but for the Prepared transaction of that number.
func AppendCompleted(dst []byte, x Completion) []byte {
	return metastore.AppendEffect(dst, metastore.EffectTransactionCompleted, binary.AppendUvarint(appendID(nil, x.ID), x.Number))
}

func decodeCompletion(d *metastore.Decoder) Completion { return Completion{decodeID(d), d.Uvarint()} }

func (s *State) applyCompleted(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	x := decodeCompletion(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	t := s.ids[x.ID]
	if t == nil || !t.Status.Prepared() || t.Number != x.Number {
		return false, nil
	}
	next := *t
	next.complete(t.Committed())
	next.Written, next.Updated = at.Version, at.Time
	s.put(x.ID, &next)
	return true, nil
}
