package transaction

import (
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/shard"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// flight is one append: the effects of several ids, and what goes along with them into
// shards and groups.
type flight struct {
	own     metastore.JournalID // the lane's
	strict  bool
	expect  metastore.Version // of the state that all of it was judged on
	drafts  map[metastore.JournalID][]byte
	order   []metastore.JournalID // of drafts, without the lane's
	effects int                   // in the lane's journal
	flying  []seat
	settled []seat
}

// seat is a request in a flight.
type seat struct {
	request  *request
	verdict  verdict
	effect   int  // its place among the effects of the lane's journal; -1: it has none there
	strict   bool // its markers go along
	prepared bool // its markers are still to be appended
}

// gather judges what waits, in order, and takes at most one effect of each id.
func (l *lane) gather() *flight {
	f := &flight{own: metastore.TransactionsJournal(l.journal), drafts: map[metastore.JournalID][]byte{}}
	queue := l.take()
	if len(queue) == 0 {
		return f
	}
	strict := !l.c.now().Before(l.strictAfter)
	stopped := l.stopped()
	taken := map[string]bool{}
	var rest []*request
	metastore.ViewAt(l.replica(), func(s *stored.State, v metastore.Version) {
		f.expect = v
		for _, r := range queue {
			if r.left != nil && r.left() {
				// Its client asks again elsewhere, maybe, and may be in another transaction by now.
				continue
			}
			if taken[r.id] {
				rest = append(rest, r)
				continue
			}
			x := seat{request: r, verdict: r.judge(s), effect: -1}
			switch {
			case x.verdict.settled():
				f.settled = append(f.settled, x)
				continue
			case !l.board(f, &x, s.Get(r.id), strict && !r.alone, stopped):
				rest = append(rest, r)
			}
			taken[r.id] = true
		}
	})
	if len(rest) > 0 {
		l.putBack(rest)
	}
	return f
}

// stopped tells which journals take nothing more.
func (l *lane) stopped() func(metastore.JournalID) bool {
	return func(id metastore.JournalID) bool { return l.c.deps.Follower.Replica(id).Err() != nil }
}

// part is what goes along into another journal.
type part struct {
	journal metastore.JournalID
	effect  []byte
}

// board adds what a request appends; false if it doesn't fit any more. t is its id's state.
func (l *lane) board(f *flight, x *seat, t *stored.Transaction, strict bool, stopped func(metastore.JournalID) bool) bool {
	switch v := &x.verdict; {
	case v.effect != nil:
		return f.add(x, []part{{f.own, v.effect}})
	case v.finish != nil:
		return l.boardFinish(f, x, stopped)
	default:
		d := *v.decision
		if !d.Ongoing || len(t.Topics) == 0 && len(t.Groups) == 0 {
			d.Complete = true
			return f.add(x, []part{{f.own, stored.AppendDecided(nil, d)}})
		}
		if parts, size := l.c.ends(t, stored.Ending{ProducerID: d.ProducerID, Epoch: d.MarkerEpoch, Commit: d.Commit}); strict && size <= l.c.cfg.EndBytesMax {
			live := true
			for _, p := range parts {
				live = live && !stopped(p.journal)
			}
			d.Complete, d.Partitions, d.Groups = true, t.Partitions(), len(t.Groups)
			if live && f.add(x, append([]part{{f.own, stored.AppendDecided(nil, d)}}, parts...)) {
				x.strict, f.strict = true, true
				f.flying[len(f.flying)-1].strict = true
				return true
			}
			d.Complete, d.Partitions, d.Groups = false, 0, 0
		}
		x.prepared = true
		return f.add(x, []part{{f.own, stored.AppendDecided(nil, d)}})
	}
}

// boardFinish adds the markers, ends and completion of a Prepared transaction. Where a journal
// that it touched has stopped, the others get theirs, and it stays Prepared.
func (l *lane) boardFinish(f *flight, x *seat, stopped func(metastore.JournalID) bool) bool {
	t := x.verdict.finish
	parts, _ := l.c.ends(t, t.Ending())
	live := make([]part, 0, len(parts)+1)
	for _, p := range parts {
		if !stopped(p.journal) {
			live = append(live, p)
		}
	}
	switch {
	case len(live) == len(parts):
		delete(l.partly, t.ID)
		return f.add(x, append(live, part{f.own, stored.AppendCompleted(nil, stored.Completion{ID: t.ID, Number: t.Number})}))
	case len(live) == 0 || l.partly[t.ID] == t.Number:
		x.verdict = verdict{}
		f.settled = append(f.settled, *x)
		return true
	}
	if !f.add(x, live) {
		return false
	}
	l.partly[t.ID] = t.Number
	return true
}

// add takes the parts into the append if all of them fit.
func (f *flight) add(x *seat, parts []part) bool {
	for _, p := range parts {
		if len(f.drafts[p.journal])+len(p.effect) > effectsBytesMax {
			return false
		}
	}
	for _, p := range parts {
		effects, known := f.drafts[p.journal]
		if p.journal == f.own {
			x.effect = f.effects
			f.effects++
		} else if !known {
			f.order = append(f.order, p.journal)
		}
		f.drafts[p.journal] = append(effects, p.effect...)
	}
	f.flying = append(f.flying, *x)
	return true
}

// list returns the drafts, the lane's own first.
func (f *flight) list() []metastore.Draft {
	drafts := make([]metastore.Draft, 0, 1+len(f.order))
	if f.effects > 0 {
		drafts = append(drafts, metastore.Draft{Journal: f.own, Effects: f.drafts[f.own], Strict: f.strict, Expect: f.expect, Blind: true})
	}
	for _, id := range f.order {
		drafts = append(drafts, metastore.Draft{Journal: id, Effects: f.drafts[id]})
	}
	return drafts
}

// coordinatorEpoch is what markers tell; epochs of coordinators are terms here, which guard by themselves.
const coordinatorEpoch = 0

// ends are the markers of a transaction, and the ends of what it has pending in groups.
func (c *Coordinator) ends(t *stored.Transaction, ending stored.Ending) (parts []part, size int) {
	for _, m := range t.Markers(ending, coordinatorEpoch, max(0, c.now().UnixMilli()), c.cfg.Shards) {
		parts = append(parts, part{metastore.ShardJournal(m.Shard), shard.AppendMarker(nil, m.Marker)})
	}
	journals := map[int]bool{}
	for _, id := range t.Groups {
		i := group.Journal(id, c.cfg.Groups)
		if journals[i] {
			continue
		}
		journals[i] = true
		parts = append(parts, part{metastore.GroupsJournal(i), group.AppendEnded(nil, group.Ended{
			Producer: ending.ProducerID, Transaction: t.Number, Commit: ending.Commit})})
	}
	for _, p := range parts {
		size += len(p.effect)
	}
	return parts, size
}

func (c *Coordinator) now() time.Time { return c.deps.Clock() }
