package broker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// abortHanging asks for the abort of a producer's transaction in partition 0, and returns its code.
func (x txn) abortHanging(topic string, epoch int16, commit bool) int16 {
	x.a.t.Helper()
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = 1
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed = x.who, epoch, commit
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{0}}}
	req.Markers = append(req.Markers, m)
	return call[*kmsg.WriteTxnMarkersResponse](x.a, req).Markers[0].Topics[0].Partitions[0].ErrorCode
}

// TestWriteTxnMarkers: what nobody's transaction has left open is aborted, once; of a transaction that has a coordinator
// nothing is.
func TestWriteTxnMarkers(t *testing.T) {
	a := newReader(t)
	a.create("topic", 1, nil)
	const transactionCoordinatorFenced int16 = 52
	x := a.initTxn("id")
	wantCodes(t, "nothing is open", []int16{x.abortHanging("topic", x.epoch, false)}, none)
	wantCodes(t, "produce", x.produce(12, "topic", 0, 0), none)
	wantCodes(t, "an ongoing one", []int16{x.abortHanging("topic", x.epoch, false)}, transactionCoordinatorFenced)
	wantCodes(t, "a commit", []int16{x.abortHanging("topic", x.epoch, true)}, invalidRequest)
	wantCodes(t, "an unknown topic", []int16{x.abortHanging("nobody", x.epoch, false)}, unknownTopic)
	x.mustEnd(5, true)

	// A batch of a producer that no id has, as a bug would leave it.
	topic := a.broker.topic("topic")
	p, err := a.broker.place(topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	nobody := txn{a: a, who: 1 << 40, epoch: 3}
	flush := shard.AppendFlush(nil, 1<<20, []shard.FlushBatch{{Partition: p.id, Length: 1, Offsets: 1, ProducerID: nobody.who, Epoch: nobody.epoch, Transaction: 7}})
	if _, err := a.broker.deps.Writer.Append(t.Context(), []metastore.Draft{{Journal: metastore.ShardJournal(p.shard), Effects: flush}}); err != nil {
		t.Fatal(err)
	}
	open := func() (n int) {
		if err := a.broker.viewShard(p.shard, func(s *shard.State) { n = len(s.OpenTransactions(p.id, 10)) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	wantCodes(t, "an epoch before", []int16{nobody.abortHanging("topic", nobody.epoch-1, false)}, invalidEpoch)
	if n := open(); n != 1 {
		t.Fatalf("%d are open", n)
	}
	for _, what := range []string{"a hanging one", "again"} {
		wantCodes(t, what, []int16{nobody.abortHanging("topic", nobody.epoch, false)}, none)
	}
	if n := open(); n != 0 {
		t.Errorf("%d are open", n)
	}
}

// afterRead calls f after a read of a store, the nth from when it was armed.
type afterRead struct {
	metastore.Store
	left atomic.Int64
	f    func()
}

func (s *afterRead) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	tails, err := s.Store.Read(ctx, positions, bytesMax)
	if s.left.Add(-1) == 0 {
		s.f()
	}
	return tails, err
}

// TestWriteTxnMarkers_BesideABegin: a transaction that begins while the request is looked at, under the epoch that it names, isn't
// taken for one that hangs: its other partitions would be committed, and this one not.
func TestWriteTxnMarkers_BesideABegin(t *testing.T) {
	for nth := range int64(4) {
		t.Run(fmt.Sprint("after read ", nth+1), func(t *testing.T) {
			store := newStore()
			slow := &afterRead{Store: store}
			a, b := newReaders(t, store, 1, options{store: slow})[0], newReaders(t, store, 1, options{})[0]
			b.create("topic", 2, nil)
			x := b.initTxn("id")
			wantCodes(t, "add", x.add(3, "topic", 0, 1), none)
			wantCodes(t, "produce", x.produce(11, "topic", 0, 0, 1), none)
			x.mustEnd(4, true)
			begin := func() {
				wantCodes(t, "add in the next", x.add(3, "topic", 0, 1), none)
				wantCodes(t, "produce in the next", x.produce(11, "topic", 1, 0, 1), none)
			}
			begun := false
			slow.f = func() { begun = true; begin() }
			slow.left.Store(nth + 1)
			x.at(a).abortHanging("topic", x.epoch, false)
			if slow.left.Store(0); !begun {
				begin()
			}
			x.mustEnd(4, true)
			if got := b.committed("topic", 0, 1); len(got) != 4 {
				t.Errorf("committed %q", got)
			}
		})
	}
}
