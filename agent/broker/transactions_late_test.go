package broker

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/bucket"
)

// heldPut holds the next PUT of one agent.
type heldPut struct {
	bucket.Bucket
	hold          atomic.Bool
	began, goesOn chan struct{}
}

func (h *heldPut) Put(ctx context.Context, key string, body []byte) error {
	if h.hold.CompareAndSwap(true, false) {
		close(h.began)
		<-h.goesOn
	}
	return h.Bucket.Put(ctx, key, body)
}

// TestTransactions_BatchHeldOverTheEnd: a batch that an agent took for a transaction, and could upload only after another one
// had aborted it and the next one had begun, is in neither. The next one has what its producer sent in it.
func TestTransactions_BatchHeldOverTheEnd(t *testing.T) {
	for _, r := range []struct {
		version2     bool
		produce, end int16
		sequence     int32 // of the next transaction's batch, sent again from where the aborted one was resolved
		late         int16
	}{
		// By sequence it is a repeat of the next one's: one epoch has both.
		{false, 11, 4, 1, none},
		{true, 12, 5, 0, invalidEpoch},
	} {
		t.Run(fmt.Sprintf("version 2: %t", r.version2), func(t *testing.T) {
			h := &heldPut{began: make(chan struct{}), goesOn: make(chan struct{})}
			agents := newReaders(t, newStore(), 2, options{bucket: func(b bucket.Bucket) bucket.Bucket {
				if h.Bucket != nil {
					return b
				}
				h.Bucket = b
				return h
			}})
			a, b := agents[0], agents[1]
			a.create("topic", 1, nil)
			x := a.initTxn("id")
			begin := func(x txn) {
				if !r.version2 {
					wantCodes(t, "add", x.add(3, "topic", 0), none)
				}
			}
			begin(x)
			wantCodes(t, "produce", x.produce(r.produce, "topic", 0, 0), none)
			h.hold.Store(true)
			late := make(chan []int16, 1)
			go func() { late <- x.produce(r.produce, "topic", 1, 0) }()
			<-h.began
			next := x.at(b).mustEnd(r.end, false)
			begin(next)
			req := next.produceRequest(r.produce, "topic", 0, 0)
			req.Topics[0].Partitions[0].Records = next.batch(r.sequence, "next")
			if code := call[*kmsg.ProduceResponse](b, req).Topics[0].Partitions[0].ErrorCode; code != none {
				t.Errorf("produce in the next: %d", code)
			}
			close(h.goesOn)
			wantCodes(t, "the late batch", <-late, r.late)
			next.mustEnd(r.end, true)
			if got := a.committed("topic", 0); !slices.Equal(got, []string{"next"}) {
				t.Errorf("committed %q", got)
			}
			if got := a.read("topic", 0, 0); !slices.Equal(got, []string{"value", "next"}) {
				t.Errorf("there are %q", got)
			}
		})
	}
}

// TestTransactions_LateInVersion1: what comes late from a transaction whose epoch has a next one. As in Kafka nothing tells some
// of it from the next one's; what does is refused, and no partition is left with a transaction that nobody ends.
func TestTransactions_LateInVersion1(t *testing.T) {
	agents := newReaders(t, newStore(), 2, options{})
	a, b := agents[0], agents[1]
	a.create("topic", 3, nil)
	x := a.initTxn("id")
	wantCodes(t, "add", x.add(3, "topic", 0, 1), none)
	wantCodes(t, "produce", x.produce(11, "topic", 0, 0), none)
	x.mustEnd(4, true)

	wantCodes(t, "a batch between two", x.at(b).produce(11, "topic", 0, 1), abortable)
	wantCodes(t, "offsets between two", []int16{x.at(b).commitOffset(3, "group", "topic", 1)}, invalidState)
	if _, code := x.at(b).end(4, true); code != none {
		t.Errorf("the commit again: %d", code)
	}
	if _, code := x.at(b).end(4, false); code != invalidState {
		t.Errorf("an abort after the commit: %d", code)
	}

	wantCodes(t, "add", x.add(3, "topic", 0), none)
	// b knew the partition in the transaction before.
	wantCodes(t, "a batch where the next one isn't", x.at(b).produce(11, "topic", 0, 1), abortable)
	wantCodes(t, "offsets of a group that the next one hasn't", []int16{x.at(b).commitOffset(3, "group", "topic", 1)}, invalidState)
	wantCodes(t, "a late addition", x.at(b).add(3, "topic", 2), none) // it is one of the next one's, and ends with it
	wantCodes(t, "produce in the next, elsewhere", x.at(b).produce(11, "topic", 1, 0), none)
	x.mustEnd(4, false)
	wantCodes(t, "a late addition begins one", x.at(b).add(3, "topic", 2), none)
	wantCodes(t, "which the next one joins", x.add(3, "topic", 0), none)
	wantCodes(t, "produce in it", x.produce(11, "topic", 2, 0), none)
	x.mustEnd(4, true)
	if got := b.committed("topic", 0, 1, 2); len(got) != 2 {
		t.Errorf("committed %q", got)
	}
	if got := b.read("topic", 0, 0); len(got) != 3 {
		t.Errorf("there are %q", got)
	}
}
