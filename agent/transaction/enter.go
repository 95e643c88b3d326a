package transaction

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// Entry asks for partitions and groups to be in a producer's transaction.
type Entry struct {
	ID         string
	ProducerID int64
	Epoch      int16
	Topics     []stored.Topic // ordered
	Groups     []string       // ordered
	Version2   bool           // KIP-890: an epoch has one transaction, so one that is known is the one that is meant
	Verify     bool           // they must be in it already
	// Wait is how long the end of the transaction before is waited for.
	Wait time.Duration
}

// Enter returns the number of the transaction that all of it is in: in a folded entry, so
// that batches and offsets may carry it (GUARDS 14). Any agent may ask. The coordinator is
// not asked: the entry is guarded.
func (c *Coordinator) Enter(ctx context.Context, x Entry) (number uint64, err error) {
	l := c.lane(x.ID)
	deadline := time.Now().Add(x.Wait)
	for {
		changed := l.replica().Changed()
		a, err := l.do(ctx, x.ID, func(s *stored.State) verdict { return x.judge(s.Get(x.ID)) })
		left := time.Until(deadline)
		if !errors.Is(err, ErrConcurrent) || left <= 0 {
			return a.Number, err
		}
		select {
		case <-changed:
		case <-time.After(min(left, l.c.cfg.ResumeEvery)):
		case <-ctx.Done():
			return 0, unavailable(ctx.Err())
		}
	}
}

// EnterOwned is Enter for the id's coordinator only.
func (c *Coordinator) EnterOwned(ctx context.Context, x Entry) error {
	if _, err := c.owned(x.ID); err != nil {
		return err
	}
	_, err := c.Enter(ctx, x)
	return err
}

func (x *Entry) judge(t *stored.Transaction) verdict {
	if t == nil {
		return verdict{err: ErrUnknownID}
	}
	if err := x.Check(t); err != nil {
		return verdict{err: err}
	}
	switch {
	case t.Status == stored.Ongoing && x.in(t):
		return verdict{answer: Answer{ProducerID: t.ProducerID, Epoch: t.Epoch, Number: t.Number}, sure: x.Version2 && t.Version2}
	case x.Verify:
		return verdict{err: ErrNotAdded}
	case t.Partitions()+partitions(x.Topics) > stored.PartitionsMax || len(t.Groups)+len(x.Groups) > stored.GroupsMax:
		return verdict{err: ErrTooLarge}
	}
	return verdict{effect: stored.AppendAdded(nil, stored.Added{ID: x.ID, ProducerID: x.ProducerID, Epoch: x.Epoch, Version2: x.Version2,
		Seen: t.Number, Begin: t.Status != stored.Ongoing, Topics: x.Topics, Groups: x.Groups})}
}

// in tells whether the transaction has all of it.
func (x *Entry) in(t *stored.Transaction) bool {
	for _, topic := range x.Topics {
		for _, p := range topic.Partitions {
			if !t.Has(topic.Number, p) {
				return false
			}
		}
	}
	for _, g := range x.Groups {
		if _, ok := slices.BinarySearch(t.Groups, g); !ok {
			return false
		}
	}
	return true
}

func partitions(topics []stored.Topic) int {
	n := 0
	for _, t := range topics {
		n += len(t.Partitions)
	}
	return n
}

// Epoch returns the epoch that a producer id of a transactional id is known by;
// stored.None if it isn't the id's, or the journal can't be read.
func (c *Coordinator) Epoch(ctx context.Context, id string, producer int64) (epoch int16) {
	epoch = stored.None
	l := c.lane(id)
	if l.refresh(ctx) != nil {
		return epoch
	}
	metastore.View(l.replica(), func(s *stored.State) {
		if t := s.Get(id); t != nil && t.ProducerID == producer {
			epoch = t.Epoch
		}
	})
	return epoch
}

// Check says whether a transaction is the entry's producer's, and may be added to.
func (x *Entry) Check(t *stored.Transaction) error {
	switch {
	case t.ProducerID != x.ProducerID:
		return ErrUnknownID
	case t.Epoch != x.Epoch, t.Epoch > epochLast:
		return ErrFenced
	case t.Status.Prepared():
		return ErrConcurrent
	}
	return nil
}
