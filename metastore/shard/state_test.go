package shard

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// TestExtents_SplitAtVoid: a void batch leaves a hole in the bytes, none in the offsets.
func TestExtents_SplitAtVoid(t *testing.T) {
	j := opened(t)
	j.append(1, flush(batch(7, 0, 0, 2), batch(7, 0, 2, 3), batch(7, 0, 9, 1), batch(7, 0, 5, 1), batch(NoProducer, 0, 0, 1)))
	id := segment.ID{Term: 1, Number: 1}
	want := []Extent{
		{BaseOffset: 0, Records: 5, MaxTimestamp: 5000, Segment: id, Position: 10, Length: 200},
		{BaseOffset: 5, Records: 2, MaxTimestamp: 5000, Segment: id, Position: 310, Length: 200},
	}
	if got := j.state.Plan(p0, 0, 1<<20, nil); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := j.state.Plan(p0, 5, 1, nil); !slices.Equal(got, want[1:]) {
		t.Errorf("%+v", got)
	}
	if got := j.state.Plan(p0, 7, 1, nil); got != nil {
		t.Errorf("beyond the end: %+v", got)
	}
	// The bytes go on, but in another segment: by its number, then by its term.
	for i, term := range []metastore.Term{1, 2} {
		b := batch(NoProducer, 0, 0, 1)
		b.Position = 510 + int64(i)*b.Length
		j.append(term, AppendFlush(nil, 2, []FlushBatch{b}))
		if got := j.state.Plan(p0, 0, 1<<20, nil); len(got) != 3+i {
			t.Errorf("%+v", got)
		}
	}
}

// TestExtents_LowerTimestamps: a log start move may uncover lower maxima.
func TestExtents_LowerTimestamps(t *testing.T) {
	j := opened(t)
	for i, timestamp := range []int64{900, 100, 300, 200, 300} {
		b := batch(NoProducer, 0, 0, 1)
		b.MaxTimestamp = timestamp
		j.append(1, flushOf(uint64(i+1), b))
	}
	for _, c := range []struct{ start, since, first, highest int64 }{{0, 150, 0, 0}, {1, 150, 2, 2}, {1, 100, 1, 2}, {3, 150, 3, 4}, {4, 150, 4, 4}} {
		j.append(1, AppendLogStart(nil, p0, c.start))
		if got, ok := j.state.FirstSince(p0, c.since); !ok || got.BaseOffset != c.first {
			t.Errorf("from %d on since %d: %+v", c.start, c.since, got)
		}
		if got, ok := j.state.MaxTimestamp(p0); !ok || got.BaseOffset != c.highest {
			t.Errorf("from %d on: highest %+v", c.start, got)
		}
	}
	if _, ok := j.state.FirstSince(p0, 301); ok {
		t.Error("found what is below the log start")
	}
}

func TestOnGrow_OnceAPartition(t *testing.T) {
	j := opened(t)
	var told []string
	j.state.OnGrow = func(p PartitionID, highWatermark int64) { told = append(told, fmt.Sprint(p, " ", highWatermark)) }
	other := batch(NoProducer, 0, 0, 5)
	other.Partition = p1
	j.append(1, flush(batch(7, 0, 0, 2), batch(7, 0, 9, 1), batch(7, 0, 2, 1), other))
	j.append(1, flush(batch(7, 0, 9, 1)))
	j.append(1, AppendLogStart(nil, p0, 2))
	if want := []string{"1/0 3", "1/1 5"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	told = nil
	if err := j.state.Restore(j.state.AppendSnapshot(nil)); err != nil || len(told) != 4 {
		t.Errorf("after a restoration told %q, %v", told, err)
	}
}

func TestOpenings_CoverEveryPartitionOnce(t *testing.T) {
	for _, shards := range []int{1, 4, 64} {
		for _, to := range []int32{1, 3, 64, 65, 200} {
			for _, from := range []int32{0, 1, 2} {
				owner := map[int32]int{}
				before := -1
				for _, o := range Openings(9, testTopicID, 61, from, to, shards) {
					if o.Shard <= before {
						t.Fatal("out of order")
					}
					before = o.Shard
					for i := range o.Count {
						p := o.First + i*o.Stride
						if _, twice := owner[p]; twice || p < from || p >= to {
							t.Fatalf("partition %d", p)
						}
						owner[p] = o.Shard
					}
				}
				for p := from; p < to; p++ {
					if owner[p] != int(61+p)%shards {
						t.Fatalf("%d of %d shards: partition %d is in %d", to, shards, p, owner[p])
					}
				}
				if len(owner) != int(max(0, to-from)) {
					t.Fatalf("%d partitions", len(owner))
				}
			}
		}
	}
}

// TestOpened_Grows: partitions are added in several steps, whatever the strides.
func TestOpened_Grows(t *testing.T) {
	j := newJournal(t)
	for _, o := range []Opened{{First: 61, Stride: 64, Count: 1}, {First: 125, Stride: 64, Count: 4}, {First: 3, Count: 1}, {First: 0, Stride: 2, Count: 2}} {
		o.Topic, o.ID = 8, testTopicID
		j.append(1, AppendOpened(nil, o))
	}
	want := []int32{0, 2, 3, 61, 125, 189, 253, 317}
	for index := range int32(400) {
		if _, _, _, ok := j.state.Bounds(PartitionID{8, index}); ok != slices.Contains(want, index) {
			t.Errorf("partition %d: open %t", index, ok)
		}
	}
	if _, _, _, ok := j.state.Bounds(PartitionID{8, -1}); ok {
		t.Error("partition -1 is open")
	}
	if id, ok := j.state.TopicID(8); !ok || id != testTopicID {
		t.Errorf("%x", id)
	}
	if _, ok := j.state.TopicID(9); ok {
		t.Error("topic 9 is open")
	}
}

func TestExpiredProducers_InSteps(t *testing.T) {
	j := opened(t) // the writer's clock is 1,000 × the entry's number
	want := []Expired{}
	for i := range int64(20) {
		b := batch(100+i/2, 0, 0, 1)
		b.Partition.Index = int32(i % 2)
		j.append(1, flush(b))
		if i < 12 {
			want = append(want, Expired{b.Partition, b.ProducerID, ProducerState{true, 0, 0, false}, 1000 * (i + 1), 0})
		}
	}
	slices.SortFunc(want, func(a, b Expired) int {
		return a.Partition.Compare(b.Partition)*2 + int(max(-1, min(1, a.Producer-b.Producer)))
	})
	for _, step := range []struct{ results, visited int }{{100, 100}, {1, 100}, {3, 100}, {100, 1}, {2, 3}} {
		var got []Expired
		var after ExpiredAfter
		for done, calls := false, 0; !done; calls++ {
			var found []Expired
			found, after, done = j.state.ExpiredProducers(after, 13_000, step.results, step.visited)
			got = append(got, found...)
			if len(found) > step.results || calls > 30 {
				t.Fatalf("%+v: %d found in call %d", step, len(found), calls)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v:\n%v\nwant\n%v", step, got, want)
		}
	}
	// A fence counts as being touched.
	j.append(1, AppendFence(nil, Fence{p0, 100, 0, Expected{Last: 0}}))
	found, _, _ := j.state.ExpiredProducers(ExpiredAfter{}, 13_000, 100, 100)
	if len(found) != len(want)-1 {
		t.Errorf("%d found after a fence", len(found))
	}
	// An older clock does not take it back.
	if e := j.state.partition(p0).producer(100); e.touched != 21_000 {
		t.Errorf("touched %d", e.touched)
	}
}

// TestState_BytesAPartition: an idle partition with a producer, its window full, and two extents.
func TestState_BytesAPartition(t *testing.T) {
	if size := unsafe.Sizeof(extent{}); size > 48 {
		t.Errorf("an extent takes %d bytes", size)
	}
	const partitions = 100_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := New()
	apply(t, s, 0, AppendOpened(nil, Opened{Topic: 1, Stride: 1, Count: partitions}))
	for round := range int32(6) {
		flush := make([]FlushBatch, 1000)
		for first := range int32(partitions / 1000) {
			for i := range flush {
				flush[i] = FlushBatch{
					Partition: PartitionID{1, first*1000 + int32(i)}, Position: int64(i) * 100, Length: 100, Offsets: 10,
					ProducerID: int64(i), BaseSequence: round * 10,
				}
			}
			apply(t, s, 1, AppendFlush(nil, uint64(round/3*100+first), flush))
		}
	}
	used := (heap() - before) / partitions
	counts := s.Counts()
	t.Logf("%d bytes a partition, %d a partition in a snapshot, %+v", used, len(s.AppendSnapshot(nil))/partitions, counts)
	if used > 1024 {
		t.Errorf("%d bytes a partition, want at most 1024", used)
	}
}

func apply(t testing.TB, s *State, term metastore.Term, effect []byte) any {
	outcome, err := applyEffect(s, metastore.At{Header: metastore.Header{Term: term}}, effect)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

// foldable is a state with 1,000 partitions, and the body of a flush of 600
// batches in it whose sequences go on whenever it is folded again under another segment number.
func foldable(t testing.TB, producers bool) (s *State, body func(round int) []byte) {
	s = New()
	apply(t, s, 1, AppendOpened(nil, Opened{Topic: 1, Stride: 1, Count: 1000}))
	rnd := rand.New(rand.NewPCG(1, 1))
	flush := realisticFlush(600)
	indexes := rnd.Perm(1000)[:len(flush)]
	slices.Sort(indexes)
	for i := range flush {
		flush[i].Partition = PartitionID{1, int32(indexes[i])}
		flush[i].Epoch, flush[i].BaseSequence, flush[i].Offsets = 0, 0, 100
		if !producers {
			flush[i].ProducerID = NoProducer
		}
	}
	return s, func(round int) []byte {
		for i := range flush {
			flush[i].BaseSequence = int32(round) * 100
		}
		effect := AppendFlush(nil, uint64(round), flush)
		return effect[3:] // behind kind and length
	}
}

func TestApply_AllocatesOnlyGrowth(t *testing.T) {
	s, body := foldable(t, true)
	bodies := make([][]byte, 102)
	for i := range bodies {
		bodies[i] = body(i)
	}
	round := 0
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := s.Apply(metastore.At{}, metastore.EffectFlush, bodies[round], false); err != nil {
			t.Fatal(err)
		}
		round++
	})
	// 600 lists of extents grow in about 10 steps each, and 600 producers become known.
	if allocs > 100 {
		t.Errorf("%v allocations a flush of 600 batches", allocs)
	}
	if got := s.partition(PartitionID{1, s.Partitions()[0].Index}); got == nil {
		t.Error("no partition")
	}
	if c := s.Counts(); c.Producers != 600 {
		t.Errorf("%+v", c)
	}
}

func BenchmarkApply_Flush600(b *testing.B) {
	for _, producers := range []bool{true, false} {
		for _, want := range []bool{true, false} {
			b.Run(fmt.Sprintf("producers=%t/want=%t", producers, want), func(b *testing.B) {
				s, body := foldable(b, producers)
				const roundsMax = 1000
				var bodies [][]byte
				for i := range roundsMax {
					bodies = append(bodies, body(i))
				}
				before := s.AppendSnapshot(nil)
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					if i%roundsMax == 0 {
						b.StopTimer()
						if err := s.Restore(before); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
					if _, err := s.Apply(metastore.At{}, metastore.EffectFlush, bodies[i%roundsMax], want); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/600, "ns/batch")
			})
		}
	}
}

func BenchmarkAppendFlush600(b *testing.B) {
	flush := realisticFlush(600)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendFlush(dst[:0], 1, flush)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/600, "ns/batch")
}
