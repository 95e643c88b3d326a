package transaction

import (
	"context"
	"fmt"

	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// End is an EndTxn.
type End struct {
	ID         string
	ProducerID int64
	Epoch      int16
	Commit     bool
	Version2   bool // KIP-890: each end raises the epoch
	// NewID reserves a producer id that nobody has.
	NewID func(ctx context.Context) (int64, error)
}

// End ends a transaction. It answers when the decision stands; what the client is known by
// from then on is in the answer.
func (c *Coordinator) End(ctx context.Context, x End) (Answer, error) {
	l, err := c.owned(x.ID)
	if err != nil {
		return Answer{}, err
	}
	var meant uint64
	return withProducerID(ctx, x.NewID, func(fresh int64) (Answer, error) {
		return l.do(ctx, x.ID, func(s *stored.State) verdict { return x.judgeMeant(s.Get(x.ID), fresh, &meant) })
	})
}

// judgeMeant is judge, but that what a client of version 1 asks ends no later transaction than
// the one that was ongoing when it came here: of its epoch there may be a next one by the time that it
// is judged again, because another agent has ended the one that was meant. meant is its number, 0 before.
func (x *End) judgeMeant(t *stored.Transaction, fresh int64, meant *uint64) verdict {
	v := x.judge(t, fresh)
	if x.Version2 || v.decision == nil {
		return v
	}
	if *meant == 0 {
		*meant = t.Number
	}
	if *meant != t.Number {
		return verdict{err: fmt.Errorf("%w: the transaction that was to be ended has ended", ErrNotAvailable), sure: true}
	}
	return v
}

// judge says what becomes of it, as Kafka's coordinator would.
func (x *End) judge(t *stored.Transaction, fresh int64) verdict {
	switch {
	case t == nil:
		return verdict{err: ErrUnknownID}
	case t.ProducerID == x.ProducerID && t.Epoch > epochLast:
		return verdict{err: ErrFenced}
	case !x.Version2:
		return x.judgeVersion1(t)
	}
	// The epoch tells a retry from the next end. While the transaction is Prepared its id has the next
	// identity already, which Kafka's gets when it is complete.
	same := t.ProducerID == x.ProducerID && t.Epoch == x.Epoch
	retry := t.ProducerID == x.ProducerID && int32(t.Epoch) == int32(x.Epoch)+1 ||
		t.PreviousProducerID == x.ProducerID && x.Epoch == epochLast && t.Epoch == 0
	ended := t.Status != stored.Ongoing && t.Status != stored.Empty
	switch {
	case t.ProducerID != x.ProducerID && !retry:
		return verdict{err: ErrUnknownID}
	case same && t.Status.Prepared():
		// It has its answer to the end before, and goes on. Kafka fences it, which would be the end of a client
		// that is nobody's predecessor.
		return verdict{err: ErrConcurrent}
	case !same && !(retry && ended):
		return verdict{err: ErrFenced}
	case t.Status == stored.Ongoing:
		return x.decide(t, fresh)
	case same && !x.Commit:
		return x.decide(t, fresh) // It has none: its epoch ends.
	case same || t.Committed() != x.Commit:
		return verdict{err: ErrInvalidState}
	case t.Status.Prepared():
		return verdict{err: ErrConcurrent}
	}
	return verdict{answer: Answer{ProducerID: t.ProducerID, Epoch: t.Epoch}}
}

func (x *End) judgeVersion1(t *stored.Transaction) verdict {
	switch {
	case t.ProducerID != x.ProducerID:
		return verdict{err: ErrUnknownID}
	case t.Epoch != x.Epoch:
		return verdict{err: ErrFenced}
	case t.Status == stored.Ongoing:
		return x.decide(t, stored.None)
	case t.Status == stored.Empty || t.Committed() != x.Commit:
		return verdict{err: ErrInvalidState}
	case t.Status.Prepared():
		return verdict{err: ErrConcurrent}
	}
	return verdict{answer: Answer{ProducerID: t.ProducerID, Epoch: t.Epoch}}
}

// decide is the decision, with what its client is known by from then on.
func (x *End) decide(t *stored.Transaction, fresh int64) verdict {
	d := &stored.Decided{ID: t.ID, ProducerID: t.ProducerID, Epoch: t.Epoch, Number: t.Number, Ongoing: t.Status == stored.Ongoing,
		Commit: x.Commit, Version2: x.Version2, Next: t.Identity, MarkerEpoch: t.Epoch}
	if x.Version2 {
		d.MarkerEpoch = t.Epoch + 1
		d.Next.PreviousEpoch = t.Epoch
		if d.Next.Epoch = t.Epoch + 1; t.Epoch >= epochLast {
			if fresh == stored.None {
				return verdict{err: errNeedsID, sure: true}
			}
			d.Next = stored.Identity{ProducerID: fresh, PreviousProducerID: t.ProducerID, PreviousEpoch: t.Epoch}
		}
	}
	return verdict{decision: d, answer: Answer{ProducerID: d.Next.ProducerID, Epoch: d.Next.Epoch, Number: t.Number}}
}
