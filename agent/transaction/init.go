package transaction

import (
	"context"
	"math"
	"time"

	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// Init is an InitProducerId with a transactional id.
type Init struct {
	ID      string
	Timeout time.Duration
	// What the client takes itself for (KIP-360); stored.None: nothing.
	ProducerID int64
	Epoch      int16
	// NewID reserves a producer id that nobody has.
	NewID func(ctx context.Context) (int64, error)
}

// epochLast is the highest epoch that a client gets: one more is left to fence it. There is
// none above that one, so whoever names it is fenced too.
const epochLast = math.MaxInt16 - 1

// Init gives a transactional id's client its producer id and epoch, and fences whoever had
// it. A transaction that is ongoing is aborted first: then it is ErrConcurrent, and the client tries again.
func (c *Coordinator) Init(ctx context.Context, x Init) (Answer, error) {
	if x.Timeout <= 0 || x.Timeout > c.cfg.TimeoutMax {
		return Answer{}, ErrInvalidTimeout
	}
	l, err := c.owned(x.ID)
	if err != nil {
		return Answer{}, err
	}
	return withProducerID(ctx, x.NewID, func(fresh int64) (Answer, error) {
		return l.do(ctx, x.ID, func(s *stored.State) verdict { return x.judge(s.Get(x.ID), fresh) })
	})
}

// judge says what becomes of it. fresh is a producer id that nobody has, stored.None
// until one is asked for.
func (x *Init) judge(t *stored.Transaction, fresh int64) verdict {
	expected := x.ProducerID != stored.None
	switch {
	case t == nil:
		return x.init(nil, fresh, stored.Identity{ProducerID: fresh, PreviousProducerID: stored.None, PreviousEpoch: stored.None})
	case expected && x.ProducerID != t.ProducerID && (x.ProducerID != t.PreviousProducerID || x.Epoch < epochLast):
		return verdict{err: ErrFenced}
	case t.Status.Prepared():
		return verdict{err: ErrConcurrent}
	case t.Status == stored.Ongoing:
		d := fence(t)
		return verdict{decision: d, err: ErrConcurrent}
	case t.Epoch >= epochLast && (!expected || x.Epoch == t.Epoch):
		next := stored.Identity{ProducerID: fresh, PreviousProducerID: t.ProducerID, PreviousEpoch: stored.None}
		if expected {
			next.PreviousEpoch = t.Epoch
		}
		return x.init(t, fresh, next)
	case t.Epoch > epochLast && x.Epoch == t.PreviousEpoch:
		// Its transaction was aborted under the epoch that only fences.
		return x.init(t, fresh, stored.Identity{ProducerID: fresh, PreviousProducerID: t.ProducerID, PreviousEpoch: x.Epoch})
	case expected && x.Epoch == t.PreviousEpoch:
		// A retry of what raised the epoch.
		return verdict{answer: Answer{ProducerID: t.ProducerID, Epoch: t.Epoch}}
	case expected && x.Epoch != t.Epoch:
		return verdict{err: ErrFenced}
	}
	next := t.Identity
	next.Epoch, next.PreviousEpoch = t.Epoch+1, stored.None
	if expected {
		next.PreviousEpoch = t.Epoch
	}
	return x.init(t, t.ProducerID, next)
}

func (x *Init) init(t *stored.Transaction, producer int64, next stored.Identity) verdict {
	if producer == stored.None {
		return verdict{err: errNeedsID, sure: true}
	}
	i := stored.Init{ID: x.ID, Identity: next, TimeoutMs: int32(x.Timeout.Milliseconds())}
	if t != nil {
		i.Expect = t.Written
	}
	return verdict{effect: stored.AppendInit(nil, i), answer: Answer{ProducerID: next.ProducerID, Epoch: next.Epoch}}
}
