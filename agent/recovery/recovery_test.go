package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/recovery"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

var (
	journal = metastore.ShardJournal(0)
	topic   = [16]byte{7}
	part    = shard.PartitionID{Topic: 1, Index: 0}
)

// world is a shard with agents that write segments to it, each flush one append.
type world struct {
	t      *testing.T
	store  *memory.Store
	bucket bucket.Bucket
	agents []*writer
}

// writer is an agent in one term.
type writer struct {
	w       *world
	term    metastore.Term
	segment uint64
	number  uint64
	fates   []segment.Fate
}

func newWorld(t *testing.T, agents int) *world {
	b, closer, err := bucket.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	cluster := metastore.DefaultCluster()
	cluster.Shards = 2
	w := &world{t: t, store: memory.New(time.Now, cluster), bucket: b}
	for range agents {
		info, err := w.store.BeginTerm(t.Context(), metastore.AgentInfo{Level: metastore.FeatureLevel}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		w.agents = append(w.agents, &writer{w: w, term: info.Term})
	}
	w.agents[0].append(shard.AppendOpened(nil, shard.Opened{Topic: part.Topic, ID: topic, Count: 1}), false)
	return w
}

// append appends one entry; its fate goes into the writer's next segment, if it is told.
func (a *writer) append(effects []byte, told bool) metastore.Version {
	a.w.t.Helper()
	a.number++
	payload := metastore.AppendHeader(nil, metastore.Header{Term: a.term, Number: a.number, Time: time.Now().UnixMilli()})
	versions, err := a.w.store.Append(a.w.t.Context(), a.term, []metastore.AppendPart{{Journal: journal, Payload: append(payload, effects...)}})
	if err != nil {
		a.w.t.Fatal(err)
	}
	if told {
		a.fates = append(a.fates, segment.Fate{Journal: uint32(journal), Number: a.number, Version: uint64(versions[0])})
	}
	return versions[0]
}

// records is a batch of count records.
func records(producer int64, first, count int32) []byte {
	var b []byte
	rs := make([]batch.Record, count)
	for i := range rs {
		rs[i] = batch.Record{Offset: int64(i), Timestamp: 1000, Value: fmt.Appendf(nil, "%d-%d", producer, int(first)+i)}
	}
	b = batch.Append(nil, batch.Header{ProducerID: producer, ProducerEpoch: 0, BaseSequence: first}, rs)
	return b
}

// upload writes a segment of one batch.
func (a *writer) upload(data []byte) shard.FlushBatch {
	a.w.t.Helper()
	a.segment++
	id := segment.ID{Term: uint64(a.term), Number: a.segment}
	var b segment.Builder
	b.Begin(nil, segment.Info{Cluster: a.w.store.Cluster().ID, ID: id, Flush: a.segment, Written: time.Now().UnixMilli(), Fates: a.fates})
	a.fates = nil
	position := b.Add(0, topic, 0, data)
	if err := a.w.bucket.Put(a.w.t.Context(), id.Key(), b.Finish()); err != nil {
		a.w.t.Fatal(err)
	}
	h, err := batch.Parse(data)
	if err != nil {
		a.w.t.Fatal(err)
	}
	return shard.FlushBatch{Partition: part, Position: position, Length: int64(len(data)), Offsets: h.LastOffsetDelta + 1,
		MaxTimestamp: h.MaxTimestamp, ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, BaseSequence: h.BaseSequence}
}

// produce flushes one batch: upload, append.
func (a *writer) produce(producer int64, first, count int32) {
	a.w.t.Helper()
	f := a.upload(records(producer, first, count))
	a.append(shard.AppendFlush(nil, a.segment, []shard.FlushBatch{f}), true)
}

// state folds the journal.
func (w *world) state() *shard.State {
	w.t.Helper()
	s := shard.New()
	fold := metastore.NewFold(s)
	tails, err := w.store.Read(w.t.Context(), []metastore.Position{{Journal: journal}}, 1<<30)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range tails[0].Entries {
		if _, err := fold.Apply(e.Version, e.Payload, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	return s
}

func (w *world) extents() []shard.Extent {
	s := w.state()
	start, _, _, _ := s.Bounds(part)
	return s.Plan(part, start, 1<<40, nil)
}

// lose loses the journal's tail, and marks it by what the bucket knows.
func (w *world) lose(after metastore.Version) {
	w.t.Helper()
	w.store.LoseTail(journal, after)
	lost, err := recovery.Check(w.t.Context(), w.store, recovery.Witness(w.bucket, w.store))
	if err != nil {
		w.t.Fatal(err)
	}
	if len(lost) != 1 || lost[0].Journal != journal || lost[0].Head != after {
		w.t.Fatalf("marked: %+v", lost)
	}
}

func (w *world) recover() recovery.Loss {
	w.t.Helper()
	plan, err := recovery.Plan(w.t.Context(), w.store, w.bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	before := len(w.extents())
	losses, err := recovery.Run(w.t.Context(), w.store, w.bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(plan) != 1 || len(losses) != 1 || fmt.Sprint(plan[0].InPlace, plan[0].Behind, plan[0].Jumps, plan[0].Segments) !=
		fmt.Sprint(losses[0].InPlace, losses[0].Behind, losses[0].Jumps, losses[0].Segments) {
		w.t.Fatalf("planned %+v\ndone    %+v; %d extents before", plan, losses, before)
	}
	if lost, err := w.store.LostTails(w.t.Context()); err != nil || len(lost) > 0 {
		w.t.Fatalf("still marked: %+v, %v", lost, err)
	}
	// And nothing more is found missing, or done.
	lost, err := recovery.Check(w.t.Context(), w.store, recovery.Witness(w.bucket, w.store))
	if err != nil || len(lost) > 0 {
		w.t.Fatalf("marked again: %+v, %v", lost, err)
	}
	return losses[0]
}

// TestRecover_InPlace: what the bucket tells beyond doubt comes back at its offsets.
func TestRecover_InPlace(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.agents[0], w.agents[1]
	for i := range int32(4) {
		a.produce(11, 3*i, 3)
		b.produce(12, 5*i, 5)
	}
	a.produce(-1, 0, 1) // tells the fates of those before
	b.produce(-1, 0, 1)
	want := w.extents()
	w.lose(4)
	loss := w.recover()
	if loss.InPlace.Batches != 5 || loss.InPlace.Records != 5+3+5+3+5 {
		t.Fatalf("in place: %+v", loss.InPlace)
	}
	got := w.extents()
	for i, e := range want[:3+5] {
		if got[i] != e {
			t.Fatalf("extent %d is %+v, and was %+v", i, got[i], e)
		}
	}
	// The last flush of each, of which the bucket doesn't tell, comes behind what it can have been.
	if loss.Behind.Batches != 2 || loss.Refused.Batches != 0 || len(got) != len(want) || len(loss.Jumps) != 1 {
		t.Fatalf("%+v\n%+v", loss, got)
	}
	if got[8].BaseOffset < want[9].End() {
		t.Fatalf("an offset was given again: %+v, and the end was %d", got[8], want[9].End())
	}
	// A producer's retry of what it had acknowledged is a duplicate still.
	j := w.state().Judge(part, 12, 0, 15, 19, shard.NoTransaction)
	if j.Verdict != shard.Duplicate || j.BaseOffset != want[7].BaseOffset {
		t.Fatalf("judged %+v", j)
	}
}

// TestRecover_DoubtEndsThePlace: an entry that the bucket says nothing of ends what can be put back in place.
func TestRecover_DoubtEndsThePlace(t *testing.T) {
	w := newWorld(t, 1)
	a := w.agents[0]
	a.produce(11, 0, 2)
	a.produce(11, 2, 2)
	a.append(shard.AppendLogStart(nil, part, 1), false) // no flush: no fate
	a.produce(11, 4, 2)
	a.produce(11, 6, 2)
	end := w.extents()[len(w.extents())-1].End()
	w.lose(2)
	loss := w.recover()
	if loss.InPlace.Batches != 1 || loss.Behind.Batches != 2 {
		t.Fatalf("%+v", loss)
	}
	got := w.extents()
	if got[1].BaseOffset != 2 || got[2].BaseOffset < end {
		t.Fatalf("%+v; the end was %d", got, end)
	}
}

// TestRecover_SharedAppend: of two segments that one append may have held together,
// none is put in place.
func TestRecover_SharedAppend(t *testing.T) {
	w := newWorld(t, 1)
	a := w.agents[0]
	a.produce(11, 0, 2)
	one, two := a.upload(records(-1, 0, 3)), a.upload(records(-1, 0, 4))
	a.append(append(shard.AppendFlush(nil, a.segment-1, []shard.FlushBatch{one}), shard.AppendFlush(nil, a.segment, []shard.FlushBatch{two})...), true)
	a.produce(11, 2, 2)
	end := w.extents()[len(w.extents())-1].End()
	w.lose(2)
	loss := w.recover()
	if got := w.extents(); loss.InPlace.Batches != 0 || loss.Behind.Batches != 3 || got[1].BaseOffset < end {
		t.Fatalf("%+v\n%+v", loss, got)
	}
}

// TestRecover_CutOff: one that is begun again finds what it had done.
func TestRecover_CutOff(t *testing.T) {
	cuts := 0
	for cut := 0; ; cut++ {
		w := newWorld(t, 1)
		a := w.agents[0]
		for i := range int32(5) {
			a.produce(11, 2*i, 2)
		}
		w.lose(2)
		failing := &failingStore{Store: w.store, left: cut}
		_, err := recovery.Run(t.Context(), failing, w.bucket)
		if err == nil {
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("cut after %d appends: %v", cut, err)
		}
		cuts++
		w.recover()
		got := w.extents()
		total := int32(0)
		for _, e := range got {
			total += e.Records
		}
		if total != 10 || got[3].BaseOffset != 6 {
			t.Fatalf("cut after %d appends: %+v", cut, got)
		}
	}
	if cuts < 3 {
		t.Fatalf("cut off %d times", cuts)
	}
}

var errCut = errors.New("cut off")

// failingStore has its appends fail after some; what fails is done all the same.
type failingStore struct {
	*memory.Store
	left int
}

func (f *failingStore) Append(ctx context.Context, t metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	v, err := f.Store.Append(ctx, t, parts)
	if f.left--; f.left < 0 && err == nil {
		return nil, errCut
	}
	return v, err
}

// TestCheck_SnapshotAndTermTell: a snapshot in the bucket, and a term that only it knows.
func TestCheck_SnapshotAndTermTell(t *testing.T) {
	w := newWorld(t, 1)
	if lost, err := recovery.Check(t.Context(), w.store, recovery.Witness(w.bucket, w.store)); err != nil || len(lost) > 0 {
		t.Fatalf("%+v, %v", lost, err)
	}
	if err := w.bucket.Put(t.Context(), metastore.SnapshotKey(metastore.GroupsJournal(3), 9), []byte("x")); err != nil {
		t.Fatal(err)
	}
	stranger := &writer{w: w, term: 40, segment: 500}
	stranger.upload(records(-1, 0, 1))
	lost, err := recovery.Check(t.Context(), w.store, recovery.Witness(w.bucket, w.store))
	if err != nil || len(lost) != 1 || lost[0].Journal != metastore.GroupsJournal(3) || lost[0].Seen != 9 || lost[0].Head != 0 {
		t.Fatalf("%+v, %v", lost, err)
	}
	if info, err := w.store.BeginTerm(t.Context(), metastore.AgentInfo{Level: metastore.FeatureLevel}, time.Hour); err != nil || info.Term != 41 {
		t.Fatalf("%+v, %v", info, err)
	}
	if losses, err := recovery.Run(t.Context(), w.store, w.bucket); err != nil || len(losses) != 1 || losses[0].Newest != 9 {
		t.Fatalf("%+v, %v", losses, err)
	}
	if lost, err := recovery.Check(t.Context(), w.store, recovery.Witness(w.bucket, w.store)); err != nil || len(lost) > 0 {
		t.Fatalf("marked again: %+v, %v", lost, err)
	}
}

// TestRun_BesideAnOlderAgent: it could not read the jumps. What would be done is told all the same.
func TestRun_BesideAnOlderAgent(t *testing.T) {
	w := newWorld(t, 1)
	if err := w.bucket.Put(t.Context(), metastore.SnapshotKey(metastore.GroupsJournal(3), 9), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if lost, err := recovery.Check(t.Context(), w.store, recovery.Witness(w.bucket, w.store)); err != nil || len(lost) != 1 {
		t.Fatalf("%+v, %v", lost, err)
	}
	older, err := w.store.BeginTerm(t.Context(), metastore.AgentInfo{Level: metastore.LevelFirst}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recovery.Plan(t.Context(), w.store, w.bucket); err != nil {
		t.Error(err)
	}
	if _, err := recovery.Run(t.Context(), w.store, w.bucket); err == nil {
		t.Error("it recovers beside an agent of an older release")
	}
	if _, err := w.store.EndTerm(t.Context(), older.Term, true); err != nil {
		t.Fatal(err)
	}
	if _, err := recovery.Run(t.Context(), w.store, w.bucket); err != nil {
		t.Error(err)
	}
}
