package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoom_Waits: while everything is pinned a read waits, and goes on when a pin is released.
func TestRoom_Waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 4)
		id := s.add(1, 16*testBlock)
		var pins []*Pinned
		for i := range 4 {
			pins = append(pins, read(t, c, s, id, i*testBlock, testBlock))
		}
		if _, err := c.ReadMore(t.Context(), id, 8*testBlock, 1); !errors.Is(err, ErrFull) {
			t.Errorf("ReadMore without room: %v", err)
		}
		if p, err := c.ReadMore(t.Context(), id, 0, 2*testBlock); err != nil {
			t.Errorf("ReadMore of what is here: %v", err)
		} else {
			p.Release()
		}
		begin := time.Now()
		if _, err := c.Read(t.Context(), id, 8*testBlock, 1); !errors.Is(err, ErrFull) || time.Since(begin) != c.cfg.RoomWaitMax {
			t.Errorf("read without room: %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Read(ctx, id, 8*testBlock, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read without room: %v", err)
		}
		c.Prefetch(id, 8*testBlock, testBlock)
		if got := c.Stats(); got.Loads != 4 || got.PrefetchesDropped != 1 || got.Bytes != 4*testBlock {
			t.Errorf("%+v", got)
		}
		done := make(chan *Pinned)
		go func() { done <- read(t, c, s, id, 8*testBlock, 2*testBlock) }() // needs two
		synctest.Wait()
		pins[0].Release()
		synctest.Wait()
		select {
		case <-done:
			t.Error("a read found room that wasn't there")
		default:
		}
		pins[1].Release()
		(<-done).Release()
		pins[2].Release()
		pins[3].Release()
		if n := s.loaded(id, 8*testBlock); n != 1 {
			t.Errorf("%d loads", n)
		}
	})
}

// TestRoom_ReadersDontHoldAndWait: readers that each need most of the cache all come through.
func TestRoom_ReadersDontHoldAndWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 4)
		id := s.add(1, 41*testBlock)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				p := read(t, c, s, id, i*2*testBlock, 3*testBlock)
				time.Sleep(time.Millisecond)
				p.Release()
			})
		}
		wg.Wait()
		if got := c.Stats(); got.Bytes > c.cfg.BytesMax || got.PinnedBytes != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestRoom_ScanResistance: what is read again and again outlives a scan much larger than the cache.
func TestRoom_ScanResistance(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 16)
	hot, scanned := s.add(1, 4*testBlock), s.add(2, 200*testBlock)
	for i := range 60 {
		if i%30 < 4 { // the second time they are known to have been evicted
			touch(t, c, s, hot, i%30)
		}
		touch(t, c, s, scanned, i)
	}
	before := s.loaded(hot, 0)
	if before != 2 {
		t.Fatalf("%d loads before the scan", before)
	}
	for i := 60; i < 200; i++ {
		for range 5 { // several fetches read each block
			touch(t, c, s, scanned, i)
		}
		touch(t, c, s, hot, i%4)
	}
	if after := s.loaded(hot, 0); after != before {
		t.Errorf("the scan evicted what is read again and again: %d loads", after-before)
	}
}

// TestRoom_LeastRecentFirst: without anything protected, the least recently used goes first.
func TestRoom_LeastRecentFirst(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 4)
	id := s.add(1, 8*testBlock)
	for _, i := range []int{0, 1, 2, 3, 0, 4} {
		touch(t, c, s, id, i)
	}
	for _, i := range []int{0, 2, 3, 4} {
		touch(t, c, s, id, i)
		if n := s.loaded(id, i*testBlock); n != 1 {
			t.Errorf("block %d was loaded %d times", i, n)
		}
	}
	if got := c.Stats(); got.Evictions != 1 {
		t.Errorf("%+v", got)
	}
}

func TestGhosts_Bounded(t *testing.T) {
	var g ghosts
	s := newSource()
	for i := range 3 * ghostsMax {
		g.add(key{s.add(uint64(i), 0), 0})
	}
	if len(g.held) != ghostsMax || len(g.ring) != ghostsMax {
		t.Errorf("%d and %d keys", len(g.held), len(g.ring))
	}
	last := key{s.add(3*ghostsMax-1, 0), 0}
	if !g.take(last) || g.take(last) || g.take(key{s.add(0, 0), 0}) {
		t.Error("the wrong keys are remembered")
	}
}

// TestRoom_IsSharedWithOthers: the cache makes room for what others hold of its memory, and keeps half of it.
func TestRoom_IsSharedWithOthers(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 8)
	var outside int64
	c.cfg.Outside = func() int64 { return outside }
	id := s.add(1, 16*testBlock)
	for i := range 8 {
		read(t, c, s, id, i*testBlock, testBlock).Release()
	}
	for _, row := range []struct{ outside, held int64 }{{0, 8}, {2, 6}, {3, 5}, {100, 4}, {0, 5}} {
		outside = row.outside * testBlock
		c.Evict(id)
		for i := range int(row.held) + 2 {
			if row.held == 5 && row.outside == 0 && i == 5 {
				break // Room that came back is used.
			}
			read(t, c, s, id, i*testBlock, testBlock).Release()
		}
		if got := c.Stats().Bytes; got != row.held*testBlock {
			t.Errorf("%d blocks held by others: the cache holds %d bytes; want %d blocks", row.outside, got, row.held)
		}
	}
}
