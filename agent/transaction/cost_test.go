package transaction

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// TestEnd_RoundTrips: how long an answer takes, in ways to the metastore and back, and what it costs.
func TestEnd_RoundTrips(t *testing.T) {
	const trip = 10 * time.Millisecond
	for _, r := range []struct {
		name        string
		partitions  int32
		endBytesMax int
		meanwhile   bool // another agent has appended to the journal, unseen
		trips       time.Duration
		want        metastore.Statements // until it is complete
	}{
		{"one partition", 1, 64 << 10, false, 1, metastore.Statements{Append: 1, Parts: 2}},
		{"10 partitions of 4 shards", 10, 64 << 10, false, 1, metastore.Statements{Append: 1, Parts: 5}},
		{"100 partitions", 100, 64 << 10, false, 1, metastore.Statements{Append: 1, Parts: 5}},
		{"too many markers to go along", 1000, 100, false, 1, metastore.Statements{Append: 2, Parts: 1 + 5}},
		// What was refused, with a read beside the decision alone; then the rest.
		{"others append meanwhile", 100, 64 << 10, true, 2, metastore.Statements{Append: 3, Parts: 5 + 1 + 5, Read: 1}},
	} {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				a := w.start(func(c *Config, _ *Deps) { c.EndBytesMax = r.endBytesMax })
				who := a.init()
				a.enter(entry(who, true, r.partitions))
				time.Sleep(300 * time.Millisecond) // Between two polls.
				if r.meanwhile {
					other := w.start(nil)
					other.land(metastore.Draft{Journal: metastore.TransactionsJournal(0), Effects: stored.AppendCompleted(nil, stored.Completion{ID: "nobody", Number: 1})})
					other.stop()
				}
				w.trip.Store(int64(trip))
				before, began := a.counting.Statements(), time.Now()
				_, err := a.end(who, true, true)
				w.check(err)
				if took := time.Since(began); took != r.trips*trip {
					t.Errorf("answered after %v", took)
				}
				time.Sleep(3 * trip)
				if got := a.counting.Statements().Since(before); got != r.want {
					t.Errorf("%+v", got)
				}
				if got := a.status(); got != stored.CompleteCommit {
					t.Errorf("it is %v", got)
				}
			})
		})
	}
}
