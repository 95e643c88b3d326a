package transaction

import (
	"context"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// sweepMax bounds what one look at a journal has ended or removed.
const sweepMax = 1000

// resume finishes the transactions that were decided and are not known to be complete:
// whoever decided them may be gone.
func (c *Coordinator) resume(_ context.Context, l *lane) {
	var ids []string
	metastore.View(l.replica(), func(s *stored.State) {
		for _, t := range s.Unfinished() {
			ids = append(ids, t.ID)
		}
	})
	for _, id := range ids[:min(len(ids), sweepMax)] {
		l.finish(id)
	}
}

// abortTimedOut aborts the transactions whose time is up, and fences their producers.
func (c *Coordinator) abortTimedOut(_ context.Context, l *lane) {
	now := c.now().UnixMilli()
	var late []*stored.Transaction
	metastore.View(l.replica(), func(s *stored.State) { late = s.TimedOut(now) })
	for _, t := range late[:min(len(late), sweepMax)] {
		r := &request{id: t.ID, own: true, done: make(chan outcome, 1), judge: func(s *stored.State) verdict {
			if now := s.Get(t.ID); now == nil || now.Number != t.Number || now.Status != stored.Ongoing {
				return verdict{}
			}
			return verdict{decision: fence(s.Get(t.ID)), timedOut: true}
		}}
		if err := l.submit(r); err != nil {
			return // The next look finds them.
		}
		c.deps.Log.Info("a transaction has timed out and is aborted", "transactional_id", t.ID, "producer", t.ProducerID, "epoch", t.Epoch)
	}
}

// fence is the decision to abort whose client isn't asked: its epoch is used up.
func fence(t *stored.Transaction) *stored.Decided {
	next := t.Identity
	next.Epoch, next.PreviousEpoch = t.Epoch+1, t.Epoch
	return &stored.Decided{ID: t.ID, ProducerID: t.ProducerID, Epoch: t.Epoch, Number: t.Number, Ongoing: true,
		Version2: t.Version2, Next: next, MarkerEpoch: next.Epoch}
}

// removeIdle removes the ids that nobody has used for long.
func (c *Coordinator) removeIdle(_ context.Context, l *lane) {
	before := c.now().Add(-c.cfg.Expiration).UnixMilli()
	var idle []*stored.Transaction
	metastore.View(l.replica(), func(s *stored.State) { idle = s.Idle(before, sweepMax) })
	for _, t := range idle {
		r := &request{id: t.ID, own: true, done: make(chan outcome, 1), judge: func(s *stored.State) verdict {
			if now := s.Get(t.ID); now == nil || now.Written != t.Written {
				return verdict{}
			}
			return verdict{effect: stored.AppendRemoved(nil, stored.Removal{ID: t.ID, Expect: t.Written})}
		}}
		if err := l.submit(r); err != nil {
			return
		}
	}
}
