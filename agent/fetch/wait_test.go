package fetch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/agent/cache"
)

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

func TestFetch_PartitionsUnderWayAreBounded(t *testing.T) {
	inWorld(t, 1, func(c *Config, _ *cache.Config) { c.PartitionsMax = 3 }, func(t *testing.T, w *world) {
		topic := w.topic("t", 4)
		w.refresh()
		waits := func(partitions ...int32) time.Duration {
			req := full(asks(topic, 0, partitions...))
			req.MaxWait = time.Second
			began := time.Now()
			w.one(t, req)
			return time.Since(began)
		}
		var first sync.WaitGroup
		first.Go(func() { waits(0, 1) })
		synctest.Wait()
		if took := waits(2); took != time.Second {
			t.Errorf("a fetch within the bound took %v", took)
		}
		first.Wait()
		first.Go(func() { waits(0, 1) })
		synctest.Wait()
		if took := waits(2, 3); took != 2*time.Second {
			t.Errorf("a fetch beyond the bound took %v", took)
		}
		first.Wait()
		if took := waits(0, 1, 2, 3); took != time.Second { // more than the bound: taken alone
			t.Errorf("the largest fetch took %v", took)
		}
	})
}
