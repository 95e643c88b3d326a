package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// Loss is what one journal lost, and what is or was done about it.
type Loss struct {
	metastore.LostTail
	Newest   metastore.Version // the newest version known, by the bucket too
	Segments []segment.ID      // that hold records which the journal doesn't have
	InPlace  Count             // put back at the versions and offsets that they had
	Behind   Count             // appended behind all that was lost
	Refused  Count             // not taken: there already, by their producers' sequences, or out of their order
	Left     Count             // of topics or partitions that are gone, or of transactions
	Jumps    []Jump
}

// Count is of batches.
type Count struct{ Batches, Records, Bytes int64 }

func (c *Count) add(b *found) {
	c.Batches++
	c.Records += int64(b.records)
	c.Bytes += b.Length
}

// Jump is what a partition's offsets were moved up by.
type Jump struct {
	Partition shard.PartitionID
	From, To  int64
}

// found is a batch of a segment that the journal doesn't have.
type found struct {
	shard.FlushBatch
	segment segment.ID
	records int32
	fit     bool // it can be appended
}

// lostSegment is a segment's part in one journal's lost tail.
type lostSegment struct {
	footer  *segment.Footer
	batches []*found
}

// footers are a term's segments, ascending.
type footers map[metastore.Term][]*segment.Footer

// readTerms reads what the segments of the terms say, the newest first, back to
// where each journal is known to have kept what the term appended.
func readTerms(ctx context.Context, b Bucket, lost []metastore.LostTail) (footers, error) {
	all := footers{}
	heads := map[metastore.JournalID]metastore.Version{}
	for _, l := range lost {
		heads[l.Journal] = l.Head
		for _, t := range l.Terms {
			all[t] = nil
		}
	}
	for t := range all {
		read, err := readTerm(ctx, b, t, heads)
		if err != nil {
			return nil, err
		}
		all[t] = read
	}
	return all, nil
}

// listStep is how many segments are listed at once, on the way back.
const listStep = 256

// settledMargin is how long before a segment's time a batch may have been uploaded
// that was appended after it, in ms: the longest that a batch waits in an agent, twice.
const settledMargin = 4 * 60 * 1000

func readTerm(ctx context.Context, b Bucket, t metastore.Term, heads map[metastore.JournalID]metastore.Version) ([]*segment.Footer, error) {
	last, err := lastSegment(ctx, b, t)
	if err != nil {
		return nil, err
	}
	var read []*segment.Footer
	unsettled := map[metastore.JournalID]bool{}
	for j := range heads {
		unsettled[j] = true
	}
	until := int64(0) // ms: what was written before is settled; 0: not known yet
	for end := last; end > 0; {
		first := end - min(end, listStep)
		objects, err := b.List(ctx, termPrefix(t), segment.ID{Term: uint64(t), Number: first}.Key(), int(end-first))
		if err != nil {
			return nil, fmt.Errorf("list the segments of term %d: %w", t, err)
		}
		for _, o := range slices.Backward(objects) {
			if id, ok := segment.ParseKey(o.Key); !ok || id.Number > end {
				continue
			}
			f, err := readFooter(ctx, b, o)
			if errors.Is(err, bucket.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			read = append(read, f)
			for _, fate := range f.Fates {
				if j := metastore.JournalID(fate.Journal); metastore.Version(fate.Version) <= heads[j] {
					delete(unsettled, j)
				}
			}
			if len(unsettled) == 0 && until == 0 {
				until = f.Written - settledMargin
			}
			if f.Written < until {
				slices.Reverse(read)
				return read, nil
			}
		}
		end = first
	}
	slices.Reverse(read)
	return read, nil
}

// replica is a journal's state as of what is left of it.
type replica struct {
	journal metastore.JournalID
	fold    *metastore.Fold
	state   *shard.State // of a shard's
	named   map[segment.ID][]span
}

// span is where bytes lie that an entry names.
type span struct{ from, to int64 }

// load folds the journal from its snapshot and entries.
func load(ctx context.Context, store Store, b Bucket, j metastore.JournalID) (*replica, error) {
	r := &replica{journal: j, state: shard.New(), named: map[segment.ID][]span{}}
	r.fold = metastore.NewFold(r.state)
	places, err := store.Snapshots(ctx, []metastore.JournalID{j})
	if err != nil {
		return nil, err
	}
	if len(places) > 0 {
		p := places[0]
		body, err := b.Get(ctx, p.Object, 0, -1)
		if err != nil {
			return nil, fmt.Errorf("load the snapshot of %v: %w", j, err)
		}
		if metastore.SnapshotHash(body) != p.Hash {
			return nil, fmt.Errorf("the snapshot %s is not what was written", p.Object)
		}
		if err := r.fold.Restore(p.Version, body); err != nil {
			return nil, err
		}
	}
	for {
		tails, err := store.Read(ctx, []metastore.Position{{Journal: j, After: r.fold.Version()}}, 8<<20)
		if err != nil {
			return nil, err
		}
		if tails[0].Trimmed {
			return nil, fmt.Errorf("%v is trimmed after version %d and has no later snapshot", j, r.fold.Version())
		}
		for _, e := range tails[0].Entries {
			if err := r.apply(e.Version, e.Payload, nil); err != nil {
				return nil, err
			}
		}
		if r.fold.Version() >= tails[0].Head {
			break
		}
	}
	for _, id := range r.state.Partitions() {
		start, _, _, _ := r.state.Bounds(id)
		if merged, _ := r.state.Merged(id); merged.To > start {
			start = merged.To
		}
		for _, e := range r.state.Plan(id, start, 1<<62, nil) {
			if !e.IsMarker() {
				r.names(e.Segment, e.Position, e.Length)
			}
		}
	}
	return r, nil
}

// apply folds an entry and notes which bytes it names, stood they or not.
func (r *replica) apply(v metastore.Version, payload []byte, want func(metastore.Header) bool) error {
	if _, err := r.fold.Apply(v, payload, want); err != nil {
		return fmt.Errorf("%v: %w", r.journal, err)
	}
	h, effects, err := metastore.ParseEntry(payload)
	for err == nil {
		kind, body, ok, nextErr := effects.Next()
		if err = nextErr; !ok {
			break
		}
		if kind != metastore.EffectFlush {
			continue
		}
		number, batches, flushErr := shard.ReadFlush(body)
		if err = flushErr; err == nil {
			for _, b := range batches {
				r.names(segment.ID{Term: uint64(h.Term), Number: number}, b.Position, b.Length)
			}
		}
	}
	return err
}

func (r *replica) names(id segment.ID, position, length int64) {
	r.named[id] = append(r.named[id], span{position, position + length})
}

func (r *replica) has(id segment.ID, position int64) bool {
	return slices.ContainsFunc(r.named[id], func(s span) bool { return s.from <= position && position < s.to })
}

// missing returns the parts of the terms' segments that the journal doesn't have, in
// the order of the terms and segments.
func (r *replica) missing(ctx context.Context, b Bucket, all footers, sh int) ([]*lostSegment, error) {
	topics := map[[16]byte]uint64{}
	for _, p := range r.state.Partitions() {
		if id, ok := r.state.TopicID(p.Topic); ok {
			topics[id] = p.Topic
		}
	}
	var terms []metastore.Term
	for t := range all {
		terms = append(terms, t)
	}
	slices.Sort(terms)
	var missing []*lostSegment
	for _, t := range terms {
		for _, f := range all[t] {
			s := &lostSegment{footer: f}
			for i := range f.Runs {
				if f.Runs[i].Shard != sh {
					continue
				}
				if err := r.missingOf(ctx, b, s, &f.Runs[i], topics); err != nil {
					return nil, err
				}
			}
			if len(s.batches) > 0 {
				missing = append(missing, s)
			}
		}
	}
	return missing, nil
}

// missingOf adds the batches of a run that the journal doesn't have.
func (r *replica) missingOf(ctx context.Context, b Bucket, s *lostSegment, run *segment.Run, topics map[[16]byte]uint64) error {
	lacks := false
	for position := range run.Each() {
		lacks = lacks || !r.has(s.footer.ID, position)
	}
	if !lacks {
		return nil
	}
	body, err := b.Get(ctx, s.footer.ID.Key(), run.Position, run.Length)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.footer.ID.Key(), err)
	}
	if _, err := s.footer.VerifyRange(run.Position, body); err != nil {
		return fmt.Errorf("read %s: %w", s.footer.ID.Key(), err)
	}
	topic, open := topics[run.Topic]
	id := shard.PartitionID{Topic: topic, Index: run.Partition}
	if open {
		_, _, _, open = r.state.Bounds(id)
	}
	for position, length := range run.Each() {
		if r.has(s.footer.ID, position) {
			continue
		}
		h, err := batch.Parse(body[position-run.Position:])
		if err != nil {
			return fmt.Errorf("read %s: %w", s.footer.ID.Key(), err)
		}
		f := &found{segment: s.footer.ID, records: h.Records, fit: open && !h.Transactional(), FlushBatch: shard.FlushBatch{
			Partition: id, Position: position, Length: int64(length), Offsets: h.LastOffsetDelta + 1,
			MaxTimestamp: h.MaxTimestamp, LogAppendTime: h.LogAppendTime(),
			ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, BaseSequence: h.BaseSequence,
		}}
		s.batches = append(s.batches, f)
	}
	return nil
}

// step is an entry that is put back as it was: nothing, or a segment's part.
type step struct {
	term    metastore.Term
	segment *lostSegment // nil: the entry held none of what is missing
}

// fate says which entry of a term had a version, and where the bucket says so.
type fate struct {
	term   metastore.Term
	number uint64
	listed uint64 // the segment that lists it: the entry had landed before that began
}

// fates returns what the bucket knows of the versions after head.
func (all footers) fates(j metastore.JournalID, head metastore.Version) (known map[metastore.Version]fate, newest metastore.Version) {
	known, newest = map[metastore.Version]fate{}, head
	for t, of := range all {
		for _, f := range of {
			for _, x := range f.Fates {
				v := metastore.Version(x.Version)
				if metastore.JournalID(x.Journal) != j || v <= head {
					continue
				}
				newest = max(newest, v)
				if _, twice := known[v]; !twice {
					known[v] = fate{t, x.Number, f.ID.Number}
				}
			}
		}
	}
	return known, newest
}

// certain returns the entries after the head as they were, up to the first of which
// the bucket doesn't tell beyond doubt what it held.
func (r *replica) certain(known map[metastore.Version]fate, missing []*lostSegment) []step {
	queue := map[metastore.Term][]*lostSegment{}
	for _, s := range missing {
		t := metastore.Term(s.footer.ID.Term)
		queue[t] = append(queue[t], s)
	}
	numbers := map[metastore.Term]uint64{}
	var steps []step
	for v := r.fold.Version() + 1; ; v++ {
		f, ok := known[v]
		if !ok {
			return steps
		}
		if _, seen := numbers[f.term]; !seen {
			numbers[f.term] = r.fold.Number(f.term)
		}
		if f.number != numbers[f.term]+1 {
			return steps // entries of it, of which the bucket says nothing, stood between
		}
		numbers[f.term]++
		q := queue[f.term]
		if len(q) == 0 || q[0].footer.ID.Number >= f.listed {
			steps = append(steps, step{term: f.term}) // what is next began when this had landed
			continue
		}
		if len(q) > 1 && q[1].footer.ID.Number < f.listed {
			return steps // either may be in it, or both
		}
		if slices.ContainsFunc(q[0].batches, func(b *found) bool { return !b.fit }) {
			return steps
		}
		steps = append(steps, step{term: f.term, segment: q[0]})
		queue[f.term] = q[1:]
	}
}

// inOrder sorts what can't be put in its place by what is known of its time.
func inOrder(rest []*lostSegment) {
	slices.SortStableFunc(rest, func(a, b *lostSegment) int {
		if a.footer.ID.Term == b.footer.ID.Term {
			return cmp.Compare(a.footer.ID.Number, b.footer.ID.Number)
		}
		return cmp.Compare(a.footer.Written, b.footer.Written)
	})
}
