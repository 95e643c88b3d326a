package transaction

import (
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// Stats are of the transactional ids that this agent coordinates: what it has decided, and
// what there is.
type Stats struct {
	Committed, Aborted, TimedOut int64 // decided here; TimedOut are none of the aborted
	IDs, Ongoing, Prepared       int
	OldestFor                    time.Duration // since the oldest ongoing transaction began
}

// ended counts the transactions that were decided here.
type ended struct{ committed, aborted, timedOut atomic.Int64 }

// count counts a decision that stands. One about no transaction only fences.
func (e *ended) count(v *verdict) {
	switch d := v.decision; {
	case d == nil || !d.Ongoing:
	case v.timedOut:
		e.timedOut.Add(1)
	case d.Commit:
		e.committed.Add(1)
	default:
		e.aborted.Add(1)
	}
}

// Stats returns them. It walks the ongoing transactions.
func (c *Coordinator) Stats() Stats {
	s := Stats{Committed: c.ended.committed.Load(), Aborted: c.ended.aborted.Load(), TimedOut: c.ended.timedOut.Load()}
	now := c.now().UnixMilli()
	for _, l := range c.lanes {
		if !c.owns(l.journal) {
			continue
		}
		metastore.View(l.replica(), func(state *stored.State) {
			n := state.Counts()
			s.IDs += n.IDs
			s.Ongoing += n.Ongoing
			s.Prepared += n.Prepared
			for _, t := range state.Ongoing() {
				s.OldestFor = max(s.OldestFor, time.Duration(now-t.Started)*time.Millisecond)
			}
		})
	}
	return s
}
