package fetch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// reading is one fetch between its request and its answer.
type reading struct {
	f        *Fetcher
	req      *Request
	asks     []Ask
	bytesMax int
	minBytes int64
	parts    []part
	extents  []shard.Extent             // planned ones of all parts
	aborted  []shard.AbortedTransaction // those that a reader of them must know of
	found    int                        // parts whose partition was resolved
	span     *trace.Span                // of the request; nil: not recorded
}

// part is one partition of a reading.
type part struct {
	place Place
	err   error
	// fixed says that the partition was not resolved: looking again changes nothing.
	fixed bool
	// doubt says that the replica must be refreshed before this may be said.
	doubt     bool
	preferred int32 // node id of the agent to read it from; 0: this one
	diverging bool
	// lastStable is told to every reader; upper is where this one's view ends.
	logStart, highWatermark, lastStable, upper int64
	first, planned                             int   // of reading.extents
	abortedFrom, abortedTo                     int   // of reading.aborted
	bytes                                      int64 // estimate of what the plan comes to

	// Of an offset that is merged: what the table tells, unless nobody has asked it yet.
	missing     bool
	missingFrom int64 // the offset that the table is to be asked for
	merged      shard.Merged
	chunk       *chunk   // read for this fetch
	used        []*chunk // what the plan is of
	tableErr    error
}

func (f *Fetcher) newReading(req *Request, asks []Ask) *reading {
	rd := &reading{f: f, req: req, asks: asks, parts: make([]part, len(asks))}
	rd.bytesMax = min(max(req.MaxBytes, 0), f.cfg.ResponseBytesMax)
	rd.minBytes = int64(min(req.MinBytes, rd.bytesMax))
	for i := range asks {
		p := &rd.parts[i]
		p.place, p.err = f.deps.Resolve(asks[i].Key)
		if p.err == nil {
			rd.found++
			if req.Preferred != nil {
				p.preferred = req.Preferred(p.place.Shard)
			}
			continue
		}
		p.fixed = true
		if req.TopicIDs && asks[i].Topic == (Topic{}) {
			p.err = ErrUnknownTopicID
		}
	}
	return rd
}

// wait returns when the fetch can be answered: there is enough to read, or the
// time is over, or an error is to be told.
func (rd *reading) wait(ctx context.Context) {
	began := rd.f.deps.Clock()
	wait := min(rd.req.MaxWait, rd.f.cfg.WaitMax)
	rd.settle(ctx)
	rd.tracePlanned(began)
	if wait <= 0 || rd.ready() {
		return
	}
	rd.f.counts.waits.Add(1)
	defer rd.traceWaited(rd.traceWait())
	watched := make([]shard.PartitionID, 0, rd.found)
	for i := range rd.parts {
		if !rd.parts[i].fixed {
			watched = append(watched, rd.parts[i].place.ID)
		}
	}
	watch := rd.f.deps.Hub.Watch(watched)
	defer watch.Close()
	timer := time.NewTimer(wait - rd.f.deps.Clock().Sub(began))
	defer timer.Stop()
	for {
		rd.settle(ctx)
		if rd.ready() {
			return
		}
		select {
		case <-watch.Wake():
		case <-timer.C:
			rd.settle(ctx)
			return
		case <-rd.req.Hurry:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ready tells whether there is enough to answer, or something to say at once. A
// partition that was unknown from the begin does not hurry, as in Apache Kafka: its
// reader would ask again and again.
func (rd *reading) ready() bool {
	if rd.found == 0 {
		return true
	}
	bytes := int64(0)
	for i := range rd.parts {
		p := &rd.parts[i]
		if p.diverging || p.preferred != 0 || p.err != nil && !p.fixed {
			return true
		}
		bytes += p.bytes
	}
	return bytes >= rd.minBytes
}

// settle looks at all partitions, and again after a refresh of those in doubt.
func (rd *reading) settle(ctx context.Context) {
	rd.look(ctx, nil)
	rd.lookFresh(ctx, func(p *part) bool { return p.doubt })
}

// lookFresh refreshes the shards of the chosen partitions and looks at all again. If
// the refresh fails, all stays as it was: what is in doubt is ErrStale.
func (rd *reading) lookFresh(ctx context.Context, chosen func(*part) bool) {
	var journals []metastore.JournalID
	var fresh []bool // by shard
	for i := range rd.parts {
		if p := &rd.parts[i]; !p.fixed && chosen(p) {
			if fresh == nil {
				fresh = make([]bool, len(rd.f.answered))
			}
			if !fresh[p.place.Shard] {
				fresh[p.place.Shard] = true
				journals = append(journals, metastore.ShardJournal(p.place.Shard))
			}
		}
	}
	if journals == nil {
		return
	}
	rd.span.Mark(trace.Refreshed)
	if rd.f.refresh(ctx, journals) == nil {
		rd.look(ctx, fresh)
	}
}

// refresh waits until the replicas hold all that had been appended.
func (f *Fetcher) refresh(ctx context.Context, journals []metastore.JournalID) error {
	slices.Sort(journals)
	f.counts.refreshes.Add(1)
	ctx, cancel := context.WithTimeout(ctx, f.cfg.RefreshWaitMax)
	defer cancel()
	return f.deps.Refresher.Refresh(ctx, slices.Compact(journals)...)
}

// tableAsksMax bounds how often a look asks the tables: a partition's rows may be
// exchanged between the question and the next look.
const tableAsksMax = 4

// look plans all partitions, on what the tables tell where their offsets are merged.
// fresh tells which shards have been refreshed, so that nothing of theirs is in doubt; nil: none.
func (rd *reading) look(ctx context.Context, fresh []bool) {
	for range tableAsksMax {
		rd.lookOnce(fresh)
		if !rd.askTable(ctx) {
			return
		}
	}
	rd.lookOnce(fresh)
}

// lookOnce plans all partitions in the order of the request.
func (rd *reading) lookOnce(fresh []bool) {
	rd.extents, rd.aborted = rd.extents[:0], rd.aborted[:0]
	left := rd.bytesMax
	nothing := true // no partition had anything yet: the first batch goes along however large
	for i := range rd.parts {
		p := &rd.parts[i]
		if p.fixed {
			continue
		}
		partMax := budget(&rd.asks[i], left)
		if nothing {
			partMax = max(partMax, 1)
		}
		rd.lookAt(p, &rd.asks[i], partMax, fresh != nil && fresh[p.place.Shard])
		if p.planned > 0 {
			nothing = false
			p.bytes = min(p.bytes, int64(partMax))
			left = max(0, left-int(p.bytes))
		}
	}
}

// lookAt plans one partition on one version of its shard.
func (rd *reading) lookAt(p *part, ask *Ask, bytesMax int, fresh bool) {
	p.err, p.doubt, p.diverging, p.missing = nil, false, false, false
	p.first, p.planned, p.bytes = len(rd.extents), 0, 0
	p.abortedFrom, p.abortedTo = len(rd.aborted), len(rd.aborted)
	if p.err = epochError(ask.CurrentEpoch); p.err != nil {
		return
	}
	p.err, p.doubt = rd.f.view(p.place.Shard, fresh, func(s *shard.State) (err error, doubt bool) {
		logStart, highWatermark, lastStable, ok := s.Bounds(p.place.ID)
		if !ok {
			return ErrUnknownPartition, true
		}
		p.logStart, p.highWatermark, p.lastStable, p.upper = logStart, highWatermark, lastStable, highWatermark
		if rd.req.ReadCommitted {
			p.upper = lastStable
		}
		if ask.LastEpoch > 0 { // no record ever had such an epoch
			return ErrOffsetOutOfRange, false
		}
		if ask.Offset > highWatermark {
			if ask.LastEpoch == 0 {
				p.diverging = true
				return nil, true
			}
			return fmt.Errorf("%w: %d of %d to %d", ErrOffsetOutOfRange, ask.Offset, logStart, highWatermark), true
		}
		if ask.Offset < logStart { // a log start never goes back: no doubt
			return fmt.Errorf("%w: %d of %d to %d", ErrOffsetOutOfRange, ask.Offset, logStart, highWatermark), false
		}
		if bytesMax <= 0 || ask.Offset >= p.upper || p.preferred != 0 {
			return nil, false
		}
		if p.merged, _ = s.Merged(p.place.ID); ask.Offset < p.merged.To {
			err, doubt = rd.planMerged(p, s, ask.Offset, bytesMax)
		} else {
			rd.extents = s.Plan(p.place.ID, ask.Offset, bytesMax, rd.extents)
		}
		for n := len(rd.extents); n > p.first && rd.extents[n-1].BaseOffset >= p.upper; n-- {
			rd.extents = rd.extents[:n-1]
		}
		if n := len(rd.extents); rd.req.ReadCommitted && n > p.first {
			// Of the same version as the last stable offset and the extents: never torn (GUARDS 17).
			rd.planAborted(p, s, ask.Offset, min(p.upper, rd.extents[n-1].End()))
		}
		return err, doubt
	})
	if p.doubt && fresh {
		p.doubt = false
	} else if p.doubt {
		p.err = ErrStale // unless a refresh says better
		p.diverging = false
	}
	for _, e := range rd.extents[p.first:] {
		p.planned++
		p.bytes += coming(e, ask.Offset, p.upper)
	}
}

// coming estimates the bytes of an extent's batches from offset on and below upper.
func coming(e shard.Extent, offset, upper int64) int64 {
	from, to := max(offset, e.BaseOffset), min(upper, e.End())
	switch {
	case to <= from:
		return 0
	case to-from == int64(e.Records):
		return e.Bytes()
	}
	return max(1, int64(float64(e.Length)*float64(to-from)/float64(e.Records)))
}

// view calls see with the state of a shard that may be told to readers. It returns
// what see says; doubt says that only a refreshed replica may say it.
func (f *Fetcher) view(i int, fresh bool, see func(*shard.State) (err error, doubt bool)) (err error, doubt bool) {
	r := f.deps.Replica(i)
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err), false
	}
	if f.deps.Clock().Sub(r.FreshAt()) > f.cfg.StalenessMax {
		return ErrStale, !fresh
	}
	metastore.ViewAt(r, func(s *shard.State, v metastore.Version) {
		if !f.newest(i, v) {
			err, doubt = ErrStale, !fresh
			return
		}
		err, doubt = see(s)
	})
	return err, doubt
}

// newest notes that a version answers, unless a higher one has: then no reader may
// see it, or a high watermark that it was told would go back.
func (f *Fetcher) newest(shard int, v metastore.Version) bool {
	for {
		last := f.answered[shard].Load()
		if uint64(v) < last {
			return false
		}
		if uint64(v) == last || f.answered[shard].CompareAndSwap(last, uint64(v)) {
			return true
		}
	}
}

// budget is what a partition of a request may have.
func budget(ask *Ask, left int) int { return min(max(int(ask.BytesMax), 0), left) }
