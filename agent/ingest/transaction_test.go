package ingest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// in puts a batch into its producer's transaction.
func in(x uint64, b Batch) Batch {
	b.Transaction = x
	return b
}

// end appends a marker in partition 0.
func (a *testAgent) end(producer int64, x uint64, commit bool) {
	a.world.t.Helper()
	effects := shard.AppendMarker(nil, shard.Marker{Producer: producer, Transaction: x, Commit: commit, Timestamp: 1,
		Partitions: []shard.PartitionID{{Topic: 1, Index: 0}}})
	if _, err := a.writer.Append(a.world.t.Context(), []metastore.Draft{{Journal: metastore.ShardJournal(0), Effects: effects}}); err != nil {
		a.world.t.Fatal(err)
	}
}

// TestIngest_Transactions: batches carry their transaction's number into the journal; what comes after its
// end is refused, but for repeats of what stood.
func TestIngest_Transactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent()
		want{0, nil}.check(t, "the first", a.send(in(5, produced(0, 7, 0, 0, 2))))
		want{2, nil}.check(t, "the second", a.send(in(5, produced(0, 7, 0, 2, 1))))
		metastore.View(a.follower.Replica(metastore.ShardJournal(0)), func(s *shard.State) {
			if got := s.Transactions(shard.PartitionID{Topic: 1, Index: 0}, 7); got.Open != 5 || got.FirstOffset != 0 {
				t.Errorf("%+v", got)
			}
		})
		want{-1, ErrTransactionOpen}.check(t, "outside of the open transaction", a.send(produced(0, 7, 0, 3, 1)))
		a.end(7, 5, false)
		want{2, nil}.check(t, "a repeat after the end", a.send(in(5, produced(0, 7, 0, 2, 1))))
		want{-1, ErrTransactionEnded}.check(t, "after the end", a.send(in(5, produced(0, 7, 0, 3, 1))))
		want{-1, ErrTransactionEnded}.check(t, "a gap after the end", a.send(in(5, produced(0, 7, 0, 9, 1))))
		want{4, nil}.check(t, "the epoch's next transaction", a.send(in(6, produced(0, 7, 0, 3, 1))))
	})
}

// TestIngest_TransactionEndedElsewhere: a batch that was decided before another agent's marker landed is void,
// decided again and refused; one outside of a transaction whose end this agent has not seen is not.
func TestIngest_TransactionEndedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.agent(), w.agent()
		want{0, nil}.check(t, "the first", a.send(in(5, produced(0, 7, 0, 0, 1))))
		late := a.begin(in(5, produced(0, 7, 0, 1, 1)))
		if err := b.follower.Refresh(t.Context(), metastore.ShardJournal(0)); err != nil {
			t.Fatal(err)
		}
		b.end(7, 5, true)
		want{-1, ErrTransactionEnded}.check(t, "late", late())
		want{2, nil}.check(t, "a batch outside of transactions", a.send(produced(0, 7, 0, 1, 1)))
	})
}

// TestIngest_TransactionOfAClosedConnectionIsDropped: it must not stand in the next transaction of a
// producer that keeps its epoch.
func TestIngest_TransactionOfAClosedConnectionIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent()
		for _, x := range []uint64{5, shard.NoTransaction} {
			gone := make(chan struct{})
			s, err := a.Append(t.Context(), []Batch{in(x, produced(0, 7+int64(x), 0, 0, 1))}, gone, func() {})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(a.putTime / 2) // it is being uploaded
			close(gone)
			r, err := s.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if x != shard.NoTransaction {
				want{-1, ErrUnknown}.check(t, "of a transaction", r[0])
			} else {
				want{0, nil}.check(t, "of none", r[0])
			}
		}
	})
}
