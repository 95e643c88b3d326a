package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// ErrTransactionEnded: the transaction that offsets are for has ended.
var ErrTransactionEnded = errors.New("the transaction of the offsets has ended")

// Pending is a TxnOffsetCommit.
type Pending struct {
	Identity
	Offsets     []stored.PlacedOffset
	Producer    int64
	Transaction uint64 // to which the group is known to have been added
}

// CommitPending admits and writes offsets that a transaction is to commit. It returns when
// they are pending; ErrNotAvailable says that they may be. As in Kafka who names no member may commit
// whatever members the group has.
func (c *Coordinator) CommitPending(ctx context.Context, m Pending) error {
	x := stored.Pending{Producer: m.Producer, Transaction: m.Transaction,
		AnyMembers: m.Generation < 0 && m.MemberID == "" && m.Instance == "",
		Commit:     stored.Commit{Group: m.Group, Expires: stored.Never, Offsets: lastOfEach(m.Offsets)}}
	for range decisionsMax {
		a, err := c.admitPending(ctx, m.Identity, &x)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return err
		}
		outcome, err := c.append(ctx, a.journal, stored.AppendPending(nil, x))
		if err != nil {
			return refusal(err)
		}
		if stood, _ := outcome.(bool); stood {
			a.stood()
			return nil
		}
		var ended uint64
		metastore.View(c.replica(a.journal), func(s *stored.State) { ended = s.EndedTransaction(m.Producer) })
		if ended >= m.Transaction {
			return fmt.Errorf("%w: group %s, transaction %d", ErrTransactionEnded, m.Group, m.Transaction)
		}
		if !a.mine() {
			return ErrNotCoordinator
		}
	}
	return ErrNotAvailable
}

// admittedPending is where offsets that were admitted go.
type admittedPending struct {
	journal int
	stood   func()      // takes up that they have made the group
	mine    func() bool // tells, of void ones, whether no other coordinator has the group
}

// admitPending says whether the offsets may be written, and sets their guard.
func (c *Coordinator) admitPending(ctx context.Context, i Identity, x *stored.Pending) (a admittedPending, err error) {
	g, err := c.lock(ctx, i.Group, i.Generation < 0)
	switch {
	case errors.Is(err, ErrOtherProtocol):
		return c.admitPendingConsumer(ctx, i, x)
	case err != nil:
		return a, err
	case g == nil:
		return a, ErrIllegalGeneration
	}
	defer g.mu.Unlock()
	x.Generation, x.Member, x.Epoch = 0, "", 0
	written := g.written
	a = admittedPending{journal: g.journal, stood: func() {}, mine: func() bool { return c.changedSince(g, written) }}
	if written == 0 {
		a.stood = func() { c.noteFirst(g) }
	}
	if x.AnyMembers {
		return a, nil
	}
	member, err := g.admit(i)
	if err == nil && member && written == 0 {
		// Its generation has no place in the journal yet, so nothing could guard the offsets.
		err = ErrRebalanceInProgress
	}
	if member {
		x.Generation = written
	}
	return a, err
}

// admitPendingConsumer is admitPending for a group of the consumer group protocol.
func (c *Coordinator) admitPendingConsumer(ctx context.Context, i Identity, x *stored.Pending) (a admittedPending, err error) {
	g, err := c.lockMixed(ctx, i.Group)
	if err != nil {
		return a, err
	}
	defer g.unlock()
	x.Generation, x.Member, x.Epoch = 0, "", 0
	written := g.written
	a = admittedPending{journal: g.journal, stood: func() {}, mine: func() bool { return !c.isConsumerAt(g, written) }}
	switch {
	case x.AnyMembers:
		return a, nil
	case i.Generation < 0 && (g.state == nil || len(g.state.Members) == 0) && !g.storing:
		return a, errMoved // It is for a group without members.
	}
	err = admitConsumer(g.state, i.MemberID, i.Generation)
	if errors.Is(err, ErrStaleMemberEpoch) {
		err = ErrIllegalGeneration // As in Kafka: producers don't know the other.
	}
	x.Member, x.Epoch = i.MemberID, i.Generation
	return a, err
}
