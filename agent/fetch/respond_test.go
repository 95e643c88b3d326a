package fetch

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/wire/batch"
)

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

func TestFetch_CorruptBytes(t *testing.T) {
	for name, at := range map[string]int{"a record": batch.HeaderSize + 3, "the leader epoch, which no CRC covers": 12} {
		t.Run(name, func(t *testing.T) { testCorruptByte(t, 4+at) })
	}
}

func testCorruptByte(t *testing.T, at int) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		b := makeBatch(5, 10, 0)
		w.flush(false, produced{Key{topic, 0}, b})
		bad := w.flush(false, produced{Key{topic, 0}, b})
		w.flush(false, produced{Key{topic, 1}, b})
		w.refresh()
		flip := func() {
			w.mu.Lock()
			w.mu.objects[bad][at] ^= 1
			w.mu.Unlock()
		}
		flip()
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
		flip()
		if got = w.one(t, full(asks(topic, 5, 0))); !slices.Equal(got[0].offsets, []int64{5, 9}) {
			t.Errorf("the bucket's bytes are right again: %+v", got)
		}
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
		if n := w.gets(); n != 4 {
			t.Errorf("%d GETs: one for the batch and three ahead", n)
		}
		req.Asks[0].Offset = 10
		w.one(t, req)
		synctest.Wait()
		if n := w.gets(); n != 5 {
			t.Errorf("%d GETs: one more ahead", n)
		}
		// At the tail there is nothing to read ahead.
		req.Asks[0].Offset = 50
		w.one(t, req)
		synctest.Wait()
		if n := w.gets(); n != 6 {
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
		var left []int32 // whose loads found no room: any, since they run side by side
		for _, p := range r.Partitions {
			if p.Err != nil {
				t.Errorf("partition %d: %v", p.Partition, p.Err)
			}
			if p.Bytes == 0 {
				left = append(left, p.Partition)
			}
		}
		if len(left) != 2 {
			r.Release()
			t.Fatalf("all of 6 partitions but %v were served from a cache of 4 blocks", left)
		}
		// Another reader waits for room, and has it once the answer was written.
		done := make(chan []fetched, 1)
		go func() { done <- w.one(t, full(asks(topic, 0, left[0]))) }()
		synctest.Wait()
		if len(done) > 0 {
			t.Error("a reader found room where there was none")
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

func TestFetch_LoadsRunInParallel(t *testing.T) {
	inWorld(t, 1, func(c *Config, _ *cache.Config) { c.LoadsMax = 3 }, func(t *testing.T, w *world) {
		topic := w.topic("t", 5)
		for p := range int32(5) {
			w.flush(false, produced{Key{topic, p}, makeBatch(5, 10, 0)})
		}
		w.refresh()
		held := make(chan struct{})
		w.mu.Lock()
		w.mu.held = held
		w.mu.Unlock()
		done := make(chan []fetched)
		go func() { done <- w.one(t, full(asks(topic, 0, 0, 1, 2, 3, 4))) }()
		synctest.Wait()
		if n := w.gets(); n != 3 {
			t.Errorf("%d loads run at once, not 3", n)
		}
		close(held)
		for i, p := range <-done {
			if !slices.Equal(p.offsets, []int64{0, 4}) {
				t.Errorf("partition %d: %+v", i, p)
			}
		}
	})
}
