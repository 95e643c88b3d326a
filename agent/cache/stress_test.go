package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wadi-io/wadi/wire/segment"
)

// TestStress has many goroutines read, put, prefetch and evict in a cache far too
// small for them. Freed buffers are overwritten, so that a slice that is still
// pinned, and a buffer that is lent twice, show as other bytes.
func TestStress(t *testing.T) {
	const (
		workers  = 8
		rounds   = 1500
		segments = 12
	)
	s := newSource()
	var ids []segment.ID
	contents := map[segment.ID][]byte{}
	for i := range segments {
		id := s.add(uint64(i), 1+i*testBlock/2)
		ids = append(ids, id)
		contents[id] = s.bytes[id]
	}
	var failing atomic.Int64
	load := func(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
		if failing.Add(1)%17 == 0 {
			return copy(dst, "torn"), errors.New("a load that fails")
		}
		runtime.Gosched()
		body := contents[id]
		return copy(dst, body[min(offset, int64(len(body))):]), nil
	}
	buffers, err := NewBuffers(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.BytesMax, cfg.BlockBytes, cfg.LoadsMax = 10*testBlock, testBlock, 3
	cfg.RunBytesMax = 3 * testBlock
	cfg.LoadRun = func(ctx context.Context, id segment.ID, offset int64, dsts [][]byte, done func(i, n int)) error {
		for i, dst := range dsts {
			n, err := load(ctx, id, offset, dst)
			if err != nil {
				return err
			}
			done(i, n)
			offset += int64(len(dst))
		}
		return nil
	}
	c, err := New(cfg, load, buffers)
	if err != nil {
		t.Fatal(err)
	}
	var lent, freed atomic.Int64
	worker := func(seed uint64) {
		r := rand.New(rand.NewPCG(seed, 3))
		for range rounds {
			id := ids[r.IntN(segments)]
			want := contents[id]
			switch r.IntN(10) {
			case 0:
				body := buffers.Get(len(want))
				copy(body, want)
				lent.Add(1)
				c.Put(id, body, func(b []byte) {
					clear(b)
					freed.Add(1)
					buffers.Put(b)
				})
			case 1:
				c.Evict(id)
			case 2:
				c.Prefetch(id, 0, int64(len(want)))
			default:
				position := r.IntN(len(want))
				length := 1 + r.IntN(len(want)-position)
				ctx, cancel := context.WithCancel(context.Background())
				if r.IntN(8) == 0 {
					cancel()
				}
				p, err := c.Read(ctx, id, int64(position), int64(length))
				if err != nil {
					cancel()
					continue
				}
				if r.IntN(2) == 0 {
					runtime.Gosched()
				}
				at := position
				for _, slice := range p.Slices {
					if string(slice) != string(want[at:at+len(slice)]) {
						t.Errorf("segment %d, %d bytes at %d: other bytes", id.Number, len(slice), at)
					}
					at += len(slice)
				}
				if at != position+length {
					t.Errorf("%d bytes of %d", at-position, length)
				}
				if r.IntN(6) == 0 {
					p.Evict()
				} else {
					p.Release()
				}
				cancel()
			}
			if got := c.Stats(); got.Bytes > got.BytesMax || got.PinnedBytes < 0 {
				t.Errorf("%+v", got)
			}
		}
	}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { worker(uint64(i)) })
	}
	wg.Wait()
	c.Close()
	if got := c.Stats(); got.Bytes != 0 || got.Entries != 0 || got.PinnedBytes != 0 || len(c.mu.heads) != 0 {
		t.Errorf("after all: %+v, %d segments", got, len(c.mu.heads))
	}
	if lent.Load() != freed.Load() {
		t.Errorf("%d buffers handed over, %d freed", lent.Load(), freed.Load())
	}
	if got := c.Stats(); got.Hits == 0 || got.Misses == 0 || got.Evictions == 0 || got.LoadErrors == 0 {
		t.Errorf("the test did not exercise the cache: %+v", got)
	}
}
