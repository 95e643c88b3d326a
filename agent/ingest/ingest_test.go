package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

func TestIngest_OneRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent()
		before, began := w.store.Statements(), time.Now()
		for i := range 3 {
			if r := a.send(produced(0, -1, 0, 0, 2)); r.Err != nil || r.BaseOffset != int64(2*i) || r.LogStart != 0 {
				t.Fatalf("result %+v", r)
			}
		}
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("three records one after the other took %v, want three PUTs' time", took)
		}
		if a.nPuts != 3 {
			t.Errorf("%d PUTs, want 3", a.nPuts)
		}
		if n := w.store.Statements().Since(before).Append; n != 3 {
			t.Errorf("%d appends, want 3", n)
		}
	})
}

func TestIngest_FiveInFlightShareAPut(t *testing.T) {
	for _, warm := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			a := w.agent()
			first := 0
			if warm {
				a.send(produced(0, 9, 0, 0, 1))
				first = 1
			}
			puts, began := a.nPuts, time.Now()
			var waits []func() Result
			for i := range 5 {
				waits = append(waits, a.begin(produced(0, 9, 0, int32(first+i), 1)))
				synctest.Wait()
			}
			for i, wait := range waits {
				if r := wait(); r.Err != nil || r.BaseOffset != int64(first+i) {
					t.Fatalf("result %d: %+v", i, r)
				}
			}
			if n := a.nPuts - puts; n > 2 {
				t.Errorf("warm %v: %d PUTs, want at most 2", warm, n)
			}
			if took := time.Since(began); took > 200*time.Millisecond {
				t.Errorf("warm %v: took %v, want at most two PUTs' time", warm, took)
			}
		})
	}
}

func TestIngest_ManyPartitionsOneStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent()
		var batches []Batch
		for p := range int32(600) {
			batches = append(batches, produced(p, 5, 0, 0, 3))
		}
		before := w.store.Statements()
		s, err := a.Append(t.Context(), batches, nil, func() {})
		if err != nil {
			t.Fatal(err)
		}
		results, err := s.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil || r.BaseOffset != 0 {
				t.Fatalf("partition %d: %+v", i, r)
			}
		}
		if n := w.store.Statements().Since(before).Append; n != 1 || a.nPuts != 1 {
			t.Errorf("%d appends and %d PUTs, want one of each", n, a.nPuts)
		}
	})
}

// want is what a batch must come to.
type want struct {
	offset int64
	err    error
}

func (w want) check(t *testing.T, what string, r Result) {
	t.Helper()
	if !errors.Is(r.Err, w.err) || r.BaseOffset != w.offset {
		t.Errorf("%s: offset %d, err %v; want %d, %v", what, r.BaseOffset, r.Err, w.offset, w.err)
	}
}

func TestIngest_Sequences(t *testing.T) {
	type step struct {
		epoch int16
		first int32
		n     int
		want  want
	}
	const top = 1<<31 - 1
	ok := func(o int64) want { return want{o, nil} }
	for _, row := range []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{0, 0, 1, ok(0)}, {0, 1, 2, ok(1)}, {0, 3, 1, ok(3)}}},
		{"a duplicate gets its first offset", []step{{0, 0, 2, ok(0)}, {0, 2, 1, ok(2)}, {0, 0, 2, ok(0)}, {0, 2, 1, ok(2)}}},
		{"five are remembered", []step{{0, 0, 1, ok(0)}, {0, 1, 1, ok(1)}, {0, 2, 1, ok(2)}, {0, 3, 1, ok(3)}, {0, 4, 1, ok(4)},
			{0, 0, 1, ok(0)}, {0, 5, 1, ok(5)}, {0, 0, 1, want{-1, ErrDuplicate}}, {0, 1, 1, ok(1)}}},
		{"another cut of what stands", []step{{0, 0, 2, ok(0)}, {0, 0, 1, want{-1, ErrDuplicate}}, {0, 1, 1, want{-1, ErrDuplicate}}}},
		{"an unknown producer begins at 0", []step{{0, 7, 1, want{-1, ErrOutOfOrder}}}},
		{"a gap", []step{{0, 0, 1, ok(0)}, {0, 2, 1, want{-1, ErrOutOfOrder}}, {0, 1, 1, want{-1, ErrOutOfOrder}}, {1, 0, 1, ok(1)}}},
		{"a new epoch begins at 0", []step{{0, 0, 1, ok(0)}, {1, 1, 1, want{-1, ErrOutOfOrder}}, {2, 0, 1, ok(1)}, {1, 0, 1, want{-1, ErrStaleEpoch}}}},
		{"sequences wrap around", []step{{0, 0, 1, ok(0)}, {0, 1, 1, ok(1)}, {0, top, 1, want{-1, ErrDuplicate}}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newWorld(t).agent()
				for i, s := range row.steps {
					s.want.check(t, fmt.Sprint("step ", i), a.send(produced(3, 9, s.epoch, s.first, s.n)))
				}
			})
		})
	}
}

func TestIngest_AGapIsHeldForItsPredecessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.agent(), w.agent()
		third := a.begin(produced(0, 9, 0, 2, 1))
		second := a.begin(produced(0, 9, 0, 1, 1))
		time.Sleep(500 * time.Millisecond)
		want{0, nil}.check(t, "the predecessor", b.send(produced(0, 9, 0, 0, 1)))
		// Agent a reads it within a second, before the gap's time is up, or the fence it appends is void.
		want{1, nil}.check(t, "the second", second())
		want{2, nil}.check(t, "the third", third())
	})
}

// TestRun_EndsWhileUploadsEnd: whatever has ended and not been noticed when the term ends, Run returns.
func TestRun_EndsWhileUploadsEnd(t *testing.T) {
	// What comes first is chance: unmended it hung in one run of eight.
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32 // of the clock, since the first upload began
			stopped := make(chan struct{})
			var a *testAgent
			a = newWorld(t).agent(func(cfg *Config, _ *testAgent, _ *metastore.Store) {
				cfg.UploadsMax, cfg.SegmentBytesMax = 2, 1<<10
				cfg.Clock = func() time.Time {
					// The first is Append's. The second is the loop's, which is about to begin a flush: the
					// upload that runs ends meanwhile, and so does the term.
					if calls.Load() > 0 && calls.Add(1) == 3 {
						time.Sleep(2 * a.putTime)
						go func() {
							defer close(stopped)
							a.stop()
						}()
						time.Sleep(time.Nanosecond)
					}
					return time.Now()
				}
			})
			before := a.begin(produced(0, -1, 0, 0, 1))
			time.Sleep(time.Nanosecond)
			calls.Store(1)
			large := []Batch{produced(1, -1, 0, 0, 200), produced(1, -1, 0, 0, 200)} // a segment each
			s, err := a.Append(t.Context(), large, nil, func() {})
			if err != nil {
				t.Fatal(err)
			}
			want{0, nil}.check(t, "before", before())
			<-stopped
			if !s.Answered() {
				t.Error("what was cut off is not answered")
			}
		})
	}
}

// A segment is settled once all its batches are answered, and all segments before it are.
func TestIngest_Settled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent(func(_ *Config, a *testAgent, _ *metastore.Store) {
			a.putFails = func(n int) error {
				if n == 4 {
					return errors.New("503")
				}
				return nil
			}
		})
		settled := func(what string, want uint64) {
			t.Helper()
			if got := a.Settled(); got != want {
				t.Errorf("%s: %d is settled, want %d", what, got, want)
			}
		}
		settled("at the beginning", 0)
		want{0, nil}.check(t, "one", a.send(produced(1, -1, 0, 0, 1)))
		settled("one", 1)
		gap := a.begin(produced(0, 9, 0, 1, 1))
		time.Sleep(500 * time.Millisecond)
		want{1, nil}.check(t, "one beside a gap", a.send(produced(1, -1, 0, 0, 1)))
		settled("a gap is held", 1)
		want{-1, ErrStorage}.check(t, "without a segment", a.send(produced(1, -1, 0, 0, 1)))
		want{0, nil}.check(t, "the predecessor", a.send(produced(0, 9, 0, 0, 1)))
		want{1, nil}.check(t, "the gap", gap())
		settled("all is answered", 5)
		// What is cut off while its append is under way may land yet.
		a.putTime = time.Hour
		late := a.begin(produced(1, -1, 0, 0, 1))
		time.Sleep(time.Minute)
		a.stop()
		want{-1, ErrUnknown}.check(t, "cut off", late())
		settled("cut off", 5)
	})
}

func TestIngest_AGapOfAClosedConnectionIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent()
		gone := make(chan struct{})
		s, err := a.Append(t.Context(), []Batch{produced(0, 9, 0, 2, 1)}, gone, func() {})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		close(gone)
		r, _ := s.Wait(t.Context())
		want{-1, ErrUnknown}.check(t, "the gap", r[0])
		if n := a.Stats.Fences.Load(); n != 0 {
			t.Errorf("%d fences for a closed connection", n)
		}
		want{0, nil}.check(t, "the producer's first batch", a.send(produced(0, 9, 0, 0, 1)))
	})
}

func TestIngest_ABatchInTwoAgentsStandsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.agent(), w.agent()
		var first, second []func() Result
		for i := range int32(5) {
			first = append(first, a.begin(produced(0, 9, 0, i, 1)))
			second = append(second, b.begin(produced(0, 9, 0, i, 1)))
		}
		for i := range first {
			want{int64(i), nil}.check(t, "in agent a", first[i]())
			want{int64(i), nil}.check(t, "in agent b", second[i]())
		}
		if n := a.Stats.Voids.Load() + b.Stats.Voids.Load(); n == 0 {
			t.Error("no batch was void: the agents did not race")
		}
	})
}

func TestIngest_UploadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		refused := errors.New("503")
		a := w.agent(func(_ *Config, a *testAgent, _ *metastore.Store) {
			a.putFails = func(n int) error {
				if n == 1 {
					return refused
				}
				return nil
			}
		})
		s, err := a.Append(t.Context(), []Batch{produced(0, -1, 0, 0, 1), produced(1, 9, 0, 0, 1)}, nil, func() {})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := s.Wait(t.Context())
		want{-1, ErrStorage}.check(t, "without producer id", r[0])
		want{-1, ErrUnknown}.check(t, "idempotent", r[1])
		want{0, nil}.check(t, "the retry", a.send(produced(1, 9, 0, 0, 1)))
	})
}

// losing loses replies of appends by their count, from 1.
type losing struct {
	metastore.Store
	mu   sync.Mutex
	n    int
	lose func(n int) bool
}

func (l *losing) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	v, err := l.Store.Append(ctx, term, parts)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if l.lose(l.n) {
		return nil, errors.New("connection reset")
	}
	return v, err
}

func TestIngest_ReplyLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent(func(_ *Config, _ *testAgent, s *metastore.Store) {
			*s = &losing{Store: *s, lose: func(n int) bool { return n%3 != 0 }}
		})
		for i := range int32(6) {
			want{int64(i), nil}.check(t, "a batch", a.send(produced(0, 9, 0, i, 1)))
		}
		var high int64
		metastore.View(a.follower.Replica(metastore.ShardJournal(0)), func(s *shard.State) {
			_, high, _, _ = s.Bounds(shard.PartitionID{Topic: 1})
		})
		if high != 6 {
			t.Errorf("the high watermark is %d, want 6", high)
		}
	})
}

// fencing remembers the most fences in one entry.
type fencing struct {
	metastore.Store
	most atomic.Int32
}

func (f *fencing) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	for _, p := range parts {
		n := int32(0)
		_, effects, err := metastore.ParseEntry(p.Payload)
		for ok := true; err == nil && ok; {
			var kind metastore.EffectKind
			if kind, _, ok, err = effects.Next(); ok && kind == metastore.EffectFence {
				n++
			}
		}
		if err != nil {
			return nil, err
		}
		f.most.Store(max(f.most.Load(), n))
	}
	return f.Store.Append(ctx, term, parts)
}

// TestFence_EntriesAreBounded: of any number of gaps whose time is up at once no more are fenced
// by one entry than batches are appended by one; else it would pass what an entry may have.
func TestFence_EntriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batchesMax, gaps = 10, 45
		var store *fencing
		a := newWorld(t).agent(func(cfg *Config, _ *testAgent, s *metastore.Store) {
			cfg.BatchesMax = batchesMax
			store = &fencing{Store: *s}
			*s = store
		})
		var results []func() Result
		for producer := range int64(gaps) {
			results = append(results, a.begin(produced(0, producer, 0, 1, 1)))
		}
		for _, result := range results {
			want{-1, ErrOutOfOrder}.check(t, "a gap", result())
		}
		if most := store.most.Load(); most == 0 || most > batchesMax {
			t.Errorf("%d fences in an entry, want %d at most", most, batchesMax)
		}
	})
}

func TestIngest_TermEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent()
		want{0, nil}.check(t, "while it lives", a.send(produced(0, 9, 0, 0, 1)))
		if _, err := w.store.EndTerm(t.Context(), a.term, true); err != nil {
			t.Fatal(err)
		}
		one, two := a.begin(produced(0, 9, 0, 1, 1)), a.begin(produced(1, -1, 0, 0, 1))
		want{-1, ErrUnknown}.check(t, "idempotent", one())
		want{-1, ErrUnknown}.check(t, "plain", two())
		want{-1, ErrUnknown}.check(t, "later", a.send(produced(0, 9, 0, 1, 1)))
		if err := a.stop(); !errors.Is(err, metastore.ErrTermEnded) {
			t.Errorf("Run returned %v", err)
		}
		b := w.agent()
		want{1, nil}.check(t, "by another agent", b.send(produced(0, 9, 0, 1, 1)))
	})
}

func TestIngest_UnknownPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newWorld(t).agent()
		for _, producer := range []int64{-1, 9} {
			b := produced(0, producer, 0, 0, 1)
			b.Partition.Topic = 99
			want{-1, ErrPartitionClosed}.check(t, "unknown topic", a.send(b))
		}
	})
}

func TestIngest_BufferIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent(func(c *Config, _ *testAgent, _ *metastore.Store) {
			c.SegmentBytesMax, c.BufferBytesMax = 1<<10, 4<<10
		})
		var done sync.WaitGroup
		for i := range 200 {
			done.Go(func() {
				if r := a.send(produced(int32(i%8), -1, 0, 0, 10)); r.Err != nil {
					t.Error(r.Err)
				}
			})
		}
		most := int64(0)
		for range 1000 {
			a.mu.Lock()
			most = max(most, a.mu.inFlight)
			a.mu.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
		done.Wait()
		if most > 4<<10 || most < 2<<10 {
			t.Errorf("at most %d bytes were in flight, want up to 4 KiB", most)
		}
	})
}

func TestIngest_PutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent(func(c *Config, a *testAgent, _ *metastore.Store) {
			c.PutsPerSecondMax, a.putTime = 10, time.Millisecond
		})
		began := time.Now()
		var done sync.WaitGroup
		for i := range 4 {
			done.Go(func() {
				for time.Since(began) < 10*time.Second {
					a.send(produced(int32(i), -1, 0, 0, 1))
				}
			})
		}
		done.Wait()
		if n := a.nPuts; n < 90 || n > 125 {
			t.Errorf("%d PUTs in ten seconds, want about the budget of 10 a second", n)
		}
	})
}

// The budget follows the load: what it allows beside full segments ends where these fill by themselves.
func TestPace_BudgetFollowsTheLoad(t *testing.T) {
	cfg := DefaultConfig()
	for _, row := range []struct {
		bytesPerSecond int64
		free           bool
		least, most    float64 // flushes a second
	}{
		{100 << 10, false, cfg.PutsPerSecondMax - 2, cfg.PutsPerSecondMax + 1},
		{12 << 20, false, 8, 18},
		{20 << 20, false, 2.8, 6},    // the linger alone makes 2.86
		{32 << 20, false, 3.9, 4.25}, // 136 a GiB are 4.25
		{128 << 20, false, 15.5, 16.5},
		{128 << 20, true, 24, 26},
	} {
		cfg.PutsFree = row.free
		now := time.Unix(0, 0)
		p := newPace(cfg, now)
		p.uploaded(time.Millisecond)
		const step, warm, seconds = time.Millisecond, 5, 20
		var size int64
		var since time.Time
		flushes := 0
		for i := range (warm + seconds) * int(time.Second/step) {
			if size == 0 {
				since = now
			}
			size += row.bytesPerSecond / int64(time.Second/step)
			if p.due(now, since, size, 1, 0) != notDue {
				p.started(now, size)
				size = 0
				if i >= warm*int(time.Second/step) {
					flushes++
				}
			} else if wait := p.next(now, since, 0); wait <= 0 || wait > cfg.Linger {
				t.Fatalf("the next flush after %v", wait)
			}
			now = now.Add(step)
		}
		if got := float64(flushes) / seconds; got < row.least || got > row.most {
			t.Errorf("%d bytes a second, free %v: %.1f PUTs a second, want %.1f to %.1f", row.bytesPerSecond, row.free, got, row.least, row.most)
		}
	}
}

func TestIngest_Idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent()
		before := w.store.Statements()
		time.Sleep(time.Minute)
		if n := w.store.Statements().Since(before).Append; n != 0 || a.nPuts != 0 {
			t.Errorf("%d appends and %d PUTs in an idle minute", n, a.nPuts)
		}
	})
}

func TestAppend_TellsOnceWhenTheBytesAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.agent(func(c *Config, a *testAgent, _ *metastore.Store) { c.UploadsMax = 1 })
		var copied [3]atomic.Int32
		append := func(n int, batches ...Batch) *Submission {
			s, err := a.Append(t.Context(), batches, nil, func() { copied[n].Add(1) })
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		append(0)
		if copied[0].Load() != 1 {
			t.Error("nothing to copy, and not told")
		}
		s := append(1, produced(0, -1, 0, 0, 1), produced(1, -1, 0, 0, 1))
		time.Sleep(a.putTime / 2) // It is being uploaded.
		append(2, produced(0, -1, 0, 0, 1))
		synctest.Wait()
		select {
		case <-s.Done():
			t.Error("answered before its upload has ended")
		default:
		}
		if copied[1].Load() != 1 || copied[2].Load() != 0 {
			t.Errorf("told %d times of what is in the segment, %d of what waits for the next", copied[1].Load(), copied[2].Load())
		}
		// The end of the term: what waits is read no more.
		if err := a.stop(); err != nil {
			t.Fatal(err)
		}
		if copied[1].Load() != 1 || copied[2].Load() != 1 {
			t.Errorf("told %d and %d times", copied[1].Load(), copied[2].Load())
		}
	})
}
