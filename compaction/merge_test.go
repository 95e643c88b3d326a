package compaction

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

var forEver = Policy{Retention: -1, RetentionBytes: -1}

// TestMerge_ReadsTheSame is the property: whatever the history, transactions and log start
// moves included, and wherever merges come, a reader sees the same bytes at the same offsets.
func TestMerge_ReadsTheSame(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			rnd := rand.New(rand.NewPCG(seed, 5))
			a := w.agent(func(c *Config, _ *faults) { c.JobBytesMax = 1 + rnd.Int64N(4000) })
			b := w.agent()
			a.open(1, 4, forEver)
			b.refresh()
			transactions := map[int64]uint64{} // of producers 1 to 3: the open one
			next := uint64(1)
			for range 60 {
				switch rnd.IntN(8) {
				case 0, 1, 2:
					var batches []produced
					for range 1 + rnd.IntN(5) {
						p := produced{id: shard.PartitionID{Topic: 1, Index: rnd.Int32N(4)}, records: 1 + rnd.IntN(4), timestamp: rnd.Int64N(1000), value: rnd.IntN(200)}
						batches = append(batches, p)
					}
					pickAgent(rnd, a, b).flush(batches...)
				case 3: // a transaction begins: one batch in each of two partitions
					producer := 1 + rnd.Int64N(3)
					if transactions[producer] == 0 {
						transactions[producer] = next
						p := produced{id: shard.PartitionID{Topic: 1, Index: rnd.Int32N(3)}, records: 2, producer: producer, transaction: next}
						q := p
						q.id.Index++
						a.flush(p, q)
						next++
					}
				case 4: // one ends
					producer := 1 + rnd.Int64N(3)
					if x := transactions[producer]; x != 0 {
						m := shard.Marker{Producer: producer, Transaction: x, Epoch: int16(x), Commit: rnd.IntN(2) == 0, Timestamp: 5}
						for i := range int32(4) {
							m.Partitions = append(m.Partitions, shard.PartitionID{Topic: 1, Index: i})
						}
						a.append(0, shard.AppendMarker(nil, m))
						transactions[producer] = 0
					}
				case 5:
					id := shard.PartitionID{Topic: 1, Index: rnd.Int32N(4)}
					if h := a.readPartition(id); h.high > 0 && rnd.IntN(3) == 0 {
						a.append(0, shard.AppendLogStart(nil, id, h.logStart+rnd.Int64N(h.high-h.logStart+1)))
					}
				default:
					var before []history
					for i := range int32(4) {
						before = append(before, a.readPartition(shard.PartitionID{Topic: 1, Index: i}))
					}
					agent := pickAgent(rnd, a, b)
					agent.refresh()
					agent.do("merge", agent.Merge(t.Context(), 0))
					agent.do("remove", agent.Remove(t.Context(), 0))
					for i := range int32(4) {
						a.wantSame(shard.PartitionID{Topic: 1, Index: i}, before[i], "after a merge")
					}
				}
			}
			// Nothing but what an open transaction holds back is left in the state.
			a.refresh()
			a.do("merge", a.Merge(t.Context(), 0))
			for range 20 {
				a.do("merge", a.Merge(t.Context(), 0))
			}
			metastore.View(a.follower.Replica(metastore.ShardJournal(0)), func(s *shard.State) {
				for _, id := range s.Partitions() {
					m, _ := s.Merged(id)
					logStart, _, stable, _ := s.Bounds(id)
					if m.To < stable && logStart < stable {
						t.Errorf("partition %v is merged to %d of %d", id, m.To, stable)
					}
					var sum int64
					rows, _ := w.store.Extents(t.Context(), metastore.ExtentQuery{Topic: 1, Partition: id.Index, Limit: 1000})
					for _, r := range rows {
						sum += r.Length
					}
					if sum != m.Bytes {
						t.Errorf("partition %v has %d bytes of rows, its state says %d", id, sum, m.Bytes)
					}
				}
			})
			if a.Stats.Stopped.Load()+b.Stats.Stopped.Load() > 0 {
				t.Error("a partition has stopped")
			}
		})
	}
}

func pickAgent(rnd *rand.Rand, agents ...*agent) *agent { return agents[rnd.IntN(len(agents))] }

// filled is an agent with a topic of two partitions and twenty flushes.
func filled(t *testing.T, change ...func(*Config, *faults)) (*world, *agent) {
	w := newWorld(t)
	a := w.agent(change...)
	a.open(1, 2, forEver)
	for i := range 20 {
		a.flush(produced{id: p0, records: 2, timestamp: int64(1000 * i), value: 50}, produced{id: p1, records: 1, timestamp: int64(1000 * i), value: 20})
	}
	return w, a
}

var p0, p1 = shard.PartitionID{Topic: 1}, shard.PartitionID{Topic: 1, Index: 1}

func (a *agent) mergedTo(id shard.PartitionID) int64 {
	a.refresh()
	var m shard.Merged
	metastore.View(a.follower.Replica(metastore.ShardJournal(0)), func(s *shard.State) { m, _ = s.Merged(id) })
	return m.To
}

// A merge reads each segment once, however many of its partitions lie in it.
func TestMerge_Cost(t *testing.T) {
	w, a := filled(t)
	w.bucket.gets, w.bucket.puts = 0, 0
	a.do("merge", a.Merge(t.Context(), 0))
	// 20 sources, and the output read back with its end.
	if w.bucket.puts != 1 || w.bucket.gets != 21 {
		t.Errorf("%d PUTs, %d GETs", w.bucket.puts, w.bucket.gets)
	}
	if a.mergedTo(p0) != 40 || a.mergedTo(p1) != 20 {
		t.Errorf("merged to %d and %d", a.mergedTo(p0), a.mergedTo(p1))
	}
	body := w.bucket.bodies["partitions/0000000001/000000000001"]
	s, err := segment.ParseMerged(body)
	if err != nil || s.Verify() != nil || len(s.Extents) != 2 || s.Extents[0].Records != 40 {
		t.Errorf("the output: %+v, %v", s, err)
	}
}

var errFault = errors.New("a fault")

// TestMerge_Faults: whatever goes wrong, readers see what they saw, and another merge
// comes to its end.
func TestMerge_Faults(t *testing.T) {
	merged := func(key string) bool { return strings.HasPrefix(key, segment.MergedPrefix) }
	for _, row := range []struct {
		name    string
		fault   func(w *world, f *faults, once func() bool)
		fails   bool // the merge says so
		stops   bool // partitions stop until another term
		later   bool // partitions are tried again later
		garbage int  // partition segments that nobody names
	}{
		{name: "none"},
		{name: "a source can't be read", later: true, fault: func(w *world, _ *faults, once func() bool) {
			w.bucket.onGet = func(key string, _ []byte) error {
				if key == "segments/0000000001/000000000007" && once() {
					return errFault
				}
				return nil
			}
		}},
		{name: "a source's bit flips on the way", fault: func(w *world, _ *faults, once func() bool) {
			w.bucket.onGet = func(key string, got []byte) error {
				if key == "segments/0000000001/000000000007" && len(got) > 70 && once() {
					got[70] ^= 1
				}
				return nil
			}
		}},
		{name: "a source's bit is flipped", stops: true, fault: func(w *world, _ *faults, _ func() bool) {
			w.bucket.onGet = func(key string, got []byte) error {
				if key == "segments/0000000001/000000000007" && len(got) > 70 {
					got[70] ^= 1
				}
				return nil
			}
		}},
		{name: "a source's leader epoch is flipped, which no batch's checksum covers", stops: true, fault: func(w *world, _ *faults, _ func() bool) {
			w.bucket.onGet = func(key string, got []byte) error {
				if key == "segments/0000000001/000000000007" && len(got) > 70 {
					got[12] ^= 1
				}
				return nil
			}
		}},
		{name: "a source is short", stops: true, fault: func(w *world, _ *faults, _ func() bool) {
			key := "segments/0000000001/000000000007"
			w.bucket.bodies[key] = w.bucket.bodies[key][:100]
		}},
		{name: "the put fails", fails: true, fault: func(w *world, _ *faults, once func() bool) {
			w.bucket.onPut = func(_ string, body []byte) ([]byte, error) {
				if once() {
					return nil, errFault
				}
				return body, nil
			}
		}},
		{name: "the put is done, and fails", fails: true, garbage: 1, fault: func(w *world, _ *faults, once func() bool) {
			w.bucket.onPut = func(_ string, body []byte) ([]byte, error) {
				if once() {
					return body, errFault
				}
				return body, nil
			}
		}},
		{name: "the output is stored with a flipped bit", fails: true, garbage: 1, fault: func(w *world, _ *faults, once func() bool) {
			w.bucket.onPut = func(_ string, body []byte) ([]byte, error) {
				if once() {
					body[len(body)/2] ^= 4
				}
				return body, nil
			}
		}},
		{name: "the output is stored short", fails: true, garbage: 1, fault: func(w *world, _ *faults, once func() bool) {
			w.bucket.onPut = func(_ string, body []byte) ([]byte, error) {
				if once() {
					return body[:len(body)-1], nil
				}
				return body, nil
			}
		}},
		{name: "the output can't be read back", fails: true, garbage: 1, fault: func(w *world, _ *faults, once func() bool) {
			w.bucket.onGet = func(key string, _ []byte) error {
				if merged(key) && once() {
					return errFault
				}
				return nil
			}
		}},
		{name: "the swap fails, and is sent again", fault: func(_ *world, f *faults, once func() bool) {
			f.onRows = func() (bool, error) {
				if once() {
					return false, errFault
				}
				return false, nil
			}
		}},
		{name: "the swap's reply is lost", fault: func(_ *world, f *faults, once func() bool) {
			f.onRows = func() (bool, error) { return once(), nil }
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var f *faults
			w, a := filled(t, func(_ *Config, store *faults) { f = store })
			before := []history{a.readPartition(p0), a.readPartition(p1)}
			var mu sync.Mutex
			done := false
			once := func() bool {
				mu.Lock()
				defer mu.Unlock()
				was := done
				done = true
				return !was
			}
			if row.fault != nil {
				row.fault(w, f, once)
			}
			err := a.Merge(t.Context(), 0)
			if (err != nil) != row.fails {
				t.Fatalf("the merge: %v", err)
			}
			if stopped := a.Stopped(p0) != nil; stopped != row.stops {
				t.Fatalf("stopped: %v", a.Stopped(p0))
			}
			if row.stops {
				if a.mergedTo(p0) != 0 {
					t.Fatal("what could not be read was merged")
				}
				return // nothing is dropped: the state still names it
			}
			a.wantSame(p0, before[0], "after the fault")
			a.wantSame(p1, before[1], "after the fault")
			if row.later {
				a.do("a merge too early", a.Merge(t.Context(), 0))
				if a.mergedTo(p0) != 0 {
					t.Fatal("tried again at once")
				}
				w.pass(retryFirst)
			}
			a.do("the next merge", a.Merge(t.Context(), 0))
			a.wantSame(p0, before[0], "after the next merge")
			if a.mergedTo(p0) != 40 {
				t.Errorf("merged to %d", a.mergedTo(p0))
			}
			if garbage := len(w.bucket.keys(segment.MergedPrefix)) - 1; garbage != row.garbage {
				t.Errorf("%d partition segments that nobody names", garbage)
			}
		})
	}
}

// A partition whose sources can't be read is tried again, each time later, for as long as it
// takes; the others go on meanwhile.
func TestMerge_TriesAgain(t *testing.T) {
	w, a := filled(t)
	own := a.flush(produced{id: p0, records: 1, timestamp: 1})
	before := a.readPartition(p0)
	tries := 0
	w.bucket.onGet = func(key string, _ []byte) error {
		if key == own.Key() {
			tries++
			return errFault
		}
		return nil
	}
	a.cfg.MergeEvery, a.cfg.MergeBytesMin = 24*time.Hour, 1
	var at []time.Duration
	for passed := time.Duration(0); passed < time.Hour; passed += time.Second {
		was := tries
		a.do("a look at the shard", a.Shard(t.Context(), 0))
		if tries > was {
			at = append(at, passed)
		}
		w.pass(time.Second)
	}
	if a.mergedTo(p1) != 20 || a.mergedTo(p0) != 0 || a.Stopped(p0) != nil {
		t.Fatalf("merged to %d and %d, stopped: %v", a.mergedTo(p0), a.mergedTo(p1), a.Stopped(p0))
	}
	if len(at) < 16 || len(at) > 20 || at[1]-at[0] != retryFirst || at[len(at)-1]-at[len(at)-2] != retryMax || a.Stats.Failures.Load() != int64(len(at)) {
		t.Errorf("tried at %v, %d failures", at, a.Stats.Failures.Load())
	}
	w.bucket.onGet = nil
	w.pass(retryMax)
	a.do("a look at the shard", a.Shard(t.Context(), 0))
	if a.mergedTo(p0) != 41 {
		t.Errorf("merged to %d", a.mergedTo(p0))
	}
	a.wantSame(p0, before, "in the end")
}

// A partition whose source is damaged stops, loudly, is looked at again each time later, and goes on once
// what was written is there again.
func TestMerge_StopsForATime(t *testing.T) {
	w, a := filled(t)
	own := a.flush(produced{id: p0, records: 1, timestamp: 1})
	before := a.readPartition(p0)
	reads := 0
	w.bucket.onGet = func(key string, body []byte) error {
		if key == own.Key() {
			reads++
			body[len(body)-1] ^= 1
		}
		return nil
	}
	a.cfg.MergeEvery, a.cfg.MergeBytesMin = 24*time.Hour, 1
	var at []time.Duration
	for passed := time.Duration(0); passed < 4*time.Hour; passed += 5 * time.Second {
		was := reads
		a.do("a look at the shard", a.Shard(t.Context(), 0))
		if reads > was {
			if at = append(at, passed); reads != was+2 {
				t.Fatalf("read %d times", reads-was)
			}
		}
		w.pass(5 * time.Second)
	}
	if a.mergedTo(p1) != 20 || a.mergedTo(p0) != 0 || !errors.Is(a.Stopped(p0), errDamaged) || a.Stats.Stopped.Load() != 1 {
		t.Fatalf("merged to %d and %d, %d stopped: %v", a.mergedTo(p0), a.mergedTo(p1), a.Stats.Stopped.Load(), a.Stopped(p0))
	}
	if len(at) < 7 || len(at) > 10 || at[1]-at[0] != stopFirst || at[len(at)-1]-at[len(at)-2] != stopMax {
		t.Errorf("tried at %v", at)
	}
	w.bucket.onGet = nil
	w.pass(stopMax)
	a.do("a look at the shard", a.Shard(t.Context(), 0))
	if a.mergedTo(p0) != 41 || a.Stopped(p0) != nil || a.Stats.Stopped.Load() != 0 {
		t.Errorf("merged to %d, stopped: %v", a.mergedTo(p0), a.Stopped(p0))
	}
	a.wantSame(p0, before, "in the end")
}

// A job that was paused anywhere before its swap, while another did the same or more.
func TestMerge_PausedWhileAnotherMerges(t *testing.T) {
	for _, more := range []bool{false, true} {
		w, a := filled(t)
		b := w.agent()
		before := a.readPartition(p0)
		works, err := a.read(t.Context(), a.plan(0))
		a.do("read", err)
		out, err := a.write(t.Context(), 0, works)
		a.do("write", err)
		// Paused here.
		b.refresh()
		b.do("another's merge", b.Merge(t.Context(), 0))
		if more {
			for range 3 {
				b.flush(produced{id: p0, records: 3, timestamp: 1}, produced{id: p1, records: 3, timestamp: 1})
				b.do("another's merge", b.Merge(t.Context(), 0))
			}
			before = b.readPartition(p0)
		}
		var effects []byte
		for _, x := range works {
			effects = shard.AppendSwap(effects, shard.Swap{Partition: x.id, Expected: x.expected, To: x.to, Bytes: 1})
		}
		stood, err := a.swap(t.Context(), 0, effects, out, nil)
		if err != nil || stood != nil {
			t.Fatalf("the paused job's swap: %v, %v", stood, err)
		}
		a.wantSame(p0, before, "after the lost swap")
		a.do("merge", a.Merge(t.Context(), 0))
		a.wantSame(p0, before, "after a further merge")
	}
}

// Nine agents write and merge the same shard at once.
func TestMerge_WhileOthersWriteAndMerge(t *testing.T) {
	w := newWorld(t)
	first := w.agent()
	first.open(1, 3, forEver)
	var wg sync.WaitGroup
	const agents, flushes = 9, 15
	for n := range agents {
		a := first
		if n > 0 {
			a = w.agent()
		}
		wg.Go(func() {
			for i := range flushes {
				a.flush(produced{id: shard.PartitionID{Topic: 1, Index: int32((n + i) % 3)}, records: 1 + n, timestamp: int64(100*n + i), value: 10})
				if i%4 == 3 {
					if err := a.Merge(t.Context(), 0); err != nil {
						t.Errorf("agent %d: %v", n, err)
					}
				}
			}
		})
	}
	wg.Wait()
	records := 0
	for i := range int32(3) {
		h := first.readPartition(shard.PartitionID{Topic: 1, Index: i})
		at := int64(0)
		for _, b := range h.batches {
			if b.base != at {
				t.Fatalf("partition %d: a batch at %d after %d", i, b.base, at)
			}
			at = b.end
		}
		if at != h.high {
			t.Fatalf("partition %d ends at %d of %d", i, at, h.high)
		}
		records += int(h.high)
	}
	if want := flushes * agents * (agents + 1) / 2; records != want {
		t.Errorf("%d records of %d", records, want)
	}
}

// Small extents become larger ones, each byte written once a size.
func TestMerge_AgainIsBounded(t *testing.T) {
	w := newWorld(t)
	a := w.agent(func(c *Config, _ *faults) { c.JobBytesMax, c.Fan = 64<<20, 4 })
	a.open(1, 1, forEver)
	const merges = 300
	for i := range merges {
		a.flush(produced{id: p0, records: 1, timestamp: int64(i), value: 300})
		a.do("merge", a.Merge(t.Context(), 0))
	}
	rows, err := w.store.Extents(t.Context(), metastore.ExtentQuery{Topic: 1, Limit: 1000})
	a.do("rows", err)
	if len(rows) > 16 {
		t.Errorf("%d extents after %d merges", len(rows), merges)
	}
	h := a.readPartition(p0)
	if h.high != merges || len(h.batches) != merges {
		t.Errorf("%d batches to offset %d", len(h.batches), h.high)
	}
	bytes := int64(0)
	for _, b := range h.batches {
		bytes += int64(len(b.body))
	}
	if written := a.Stats.BytesWritten.Load() - 200*int64(w.bucket.puts); written > 6*bytes {
		t.Errorf("%d bytes written of %d", written, bytes)
	}
}
