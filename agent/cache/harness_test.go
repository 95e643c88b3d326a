package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/wadi-io/wadi/wire/segment"
)

const (
	testBlock = 8 << 10 // a class of its own, so a block's buffer is as large
	kib       = 1 << 10
)

// source is a bucket of segments whose bytes follow from their id.
type source struct {
	mu    sync.Mutex
	bytes map[segment.ID][]byte
	loads map[string]int // begun, by id and offset
	hold  chan struct{}  // loads wait for it, if it is set
	fail  error
	// failRun has runs fail after their first block.
	failRun bool
}

func newSource() *source {
	return &source{bytes: map[segment.ID][]byte{}, loads: map[string]int{}}
}

// content is what a segment holds.
func content(id segment.ID, size int) []byte {
	r := rand.New(rand.NewPCG(id.Term, id.Number))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (s *source) add(number uint64, size int) segment.ID {
	id := segment.ID{Term: 1, Number: number}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes[id] = content(id, size)
	return id
}

func (s *source) load(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
	s.mu.Lock()
	s.loads[fmt.Sprintf("%d+%d", id.Number, offset)]++
	body, hold, fail := s.bytes[id], s.hold, s.fail
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if fail != nil {
		return 0, fail
	}
	return copy(dst, body[min(offset, int64(len(body))):]), nil
}

// loadRun counts as one load. A failure comes after the first block.
func (s *source) loadRun(ctx context.Context, id segment.ID, offset int64, dsts [][]byte, done func(i, n int)) error {
	for i, dst := range dsts {
		n, err := s.load(ctx, id, offset, dst)
		if i > 0 {
			s.mu.Lock()
			s.loads[fmt.Sprintf("%d+%d", id.Number, offset)]--
			s.mu.Unlock()
		} else if s.failRun {
			err = nil
		}
		if err != nil {
			return err
		}
		done(i, n)
		offset += int64(len(dst))
		if s.failRun {
			return errRun
		}
	}
	return nil
}

var errRun = errors.New("the connection broke")

// holdLoads has loads wait until the returned function is called.
func (s *source) holdLoads() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := make(chan struct{})
	s.hold = hold
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold = nil
		close(hold)
	})
}

func (s *source) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *source) loaded(id segment.ID, offset int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads[fmt.Sprintf("%d+%d", id.Number, offset)]
}

// newCache returns a cache of so many blocks; the test closes it.
func newCache(t *testing.T, s *source, blocks int, change ...func(*Config)) *Cache {
	t.Helper()
	buffers, err := NewBuffers(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.BytesMax, cfg.BlockBytes = int64(blocks)*testBlock, testBlock
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg, s.load, buffers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if s := c.Stats(); s.Bytes != 0 || s.Entries != 0 {
			t.Errorf("after Close the cache holds %d bytes in %d entries", s.Bytes, s.Entries)
		}
	})
	return c
}

// read reads and compares a range, and returns its pin.
func read(t *testing.T, c *Cache, s *source, id segment.ID, position, length int) *Pinned {
	t.Helper()
	p, err := c.Read(t.Context(), id, int64(position), int64(length))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.check(p, id, position, length); err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *source) check(p *Pinned, id segment.ID, position, length int) error {
	s.mu.Lock()
	want := s.bytes[id][position : position+length]
	s.mu.Unlock()
	if got := bytes.Join(p.Slices, nil); !bytes.Equal(got, want) {
		return fmt.Errorf("segment %d, %d bytes at %d: other bytes", id.Number, length, position)
	}
	for _, slice := range p.Slices {
		if len(slice) == 0 {
			return errors.New("an empty slice")
		}
	}
	return nil
}

// touch reads a block and lets it go.
func touch(t *testing.T, c *Cache, s *source, id segment.ID, block int) {
	t.Helper()
	read(t, c, s, id, block*testBlock, 1).Release()
}
