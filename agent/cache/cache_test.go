package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/wire/segment"
)

func TestRead_AcrossBlocks(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 8)
	size := 3*testBlock + 100
	id := s.add(1, size)
	for _, r := range []struct{ position, length, slices int }{
		{0, 1, 1}, {0, testBlock, 1}, {testBlock - 1, 2, 2}, {0, size, 4}, {testBlock, 2 * testBlock, 2},
		{3 * testBlock, 100, 1}, {3*testBlock - 1, 101, 2}, {size - 1, 1, 1},
	} {
		p := read(t, c, s, id, r.position, r.length)
		if len(p.Slices) != r.slices {
			t.Errorf("%d bytes at %d came in %d slices; want %d", r.length, r.position, len(p.Slices), r.slices)
		}
		p.Release()
		p.Release() // does nothing
	}
	for i := range 4 {
		if n := s.loaded(id, i*testBlock); n != 1 {
			t.Errorf("block %d was loaded %d times", i, n)
		}
	}
	// The last block is kept in a buffer of its size.
	if got, want := c.Stats().Bytes, int64(3*testBlock+classBytesMin); got != want {
		t.Errorf("%d bytes are held; want %d", got, want)
	}
}

func TestRead_Refuses(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 4)
	id := s.add(1, testBlock+10)
	empty := s.add(2, 0)
	for _, r := range []struct {
		id               segment.ID
		position, length int64
		want             error
	}{
		{id, testBlock, 11, ErrShort}, {id, 0, 2 * testBlock, ErrShort}, {id, 5 * testBlock, 1, ErrShort},
		{id, testBlock + 10, 1, ErrShort}, {id, 0, 3 * testBlock, ErrShort}, {empty, 0, 1, ErrShort},
		{id, 0, 5 * testBlock, ErrTooLong}, {id, 0, 1 << 62, ErrTooLong},
		{id, -1, 1, nil}, {id, 0, 0, nil}, {id, 0, -1, nil}, {id, 1<<63 - 1, 1, nil},
	} {
		p, err := c.Read(t.Context(), r.id, r.position, r.length)
		if err == nil || p != nil || r.want != nil && !errors.Is(err, r.want) {
			t.Errorf("%d bytes at %d: %v; want %v", r.length, r.position, err, r.want)
		}
	}
	if pinned := c.Stats().PinnedBytes; pinned != 0 {
		t.Errorf("%d bytes stay pinned", pinned)
	}
	whole := s.add(3, 100)
	c.Put(whole, content(whole, 100), nil)
	if _, err := c.Read(t.Context(), whole, 99, 2); !errors.Is(err, ErrShort) {
		t.Errorf("past the end of a whole segment: %v", err)
	}
	if _, err := c.Read(t.Context(), whole, 100, 1); !errors.Is(err, ErrShort) {
		t.Errorf("at the end of a whole segment: %v", err)
	}
}

// TestRead_OneLoad: however many ask for a block at once, it is loaded once.
func TestRead_OneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 8)
		id := s.add(1, 4*testBlock)
		release := s.holdLoads()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { read(t, c, s, id, testBlock/2, 2*testBlock).Release() })
		}
		synctest.Wait()
		if got := c.Stats(); got.Loads != 3 || got.Misses != 3 || got.Shared != 147 || got.Bytes != 3*testBlock {
			t.Errorf("while loading: %+v", got)
		}
		release()
		wg.Wait()
		read(t, c, s, id, 0, 3*testBlock).Release()
		for i := range 3 {
			if n := s.loaded(id, i*testBlock); n != 1 {
				t.Errorf("block %d was loaded %d times", i, n)
			}
		}
		if got := c.Stats(); got.Loads != 3 || got.Hits != 3 {
			t.Errorf("after loading: %+v", got)
		}
	})
}

// TestRead_WaiterLeaves: a reader whose ctx ends leaves, the others get the one load.
func TestRead_WaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 4)
		id := s.add(1, testBlock)
		release := s.holdLoads()
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := c.Read(ctx, id, 0, 1)
			first <- err
		}()
		synctest.Wait()
		second := make(chan *Pinned, 1)
		go func() { second <- read(t, c, s, id, 0, testBlock) }()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first reader: %v", err)
		}
		release()
		(<-second).Release()
		if n := s.loaded(id, 0); n != 1 {
			t.Errorf("%d loads", n)
		}
		// Also when nobody is left, the load is kept for the next.
		id = s.add(2, testBlock)
		release = s.holdLoads()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Read(ctx, id, 0, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the only reader: %v", err)
		}
		release()
		synctest.Wait()
		touch(t, c, s, id, 0)
		if n := s.loaded(id, 0); n != 1 {
			t.Errorf("%d loads", n)
		}
	})
}

// TestRead_LoadFails: all who waited are told, and the next read loads anew.
func TestRead_LoadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 4)
		id := s.add(1, 2*testBlock)
		broken := errors.New("broken")
		s.setFail(broken)
		release := s.holdLoads()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := c.Read(t.Context(), id, 0, 2*testBlock); !errors.Is(err, broken) {
					t.Errorf("read: %v", err)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		synctest.Wait()
		if got := c.Stats(); got.Bytes != 0 || got.Entries != 0 || got.LoadErrors != 2 {
			t.Errorf("after the failure: %+v", got)
		}
		s.setFail(nil)
		read(t, c, s, id, 0, 2*testBlock).Release()
		if n := s.loaded(id, 0); n != 2 {
			t.Errorf("%d loads", n)
		}
	})
}

// TestPut_FreedOnce: a handed-over segment is freed once, when neither held nor pinned.
func TestPut_FreedOnce(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 4)
	freed := map[uint64]int{}
	put := func(number uint64, size int) segment.ID {
		id := s.add(number, size)
		c.Put(id, content(id, size), func(b []byte) {
			if len(b) != size {
				t.Errorf("segment %d came back with %d bytes", number, len(b))
			}
			freed[number]++
			clear(b) // whoever still reads it would see
		})
		return id
	}
	first := put(1, testBlock)
	p := read(t, c, s, first, 10, 100)
	if c.Stats().Loads != 0 {
		t.Error("a segment that was handed over was loaded")
	}
	put(1, testBlock) // again: the new buffer goes back at once
	if freed[1] != 1 {
		t.Errorf("the second buffer was freed %d times", freed[1])
	}
	for n := range uint64(8) {
		put(2+n, testBlock)
	}
	if err := s.check(p, first, 10, 100); err != nil {
		t.Errorf("while pinned: %v", err)
	}
	c.Evict(first)
	if freed[1] != 1 {
		t.Error("freed while pinned")
	}
	if err := s.check(p, first, 10, 100); err != nil {
		t.Errorf("evicted while pinned: %v", err)
	}
	p.Release()
	if freed[1] != 2 {
		t.Errorf("after the release it has been freed %d times", freed[1])
	}
	put(20, 5*testBlock) // larger than the cache
	if freed[20] != 1 || c.Stats().PutsDropped != 2 {
		t.Errorf("a segment without room was freed %d times; %+v", freed[20], c.Stats())
	}
	c.Close()
	put(21, 1)
	for n := uint64(2); n < 10; n++ {
		if freed[n] != 1 {
			t.Errorf("segment %d was freed %d times", n, freed[n])
		}
	}
	if freed[21] != 1 {
		t.Error("a put after Close was kept")
	}
}

// TestEvict_LoadsOnceMore: who finds bytes broken evicts them, and the next read loads them anew.
func TestEvict_LoadsOnceMore(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 8)
	id := s.add(1, 4*testBlock)
	p := read(t, c, s, id, 0, 4*testBlock)
	other := read(t, c, s, id, 0, testBlock)
	p.Evict()
	p.Evict()
	p.Release()
	if err := s.check(other, id, 0, testBlock); err != nil {
		t.Errorf("another reader's pin: %v", err)
	}
	late := read(t, c, s, id, 0, testBlock)
	other.Evict() // what was read before the reload: the reloaded block stays
	late.Release()
	read(t, c, s, id, 0, testBlock).Release()
	if n := s.loaded(id, 0); n != 2 {
		t.Errorf("%d loads", n)
	}
	c.Evict(id)
	if got := c.Stats(); got.Entries != 0 || got.Bytes != 0 {
		t.Errorf("after Evict: %+v", got)
	}
	c.Evict(segment.ID{Term: 9, Number: 9})
}

// TestEvict_WhileLoading: who waits gets the load, who comes after loads anew.
func TestEvict_WhileLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 4)
		id := s.add(1, testBlock)
		release := s.holdLoads()
		var wg sync.WaitGroup
		wg.Go(func() { read(t, c, s, id, 0, testBlock).Release() })
		synctest.Wait()
		c.Evict(id)
		wg.Go(func() { read(t, c, s, id, 0, testBlock).Release() })
		synctest.Wait()
		if n := s.loaded(id, 0); n != 2 {
			t.Errorf("%d loads", n)
		}
		release()
		wg.Wait()
		synctest.Wait()
		if got := c.Stats(); got.Entries != 1 || got.Bytes != testBlock {
			t.Errorf("%+v", got)
		}
	})
}

func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 16, func(c *Config) { c.PrefetchesMax = 8 })
		id := s.add(1, 12*testBlock+1)
		touch(t, c, s, id, 1)
		release := s.holdLoads()
		c.Prefetch(id, 0, 5*testBlock)
		c.Prefetch(id, 0, 5*testBlock)
		synctest.Wait()
		if got := c.Stats(); got.Prefetches != 4 || got.PrefetchesDropped != 0 || got.PinnedBytes != 4*testBlock {
			t.Errorf("%+v", got)
		}
		c.Prefetch(id, 5*testBlock, 20*testBlock) // 4 more may be under way
		if got := c.Stats(); got.Prefetches != 8 || got.PrefetchesDropped != 1 {
			t.Errorf("%+v", got)
		}
		release()
		synctest.Wait()
		read(t, c, s, id, 0, 9*testBlock).Release()
		if got := c.Stats(); got.Loads != 9 || got.Hits != 9 {
			t.Errorf("%+v", got)
		}
		c.Prefetch(id, 12*testBlock, 4*testBlock) // past the end nothing is kept
		synctest.Wait()
		if got := c.Stats(); got.Entries != 10 || got.LoadErrors != 3 {
			t.Errorf("%+v", got)
		}
		for _, r := range [][2]int64{{-1, 1}, {0, 0}, {1, 1<<63 - 1}} {
			c.Prefetch(id, r[0], r[1])
		}
		if got := c.Stats().Prefetches; got != 12 {
			t.Errorf("%d prefetches", got)
		}
	})
}

// TestPrefetch_Run: blocks that follow each other are loaded by one request, each is there as soon as
// its bytes are, and what a broken request didn't bring is loaded by who reads it.
func TestPrefetch_Run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 32, func(c *Config) { c.LoadRun, c.RunBytesMax, c.PrefetchesMax = s.loadRun, 8*testBlock, 2 })
		id := s.add(1, 20*testBlock+1)
		touch(t, c, s, id, 3)
		if !c.Prefetch(id, 0, 12*testBlock-5) {
			t.Error("something was dropped")
		}
		synctest.Wait()
		read(t, c, s, id, 0, 12*testBlock).Release()
		for i, want := range map[int]int{0: 1, 1: 0, 3: 1, 4: 1, 11: 0} {
			if got := s.loaded(id, i*testBlock); got != want {
				t.Errorf("block %d: %d requests, want %d", i, got, want)
			}
		}
		release := s.holdLoads()
		if c.Prefetch(id, 12*testBlock, 30*testBlock) { // to the end and beyond, in three runs: one too many
			t.Error("nothing was dropped")
		}
		release()
		synctest.Wait()
		if got := c.Stats(); got.Entries != 21 || got.PrefetchesDropped != 1 || got.PinnedBytes != 0 {
			t.Errorf("%+v", got)
		}
		read(t, c, s, id, 0, 20*testBlock+1).Release()

		id = s.add(2, 8*testBlock)
		s.failRun = true
		c.Prefetch(id, 0, 8*testBlock)
		synctest.Wait()
		read(t, c, s, id, 0, 8*testBlock).Release()
		if first, second := s.loaded(id, 0), s.loaded(id, testBlock); first != 1 || second != 1 {
			t.Errorf("%d and %d requests for what came and what didn't", first, second)
		}
	})
}

func TestClose_EndsLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 4)
		id := s.add(1, 8*testBlock)
		pinned := read(t, c, s, id, 0, testBlock)
		release := s.holdLoads()
		defer release()
		errs := make(chan error, 2)
		for _, length := range []int64{2 * testBlock, 4 * testBlock} { // one loads, one waits for room
			go func() {
				_, err := c.Read(t.Context(), id, 4*testBlock, length)
				errs <- err
			}()
			synctest.Wait()
		}
		c.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("read: %v", err)
			}
		}
		if _, err := c.Read(t.Context(), id, 0, 1); !errors.Is(err, ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		c.Prefetch(id, 0, 1)
		if err := s.check(pinned, id, 0, testBlock); err != nil {
			t.Errorf("a pin after Close: %v", err)
		}
		pinned.Release()
	})
}

func TestConfig_Validate(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"a block too small": func(c *Config) { c.BlockBytes = 1 },
		"a block too large": func(c *Config) { c.BlockBytes = 1 << 30 },
		"too few blocks":    func(c *Config) { c.BytesMax = 4*8<<20 - 1 },
		"no loads":          func(c *Config) { c.LoadsMax = 0 },
		"negative":          func(c *Config) { c.PrefetchesMax = -1 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if _, err := New(cfg, nil, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}
