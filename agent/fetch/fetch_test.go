package fetch

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/wire/batch"
)

// inWorld runs a test in a bubble with a world of some shards whose follower runs.
func inWorld(t *testing.T, shards int, change func(*Config, *cache.Config), test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shards, change)
		defer w.run()()
		test(t, w)
	})
}

// one fetches and returns what each partition got: the batches' offsets.
func (w *world) one(t *testing.T, req *Request) []fetched {
	t.Helper()
	r := w.fetcher.Fetch(t.Context(), req)
	defer r.Release()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return read(t, r)
}

type fetched struct {
	err     error
	high    int64
	offsets []int64
	bytes   int
}

func read(t *testing.T, r *Response) (all []fetched) {
	t.Helper()
	m := decode(t, r, 4)
	i := 0
	for _, topic := range m.Topics {
		for _, p := range topic.Partitions {
			all = append(all, fetched{r.Partitions[i].Err, p.HighWatermark, offsets(t, p.RecordBatches), len(p.RecordBatches)})
			i++
		}
	}
	return all
}

func TestFetch_TailCostsNoGet(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		a, b, c := makeBatch(3, 10, 0), makeBatch(1, 10, 0), makeBatch(5, 10, 0)
		p0, p1 := Key{topic, 0}, Key{topic, 1}
		w.flush(true, produced{p0, a}, produced{p0, b}, produced{p1, c})
		w.flush(true, produced{p0, c})
		w.refresh()
		got := w.one(t, full(asks(topic, 0, 0, 1)))
		if !slices.Equal(got[0].offsets, []int64{0, 2, 3, 3, 4, 8}) || !slices.Equal(got[1].offsets, []int64{0, 4}) {
			t.Errorf("got %v", got)
		}
		if got[0].high != 9 || got[1].high != 5 {
			t.Errorf("high watermarks %d, %d", got[0].high, got[1].high)
		}
		if n := w.gets(); n != 0 {
			t.Errorf("%d GETs", n)
		}
	})
}

func TestFetch_RecordsAreNotCopied(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		b := makeBatch(10, 100, 0)
		id := w.flush(true, produced{Key{topic, 0}, b}, produced{Key{topic, 0}, b})
		w.refresh()
		r := w.fetcher.Fetch(t.Context(), full(asks(topic, 0, 0)))
		defer r.Release()
		pinned, err := w.blocks.Cache().Read(t.Context(), id, 4, int64(2*len(b)))
		if err != nil {
			t.Fatal(err)
		}
		defer pinned.Release()
		cached := pinned.Slices[0]
		got := r.Encode(18, code)
		// Before, first batch as it is (its base offset is 0), base offset, rest of the second, after.
		if len(got) != 5 {
			t.Fatalf("%d slices", len(got))
		}
		if &got[1][0] != &cached[0] || len(got[1]) != len(b) {
			t.Error("the first batch is not the cache's bytes")
		}
		if &got[3][0] != &cached[len(b)+8] || len(got[3]) != len(b)-8 {
			t.Error("the second batch's rest is not the cache's bytes")
		}
		if !bytes.Equal(got[2], []byte{0, 0, 0, 0, 0, 0, 0, 10}) {
			t.Errorf("base offset %x", got[2])
		}
	})
}

func TestFetch_OneLoadPerBlock(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 3)
		b := makeBatch(10, 5000, 0) // 50 KB: the segment has three blocks of 64 KiB
		var batches []produced
		for p := range int32(3) {
			batches = append(batches, produced{Key{topic, p}, b})
		}
		w.flush(false, batches...)
		w.refresh()
		for range 3 {
			got := w.one(t, full(asks(topic, 0, 0, 1, 2)))
			for _, p := range got {
				if !slices.Equal(p.offsets, []int64{0, 9}) {
					t.Errorf("got %v", p.offsets)
				}
			}
		}
		if n := w.gets(); n != 3 {
			t.Errorf("%d GETs", n)
		}
	})
}

func TestFetch_OffsetInsideABatch(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		key := Key{topic, 0}
		w.flush(true, produced{key, makeBatch(3, 10, 0)}, produced{key, makeBatch(4, 10, 0)}, produced{key, makeBatch(2, 10, 0)})
		w.refresh()
		for offset, want := range map[int64][]int64{
			0: {0, 2, 3, 6, 7, 8}, 2: {0, 2, 3, 6, 7, 8}, 3: {3, 6, 7, 8}, 5: {3, 6, 7, 8}, 8: {7, 8}, 9: nil,
		} {
			if got := w.one(t, full(asks(topic, offset, 0))); !slices.Equal(got[0].offsets, want) || got[0].err != nil {
				t.Errorf("from %d: %v, %v", offset, got[0].offsets, got[0].err)
			}
		}
	})
}

func TestFetch_ByteRules(t *testing.T) {
	b := makeBatch(1, 1000, 0)
	size := len(b)
	for _, c := range []struct {
		name         string
		max, partMax int
		want         []int // batches of partitions 0 to 2, of which 0 is empty
	}{
		{"room for all", 1 << 20, 1 << 20, []int{0, 2, 2}},
		{"one batch for each partition", 1 << 20, size, []int{0, 1, 1}},
		{"a partition's limit below a batch: the first batch of the request goes along", 1 << 20, size - 1, []int{0, 1, 0}},
		{"the request's limit below a batch", 1, 1 << 20, []int{0, 1, 0}},
		{"both limits 0", 0, 0, []int{0, 1, 0}},
		{"the request's limit is used up by the first partition", 2 * size, 1 << 20, []int{0, 2, 0}},
		{"the request's limit leaves a batch for the next", 3 * size, 1 << 20, []int{0, 2, 1}},
		{"the request's limit leaves less than a batch", 3*size - 1, 1 << 20, []int{0, 2, 0}},
		{"negative limits are none", -1, -1, []int{0, 1, 0}},
	} {
		inWorld(t, 2, nil, func(t *testing.T, w *world) {
			topic := w.topic("t", 3)
			for range 2 {
				w.flush(true, produced{Key{topic, 1}, b}, produced{Key{topic, 2}, b})
			}
			w.refresh()
			req := full(asks(topic, 0, 0, 1, 2))
			req.MaxBytes = c.max
			for i := range req.Asks {
				req.Asks[i].BytesMax = int32(c.partMax)
			}
			for i, got := range w.one(t, req) {
				if got.bytes != c.want[i]*size || got.err != nil {
					t.Errorf("%s: partition %d got %d bytes, not %d batches of %d; %v", c.name, i, got.bytes, c.want[i], size, got.err)
				}
			}
		})
	}
}

func TestFetch_ResponseIsBounded(t *testing.T) {
	b := makeBatch(1, 1000, 0)
	inWorld(t, 1, func(c *Config, _ *cache.Config) { c.ResponseBytesMax = 3 * len(b) }, func(t *testing.T, w *world) {
		topic := w.topic("t", 4)
		for range 4 {
			for p := range int32(4) {
				w.flush(true, produced{Key{topic, p}, b})
			}
		}
		w.refresh()
		r := w.fetcher.Fetch(t.Context(), full(asks(topic, 0, 0, 1, 2, 3)))
		defer r.Release()
		if r.Bytes != 3*len(b) {
			t.Errorf("%d bytes", r.Bytes)
		}
	})
}

func TestFetch_SessionRotatesFairly(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 3)
		b := makeBatch(1, 1000, 0)
		for range 10 {
			for p := range int32(3) {
				w.flush(true, produced{Key{topic, p}, b})
			}
		}
		w.refresh()
		req := &Request{Asks: asks(topic, 0, 0, 1, 2), MinBytes: 1, MaxBytes: 1} // room for one batch only
		var order []int32
		for range 6 {
			r := w.fetcher.Fetch(t.Context(), req)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			next := &Request{SessionID: r.SessionID, SessionEpoch: req.SessionEpoch + 1, MinBytes: 1, MaxBytes: 1}
			for _, p := range r.Partitions {
				if p.Bytes > 0 {
					order = append(order, p.Partition)
					next.Asks = asks(topic, int64(len(order))/3, p.Partition)
				}
			}
			r.Release()
			req = next
		}
		// The order of a new session is the request's; who had records goes to its end from then on.
		if !slices.Equal(order, []int32{0, 0, 1, 2, 0, 1}) {
			t.Errorf("partitions were served in the order %v", order)
		}
	})
}

func TestFetch_Waits(t *testing.T) {
	b := makeBatch(1, 1000, 0)
	for _, c := range []struct {
		name     string
		minBytes int
		flushes  int // one each second
		want     time.Duration
		batches  int
	}{
		{"nothing to wait for", 0, 0, 0, 0},
		{"nothing comes", 1, 0, 10 * time.Second, 0},
		{"the first batch", 1, 3, time.Second, 1},
		{"enough bytes", 2*len(b) + 1, 5, 3 * time.Second, 3},
		{"not enough bytes", 100 * len(b), 3, 10 * time.Second, 3},
	} {
		inWorld(t, 2, nil, func(t *testing.T, w *world) {
			topic := w.topic("t", 3)
			w.refresh()
			var writer sync.WaitGroup
			defer writer.Wait()
			writer.Go(func() {
				for i := range c.flushes {
					time.Sleep(time.Second)
					w.flush(true, produced{Key{topic, int32(i % 3)}, b})
					w.refresh()
				}
			})
			req := full(asks(topic, 0, 0, 1, 2))
			req.MaxWait, req.MinBytes = 10*time.Second, c.minBytes
			began := time.Now()
			n := 0
			for _, p := range w.one(t, req) {
				n += p.bytes / len(b)
			}
			if took := time.Since(began); took != c.want || n != c.batches {
				t.Errorf("%s: %d batches after %v", c.name, n, took)
			}
			if n := w.gets(); n != 0 {
				t.Errorf("%s: %d GETs", c.name, n)
			}
			if n := w.hub.Watched(); n != 0 {
				t.Errorf("%s: %d partitions are still watched", c.name, n)
			}
		})
	}
}

func TestFetch_WaitIsBounded(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.refresh()
		req := full(asks(topic, 0, 0))
		req.MaxWait = 1000 * time.Hour
		began := time.Now()
		_ = w.one(t, req)
		if took := time.Since(began); took != w.cfg.WaitMax {
			t.Errorf("waited %v", took)
		}
	})
}

func TestFetch_ConnectionGone(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.refresh()
		req := full(asks(topic, 0, 0))
		req.MaxWait = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		w.fetcher.Fetch(ctx, req).Release()
		if took := time.Since(began); took != time.Second || w.hub.Watched() != 0 {
			t.Errorf("after %v, %d partitions watched", took, w.hub.Watched())
		}
	})
}

func TestFetch_ErrorsOfPartitions(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		w.flush(true, produced{Key{topic, 0}, makeBatch(5, 10, 0)})
		w.refresh()
		for _, c := range []struct {
			name  string
			ask   Ask
			want  error
			waits bool
		}{
			{"beyond the end", Ask{Key: Key{topic, 0}, Offset: 6, CurrentEpoch: -1, LastEpoch: -1}, ErrOffsetOutOfRange, false},
			{"before the begin", Ask{Key: Key{topic, 0}, Offset: -1, CurrentEpoch: -1, LastEpoch: -1}, ErrOffsetOutOfRange, false},
			{"at the end", Ask{Key: Key{topic, 0}, Offset: 5, CurrentEpoch: -1, LastEpoch: -1}, nil, true},
			{"this leader epoch", Ask{Key: Key{topic, 0}, Offset: 5, LastEpoch: -1}, nil, true},
			{"a later leader epoch", Ask{Key: Key{topic, 0}, CurrentEpoch: 1, LastEpoch: -1}, ErrUnknownLeaderEpoch, false},
			{"a partition that there isn't", Ask{Key: Key{topic, 2}, CurrentEpoch: -1, LastEpoch: -1}, ErrUnknownPartition, false},
			{"a topic that there isn't", Ask{Key: Key{Topic{Name: "u"}, 0}, CurrentEpoch: -1, LastEpoch: -1}, ErrUnknownPartition, false},
			{"a topic id that there isn't", Ask{Key: Key{byID(9), 0}, CurrentEpoch: -1, LastEpoch: -1}, ErrUnknownTopicID, false},
			{"the last epoch is later", Ask{Key: Key{topic, 0}, Offset: 1, CurrentEpoch: -1, LastEpoch: 1}, ErrOffsetOutOfRange, false},
		} {
			req := full([]Ask{c.ask})
			req.MaxWait = time.Second
			began := time.Now()
			got := w.one(t, req)[0]
			if !errors.Is(got.err, c.want) || (got.err == nil) != (c.want == nil) {
				t.Errorf("%s: %v", c.name, got.err)
			}
			if got.err != nil && got.high != -1 {
				t.Errorf("%s: a high watermark of %d with an error", c.name, got.high)
			}
			if waited := time.Since(began) > 0; waited != c.waits {
				t.Errorf("%s: waited %v", c.name, waited)
			}
		}
	})
}

func TestFetch_UnknownTopicDoesNotHurry(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.refresh()
		req := full(append(asks(Topic{Name: "u"}, 0, 0), asks(topic, 0, 0)...))
		req.MaxWait = time.Second
		began := time.Now()
		got := w.one(t, req)
		if took := time.Since(began); took != time.Second || !errors.Is(got[0].err, ErrUnknownPartition) || got[1].err != nil {
			t.Errorf("after %v: %v", took, got)
		}
	})
}

func TestFetch_DivergingEpoch(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.flush(true, produced{Key{topic, 0}, makeBatch(5, 10, 0)})
		w.refresh()
		req := full(asks(topic, 7, 0))
		req.Asks[0].LastEpoch, req.MaxWait = 0, time.Second
		r := w.fetcher.Fetch(t.Context(), req)
		defer r.Release()
		p := decode(t, r, 12).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != 0 || p.DivergingEpoch.EndOffset != 5 {
			t.Errorf("%+v", p)
		}
	})
}

func TestFetch_RefreshesBeforeItRefuses(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		w.refresh()
		b := makeBatch(5, 10, 0)
		w.flush(true, produced{Key{topic, 1}, b}) // by another agent: nobody told this one
		w.flush(true, produced{Key{topic, 1}, b})
		if got := w.one(t, full(asks(topic, 7, 1)))[0]; got.err != nil || !slices.Equal(got.offsets, []int64{5, 9}) {
			t.Errorf("%+v", got)
		}
		// A partition that was opened meanwhile is known after a refresh, too.
		other := w.topic("new", 1)
		if got := w.one(t, full(asks(other, 0, 0)))[0]; got.err != nil || got.high != 0 {
			t.Errorf("%+v", got)
		}
		// Within the bounds no refresh is needed.
		before := w.fetcher.Stats().Refreshes
		w.one(t, full(asks(topic, 0, 1)))
		if n := w.fetcher.Stats().Refreshes - before; n != 0 {
			t.Errorf("%d refreshes", n)
		}
		// What can't be refreshed can't be refused for good.
		w.refuse(errRefused)
		if got := w.one(t, full(asks(topic, 20, 1)))[0]; !errors.Is(got.err, ErrStale) {
			t.Errorf("%v", got.err)
		}
	})
}

func TestFetch_StaleReplicaAnswersNothing(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.flush(true, produced{Key{topic, 0}, makeBatch(5, 10, 0)})
		w.refresh()
		w.refuse(errRefused)
		time.Sleep(w.cfg.StalenessMax)
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; got.err != nil {
			t.Errorf("at the limit: %v", got.err)
		}
		time.Sleep(time.Millisecond)
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; !errors.Is(got.err, ErrStale) {
			t.Errorf("beyond the limit: %v", got.err)
		}
		w.refuse(nil)
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; got.err != nil {
			t.Errorf("the metastore is back: %v", got.err)
		}
	})
}

func TestFetch_HighWatermarkNeverGoesBack(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.refresh()
		w.fetcher.newest(0, 100) // another replica of the shard was further
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; !errors.Is(got.err, ErrStale) {
			t.Errorf("%v", got.err)
		}
	})
}

func TestFetch_CorruptBytes(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		b := makeBatch(5, 10, 0)
		good := w.flush(false, produced{Key{topic, 0}, b})
		bad := w.flush(false, produced{Key{topic, 0}, b})
		w.flush(false, produced{Key{topic, 1}, b})
		w.refresh()
		w.mu.Lock()
		w.mu.objects[bad][4+batch.HeaderSize+3] ^= 1
		w.mu.Unlock()
		got := w.one(t, full(asks(topic, 0, 0, 1)))
		if !slices.Equal(got[0].offsets, []int64{0, 4}) || !slices.Equal(got[1].offsets, []int64{0, 4}) {
			t.Errorf("what is right is to be returned: %+v", got)
		}
		before := w.gets()
		got = w.one(t, full(asks(topic, 5, 0)))
		if !errors.Is(got[0].err, ErrCorrupt) {
			t.Errorf("%+v", got)
		}
		if n := w.gets() - before; n != 2 {
			t.Errorf("%d GETs: once more than the first, which was evicted", n)
		}
		w.mu.Lock()
		w.mu.objects[bad][4+batch.HeaderSize+3] ^= 1
		w.mu.Unlock()
		if got = w.one(t, full(asks(topic, 5, 0))); !slices.Equal(got[0].offsets, []int64{5, 9}) {
			t.Errorf("the bucket's bytes are right again: %+v", got)
		}
		_ = good
	})
}

func TestFetch_SegmentGone(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		b := makeBatch(5, 10, 0)
		gone := w.flush(false, produced{Key{topic, 0}, b})
		w.flush(true, produced{Key{topic, 1}, b})
		w.refresh()
		w.mu.Lock()
		delete(w.mu.objects, gone)
		w.mu.Unlock()
		before := w.fetcher.Stats()
		got := w.one(t, full(asks(topic, 0, 0, 1)))
		if !errors.Is(got[0].err, ErrStorage) || !slices.Equal(got[1].offsets, []int64{0, 4}) {
			t.Errorf("%+v", got)
		}
		after := w.fetcher.Stats()
		if n := after.Refreshes - before.Refreshes; n != 1 {
			t.Errorf("%d refreshes", n)
		}
		if n := after.Missing - before.Missing; n != 2 {
			t.Errorf("%d misses were counted", n)
		}
	})
}

func TestFetch_JournalStopped(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		b := makeBatch(5, 10, 0)
		w.flush(true, produced{Key{topic, 0}, b}, produced{Key{topic, 1}, b})
		w.refresh()
		w.append(1, []byte{99, 0})
		_ = w.follower.Refresh(t.Context(), w.follower.Replicas()[1].ID())
		got := w.one(t, full(asks(topic, 0, 0, 1)))
		if got[0].err != nil || !errors.Is(got[1].err, ErrStorage) {
			t.Errorf("%+v", got)
		}
	})
}

func TestFetch_ReadsAheadOfWhoCatchesUp(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		b := makeBatch(10, 6000, 0) // about a block
		for range 6 {
			w.flush(false, produced{Key{topic, 0}, b})
		}
		w.refresh()
		req := full(asks(topic, 0, 0))
		req.Asks[0].BytesMax = int32(len(b))
		if got := w.one(t, req)[0]; !slices.Equal(got.offsets, []int64{0, 9}) {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if n := w.gets(); n != 3 {
			t.Errorf("%d GETs: one for the batch and two ahead", n)
		}
		req.Asks[0].Offset = 10
		w.one(t, req)
		synctest.Wait()
		if n := w.gets(); n != 4 {
			t.Errorf("%d GETs: one more ahead", n)
		}
		// At the tail there is nothing to read ahead.
		req.Asks[0].Offset = 50
		w.one(t, req)
		synctest.Wait()
		if n := w.gets(); n != 5 {
			t.Errorf("%d GETs", n)
		}
	})
}

func TestFetch_CacheFullOfPins(t *testing.T) {
	inWorld(t, 1, func(_ *Config, c *cache.Config) { c.BytesMax = 4 * 64 << 10 }, func(t *testing.T, w *world) {
		topic := w.topic("t", 6)
		b := makeBatch(10, 6000, 0)
		for p := range int32(6) {
			w.flush(false, produced{Key{topic, p}, b})
		}
		w.refresh()
		r := w.fetcher.Fetch(t.Context(), full(asks(topic, 0, 0, 1, 2, 3, 4, 5)))
		served := 0
		for _, p := range r.Partitions {
			if p.Err != nil {
				t.Errorf("partition %d: %v", p.Partition, p.Err)
			}
			if p.Bytes > 0 {
				served++
			}
		}
		if served != 4 {
			t.Errorf("%d partitions were served from a cache of 4 blocks", served)
		}
		// Another reader waits for room, and has it once the answer was written.
		done := make(chan []fetched)
		go func() { done <- w.one(t, full(asks(topic, 0, 5))) }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("a reader found room where there was none")
		default:
		}
		r.Release()
		if got := <-done; !slices.Equal(got[0].offsets, []int64{0, 9}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestFetch_BatchOverTwoBlocks(t *testing.T) {
	for shift := range 12 {
		inWorld(t, 1, nil, func(t *testing.T, w *world) {
			topic := w.topic("t", 2)
			first := makeBatch(1, 64<<10-4-60-batch.HeaderSize-20+shift*8, 0)
			b := makeBatch(3, 1000, 0)
			w.flush(false, produced{Key{topic, 0}, b[:0:0]}.or(first), produced{Key{topic, 1}, b}, produced{Key{topic, 1}, b})
			w.refresh()
			if got := w.one(t, full(asks(topic, 0, 1)))[0]; !slices.Equal(got.offsets, []int64{0, 2, 3, 5}) {
				t.Errorf("shifted by %d: %+v", shift, got)
			}
		})
	}
}

// or returns the batch with other bytes.
func (p produced) or(bytes []byte) produced { return produced{p.key, bytes} }
