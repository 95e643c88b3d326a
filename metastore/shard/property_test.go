package shard

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// history is a random history of a shard's journal, written by agents that lag.
type history struct {
	t       *testing.T
	rnd     *rand.Rand
	model   *model
	replica *metastore.Fold
	state   *State
	grown   map[PartitionID]int64

	entries   []modelEntry // of the journal, in order
	snapshots [][]byte     // after each
	writers   []*historyWriter
	nextTerm  uint64
	nextTopic uint64
	inFlight  []modelEntry // may land, or land again

	transactions []historyTransaction // by number − 1
}

// historyTransaction is one of a producer's, whose next one begins after its end.
type historyTransaction struct {
	producer   int64
	partitions []PartitionID // added before their first batch
	marked     bool
}

// transaction returns a number for a batch: of the producer's transaction at hand, or of
// one that has ended where this partition was added to it.
func (h *history) transaction(producer int64, p PartitionID) uint64 {
	if _, _, _, open := h.state.Bounds(p); !open || h.rnd.IntN(3) == 0 {
		return NoTransaction
	}
	for i := len(h.transactions) - 1; i >= 0; i-- {
		x := &h.transactions[i]
		if x.producer != producer {
			continue
		}
		added := slices.Contains(x.partitions, p)
		if x.marked && added && h.rnd.IntN(3) == 0 {
			return uint64(i + 1) // late
		}
		if x.marked {
			break
		}
		if !added {
			x.partitions = append(x.partitions, p)
		}
		return uint64(i + 1)
	}
	h.transactions = append(h.transactions, historyTransaction{producer: producer, partitions: []PartitionID{p}})
	return uint64(len(h.transactions))
}

// marker ends a transaction, most often the newest, in all its partitions; now and then again.
func (h *history) marker(w *historyWriter) (Marker, bool) {
	if len(h.transactions) == 0 {
		return Marker{}, false
	}
	i := h.rnd.IntN(len(h.transactions))
	for range 3 {
		i = max(i, h.rnd.IntN(len(h.transactions)))
	}
	x := &h.transactions[i]
	if len(x.partitions) == 0 {
		return Marker{}, false
	}
	x.marked = true
	partitions := slices.Clone(x.partitions)
	slices.SortFunc(partitions, PartitionID.Compare)
	return Marker{Producer: x.producer, Transaction: uint64(i + 1), Epoch: int16(h.rnd.IntN(5)), Commit: h.rnd.IntN(2) == 0,
		CoordinatorEpoch: int32(w.term), Timestamp: h.rnd.Int64N(1000), Partitions: partitions}, true
}

// merge has what its writer takes for stable merged, or some of it, or what isn't stable.
func (h *history) merge(w *historyWriter, p PartitionID) (Swap, bool) {
	known, _ := w.known.Merged(p)
	_, end, stable, _ := w.known.Bounds(p)
	to := pick(h.rnd, stable, known.To+1+h.rnd.Int64N(max(1, stable-known.To)), end)
	return Swap{Partition: p, Expected: known.To, To: to}, to > known.To
}

// forgotten notes that a partition knows nothing of a producer's ended transactions: none of
// their batches is as late as that (GUARDS 13).
func (h *history) forgotten(f Forget) {
	for i := range h.transactions {
		if x := &h.transactions[i]; x.producer == f.Producer && x.marked {
			x.partitions = slices.DeleteFunc(x.partitions, func(p PartitionID) bool { return p == f.Partition })
		}
	}
}

// historyWriter is an agent in one term.
type historyWriter struct {
	term, number, segment uint64
	known                 *State // what it decides on: some earlier state
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		t: t, rnd: rand.New(rand.NewPCG(seed, 3)), model: newModel(), state: New(),
		grown: map[PartitionID]int64{}, nextTerm: 1, nextTopic: 1,
	}
	h.state.OnGrow = func(p PartitionID, highWatermark int64) {
		if highWatermark == -1 {
			return // closed
		}
		if highWatermark <= h.grown[p] {
			t.Errorf("%v was told to have grown to %d after %d", p, highWatermark, h.grown[p])
		}
		h.grown[p] = highWatermark
	}
	h.replica = metastore.NewFold(h.state)
	for range 3 {
		h.writers = append(h.writers, &historyWriter{term: h.nextTerm, known: New()})
		h.nextTerm++
	}
	return h
}

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

const topicsLive = 2

func (h *history) anyPartition() PartitionID {
	topic := h.nextTopic - min(h.nextTopic, 1+h.rnd.Uint64N(topicsLive+1)) // now and then a closed one
	return PartitionID{topic, pick[int32](h.rnd, 1, 4, 7)}
}

func (h *history) count() int32 {
	return pick[int32](h.rnd, 1, 1, 2, 3, 1<<29, 1<<30, math.MaxInt32)
}

// batch is mostly what its writer takes for next, at times anything.
func (h *history) batch(w *historyWriter, p PartitionID) FlushBatch {
	b := FlushBatch{
		Partition: p, Length: pick[int64](h.rnd, 1, 61, 5000, 1<<30), Offsets: h.count(), ProducerID: NoProducer,
		MaxTimestamp: pick(h.rnd, -1, h.rnd.Int64N(1000), h.rnd.Int64N(1000)), LogAppendTime: h.rnd.IntN(3) == 0,
	}
	if h.rnd.IntN(6) == 0 {
		return b
	}
	b.ProducerID = h.rnd.Int64N(3)
	b.Epoch, b.BaseSequence = h.sequence(w.known.Producer(p, b.ProducerID))
	b.Transaction = h.transaction(b.ProducerID, p)
	return b
}

func (h *history) sequence(known ProducerState) (epoch int16, first int32) {
	switch h.rnd.IntN(10) {
	case 0:
		return known.Epoch + 1, 0
	case 1:
		return known.Epoch, pick(h.rnd, 0, 1, h.rnd.Int32N(8), math.MaxInt32-h.rnd.Int32N(4), h.rnd.Int32())
	case 2:
		return max(0, known.Epoch-1), h.rnd.Int32N(4)
	}
	if !known.Known {
		return 0, 0
	}
	if known.Closed {
		return known.Epoch + 1, 0
	}
	return known.Epoch, NextSequence(known.Last)
}

func (h *history) flush(w *historyWriter) modelFlush {
	w.segment++
	f := modelFlush{segment: w.segment}
	position := h.rnd.Int64N(100)
	partitions := []PartitionID{h.anyPartition(), h.anyPartition(), h.anyPartition()}
	slices.SortFunc(partitions, PartitionID.Compare)
	known := New()
	if err := known.Restore(w.known.AppendSnapshot(nil)); err != nil {
		h.t.Fatal(err)
	}
	speculative := &historyWriter{known: known}
	for _, p := range partitions {
		for range 1 + h.rnd.IntN(3) {
			b := h.batch(speculative, p)
			b.Position = position + pick[int64](h.rnd, 0, 0, 0, 10)
			if b.Position+b.Length > segmentBytesMax {
				b.Length = 1
			}
			if b.Position+b.Length > segmentBytesMax {
				continue
			}
			position = b.Position + b.Length
			f.batches = append(f.batches, b)
			// The writer decides on its own batches in flight as well.
			at := metastore.At{Header: metastore.Header{Term: metastore.Term(w.term)}}
			if _, err := applyEffect(known, at, AppendFlush(nil, f.segment, []FlushBatch{b})); err != nil {
				// It lags behind the end of the transaction before.
				if err := known.Restore(h.state.AppendSnapshot(nil)); err != nil {
					h.t.Fatal(err)
				}
			}
		}
	}
	return f
}

func applyEffect(s *State, at metastore.At, effect []byte) (any, error) {
	header := metastore.AppendHeader(nil, metastore.Header{})
	_, effects, err := metastore.ParseEntry(append(header, effect...))
	if err != nil {
		return nil, err
	}
	kind, body, _, err := effects.Next()
	if err != nil {
		return nil, err
	}
	return s.Apply(at, kind, body, true)
}

func (h *history) effect(w *historyWriter) any {
	p := h.anyPartition()
	producer := h.rnd.Int64N(3)
	known := w.known.Producer(p, producer)
	switch h.rnd.IntN(16) {
	case 15:
		if x, ok := h.merge(w, p); ok {
			return x
		}
	case 12, 13:
		if m, ok := h.marker(w); ok {
			return m
		}
	case 14:
		_, end, _, _ := w.known.Bounds(p)
		return modelJump{p, max(0, end-1+pick(h.rnd, 0, 1, 1+h.rnd.Int64N(1000), 1<<30))}
	case 0, 1:
		epoch, _ := h.sequence(known)
		return Fence{p, producer, epoch, Expect(known)}
	case 2:
		f := Expired{Partition: p, Producer: producer, State: known, Ended: w.known.Transactions(p, producer).Ended}.Forget()
		return f
	case 3:
		start, end, _, _ := w.known.Bounds(p)
		return logStart{p, pick(h.rnd, 0, start+1, end, start+h.rnd.Int64N(max(1, end-start)), math.MaxInt64)}
	}
	return h.flush(w)
}

// writeOne makes a writer's next entry.
func (h *history) writeOne(w *historyWriter) modelEntry {
	w.number++
	e := modelEntry{term: w.term, number: w.number, time: 1000 + h.rnd.Int64N(1000)}
	for range 1 + h.rnd.IntN(3) {
		e.effects = append(e.effects, h.effect(w))
	}
	return e
}

// step lands one entry: a new one, a copy of an earlier one, or the catalog's.
func (h *history) step() {
	i := h.rnd.IntN(len(h.writers))
	w := h.writers[i]
	switch n := h.rnd.IntN(20); {
	case n == 0 || h.nextTopic == 1: // a topic is opened, an older one closed
		w.number++
		e := modelEntry{term: w.term, number: w.number, time: 1, effects: []any{
			Opened{Topic: h.nextTopic, ID: [16]byte{byte(h.nextTopic)}, First: 1, Stride: 3, Count: 2}}}
		if h.nextTopic > topicsLive {
			e.effects = append(e.effects, modelClosed{h.nextTopic - topicsLive})
		}
		e.effects = append(e.effects, Opened{Topic: h.nextTopic, ID: [16]byte{byte(h.nextTopic)}, First: 7, Stride: 3, Count: 1})
		h.nextTopic++
		h.land(e)
	case n == 1: // a term is ended and another begins: none of its copies can land any more
		other := h.writers[(i+1)%len(h.writers)]
		other.number++
		h.inFlight = slices.DeleteFunc(h.inFlight, func(e modelEntry) bool { return e.term == w.term })
		h.land(modelEntry{term: other.term, number: other.number, effects: []any{modelEnded{w.term}}})
		h.writers[i] = &historyWriter{term: h.nextTerm, known: New()}
		h.nextTerm++
	case n < 5 && len(h.inFlight) > 0: // a copy
		h.land(h.inFlight[h.rnd.IntN(len(h.inFlight))])
	default:
		e := h.writeOne(w)
		h.inFlight = append(h.inFlight, e)
		h.land(e)
	}
	if h.rnd.IntN(3) > 0 { // some writer catches up
		w := h.writers[h.rnd.IntN(len(h.writers))]
		if err := w.known.Restore(h.state.AppendSnapshot(nil)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *history) land(e modelEntry) {
	h.t.Helper()
	want := h.model.apply(e)
	h.entries = append(h.entries, e)
	res, err := h.replica.Apply(metastore.Version(len(h.entries)), e.encode(), func(metastore.Header) bool { return true })
	if err != nil {
		h.t.Fatal(err)
	}
	if res.Void != (want == nil) {
		h.t.Fatalf("entry %d: void %t, want %t", len(h.entries), res.Void, want == nil)
	}
	for i, effect := range e.effects {
		if f, ok := effect.(Forget); ok && !res.Void && res.Outcomes[i] == true {
			h.forgotten(f)
		}
	}
	if !res.Void && !reflect.DeepEqual(res.Outcomes, want) {
		h.t.Fatalf("entry %d: %+v\ncame to %v\nwant    %v", len(h.entries), e, res.Outcomes, want)
	}
	h.compare()
	h.snapshots = append(h.snapshots, h.replica.AppendSnapshot(nil))
}

// compare checks all that the state answers against the model.
func (h *history) compare() {
	h.t.Helper()
	ids := h.state.Partitions()
	if len(ids) != len(h.model.partitions) || h.state.opened != len(ids) {
		h.t.Fatalf("%d partitions (%d counted), want %d", len(ids), h.state.opened, len(h.model.partitions))
	}
	for _, id := range append(ids, PartitionID{h.nextTopic, 1}) {
		m := h.model.partition(id)
		if m != nil {
			h.comparePartition(id, m)
		}
		for range 5 {
			producer := h.rnd.Int64N(4)
			epoch, first := h.sequence(h.state.Producer(id, producer))
			last := LastSequence(first, h.count())
			if m != nil && m.producers[producer] != nil && len(m.producers[producer].stood) > 0 && h.rnd.IntN(2) == 0 {
				b := pick(h.rnd, m.producers[producer].stood...)
				epoch, first, last = b.Epoch, b.BaseSequence, LastSequence(b.BaseSequence, b.Offsets)
			}
			x := h.rnd.Uint64N(uint64(len(h.transactions)) + 1)
			got := h.state.Judge(id, producer, epoch, first, last, x)
			if want := h.model.judge(id, producer, int64(epoch), int64(first), int64(last), x); got != want {
				h.t.Fatalf("%v: producer %d, epoch %d, %d to %d is judged %+v, want %+v", id, producer, epoch, first, last, got, want)
			}
		}
	}
}

func (h *history) comparePartition(id PartitionID, m *modelPartition) {
	h.t.Helper()
	start, end, stable, ok := h.state.Bounds(id)
	if !ok || start != m.logStart || end != m.end() || stable != m.stable() || h.grown[id] != end {
		h.t.Fatalf("%v: bounds %d, %d, %d, told %d, want %d, %d", id, start, end, stable, h.grown[id], m.logStart, m.end())
	}
	all := m.plan()
	if merged, _ := h.state.Merged(id); merged.To != m.merged {
		h.t.Fatalf("%v: merged up to %d, want %d", id, merged.To, m.merged)
	}
	start = max(start, m.merged) // rows hold what is below
	if got := h.state.Plan(id, start, math.MaxInt, nil); !slices.Equal(got, all) {
		h.t.Fatalf("%v: planned %+v, want %+v", id, got, all)
	}
	for range 4 {
		offset, bytesMax := start-1+h.rnd.Int64N(end-start+3), h.rnd.IntN(20000)
		to := offset + h.rnd.Int64N(end-start+3)
		if got, want := h.state.Aborted(id, max(offset, start), to, nil), m.abortedIn(offset, to); to > max(offset, start) && !slices.Equal(got, want) {
			h.t.Fatalf("%v: aborted from %d to %d: %+v, want %+v", id, offset, to, got, want)
		}
		var want []Extent
		bytes := 0
		for _, x := range all {
			if offset >= start && x.End() > offset && (len(want) == 0 || bytes < bytesMax) && offset < end {
				want = append(want, x)
				bytes += int(x.Bytes())
			}
		}
		if got := h.state.Plan(id, offset, bytesMax, nil); !slices.Equal(got, want) {
			h.t.Fatalf("%v: from %d on, %d bytes: planned %+v, want %+v", id, offset, bytesMax, got, want)
		}
		timestamp := h.rnd.Int64N(1002) - 1
		for _, from := range []int64{math.MinInt64, offset} {
			i := slices.IndexFunc(all, func(x Extent) bool { return x.MaxTimestamp >= timestamp && x.End() > from })
			got, ok := h.state.FirstSinceFrom(id, from, timestamp)
			if from == math.MinInt64 {
				got, ok = h.state.FirstSince(id, timestamp)
			}
			if ok != (i >= 0) || ok && got != all[i] {
				h.t.Fatalf("%v: since %d from %d on: %+v %t, want the %d-th of %+v", id, timestamp, from, got, ok, i, all)
			}
		}
	}
	highest := -1
	for i := range all {
		if highest < 0 || all[i].MaxTimestamp > all[highest].MaxTimestamp {
			highest = i
		}
	}
	if got, ok := h.state.MaxTimestamp(id); ok != (highest >= 0) || ok && got != all[highest] {
		h.t.Fatalf("%v: max timestamp in %+v, want the %d-th of %+v", id, got, highest, all)
	}
}

// replay checks that a replica that begins with any snapshot comes to the same ones.
func (h *history) replay() {
	h.t.Helper()
	for from := -1; from < len(h.entries); from++ {
		replica := metastore.NewFold(New())
		if from >= 0 {
			if err := replica.Restore(metastore.Version(from+1), h.snapshots[from]); err != nil {
				h.t.Fatal(err)
			}
			if got := replica.AppendSnapshot(nil); !bytes.Equal(got, h.snapshots[from]) {
				h.t.Fatalf("snapshot %d is another after its restoration", from+1)
			}
		}
		for i := from + 1; i < len(h.entries); i++ {
			if _, err := replica.Apply(metastore.Version(i+1), h.entries[i].encode(), nil); err != nil {
				h.t.Fatal(err)
			}
			if got := replica.AppendSnapshot(nil); !bytes.Equal(got, h.snapshots[i]) {
				h.t.Fatalf("replayed from %d, snapshot %d is another", from+1, i+1)
			}
		}
	}
}

// TestFold_AsTheModel folds random histories of several writers, with late and
// repeated entries, beside the model.
func TestFold_AsTheModel(t *testing.T) {
	const histories, entries = 300, 60
	stood, void, merges := 0, 0, 0
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for range entries {
				h.step()
			}
			if seed%10 == 0 {
				h.replay()
			}
			for _, p := range h.model.partitions {
				stood += len(p.batches)
				if p.merged > 0 && len(p.aborted) > 0 {
					merges++
				}
			}
			void += len(h.entries)
		})
	}
	t.Logf("%d batches and markers stand in %d entries; %d partitions with aborted transactions were merged", stood, void, merges)
	if merges == 0 {
		t.Error("the histories show too little")
	}
}
