package cache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wadi-io/wadi/wire/segment"
)

// Pinned is a range of a segment, in memory until Release.
type Pinned struct {
	// Slices are the range's bytes in order, none of them empty. They must not be changed.
	Slices [][]byte
	// Missed is how many of its blocks were not in memory when they were asked for.
	Missed  int
	cache   *Cache
	entries []*entry
	once    sync.Once
	room    struct { // so that a usual range costs one allocation
		slices  [2][]byte
		entries [2]*entry
	}
}

// Release ends the pin: the slices must not be used any more. Calling it again does nothing.
func (p *Pinned) Release() { p.once.Do(func() { p.unpin(false) }) }

// Evict releases the pin and has the cache forget the blocks it holds, since their
// bytes were found broken: the next read loads them anew.
func (p *Pinned) Evict() { p.once.Do(func() { p.unpin(true) }) }

func (p *Pinned) unpin(evict bool) {
	var freed freeable
	c := p.cache
	c.mu.Lock()
	for _, e := range p.entries {
		if evict {
			freed = c.dropLocked(e, freed)
		}
		freed = c.unpinLocked(e, freed)
	}
	c.mu.Unlock()
	p.Slices = nil
	freed.run()
	if evict && c.cfg.Disk != nil {
		for _, e := range p.entries {
			c.cfg.Disk.forget(e.key)
		}
	}
}

// Read pins length bytes of a segment from position, loading the blocks that are
// missing. It waits for room while everything is pinned, Config.RoomWaitMax at
// most, so who holds pins already should call ReadMore: else such readers wait for each other.
func (c *Cache) Read(ctx context.Context, id segment.ID, position, length int64) (*Pinned, error) {
	return c.read(ctx, id, position, length, c.cfg.RoomWaitMax)
}

// ReadMore is Read for who holds pins: ErrFull at once where Read would wait for room.
func (c *Cache) ReadMore(ctx context.Context, id segment.ID, position, length int64) (*Pinned, error) {
	return c.read(ctx, id, position, length, 0)
}

func (c *Cache) read(ctx context.Context, id segment.ID, position, length int64, wait time.Duration) (*Pinned, error) {
	p := &Pinned{cache: c}
	if position < 0 || length <= 0 || position+length < position {
		return nil, fmt.Errorf("read %s: %d bytes at %d is no range", id.Key(), length, position)
	}
	err := c.pin(ctx, p, id, position, length, wait)
	if err == nil {
		err = c.await(ctx, p)
	}
	if err == nil {
		err = p.slice(position, length, int64(c.cfg.BlockBytes))
	}
	if err != nil {
		p.Release()
		return nil, fmt.Errorf("read %s, %d bytes at %d: %w", id.Key(), length, position, err)
	}
	return p, nil
}

// pin pins the entries of the range, beginning the loads of the missing ones. It
// takes all or waits holding none, so that readers don't wait for each other.
func (c *Cache) pin(ctx context.Context, p *Pinned, id segment.ID, position, length int64, wait time.Duration) error {
	var timeout <-chan time.Time
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.mu.Lock()
		freed, err := c.tryPinLocked(p, id, position, length)
		if err != ErrFull || wait == 0 {
			c.mu.Unlock()
			freed.run()
			return err
		}
		room := c.roomLocked()
		if timeout == nil {
			c.mu.stats.RoomWaits++
			timer := time.NewTimer(wait)
			defer timer.Stop()
			timeout = timer.C
		}
		c.mu.Unlock()
		select {
		case <-room:
		case <-timeout:
			return ErrFull
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Cache) tryPinLocked(p *Pinned, id segment.ID, position, length int64) (freeable, error) {
	if c.mu.closed {
		return nil, ErrClosed
	}
	p.entries = p.room.entries[:0]
	if e := c.mu.entries[key{id, wholeSegment}]; e != nil {
		c.pinLocked(e)
		c.mu.stats.Hits++
		p.entries = append(p.entries, e)
		return nil, nil
	}
	block := int64(c.cfg.BlockBytes)
	first, last := position/block, (position+length-1)/block
	if last-first >= c.cfg.BytesMax/int64(c.cfg.blockCap()) {
		return nil, ErrTooLong
	}
	// What is here is pinned first, so that making room for the rest doesn't evict it.
	missing := int64(0)
	for i := first; i <= last; i++ {
		e := c.mu.entries[key{id, i}]
		if e == nil {
			missing++
		} else {
			c.pinLocked(e)
		}
		p.entries = append(p.entries, e)
	}
	freed, ok := c.makeRoomLocked(missing * int64(c.cfg.blockCap()))
	if !ok {
		for _, e := range p.entries {
			if e != nil {
				e.refs-- // No wake: what was unpinned before is evictable as before.
				if e.refs == 0 {
					c.restLocked(e)
				}
			}
		}
		p.entries = nil
		return nil, ErrFull
	}
	for i, e := range p.entries {
		switch {
		case e == nil:
			c.mu.stats.Misses++
			p.Missed++
			e = c.beginLocked(key{id, first + int64(i)}, func() {})
			c.pinLocked(e)
			p.entries[i] = e
		case e.loaded:
			c.mu.stats.Hits++
		default:
			c.mu.stats.Shared++
			p.Missed++
		}
	}
	return freed, nil
}

// await waits for the loads of what is pinned.
func (c *Cache) await(ctx context.Context, p *Pinned) error {
	for _, e := range p.entries {
		if e.ready == nil {
			continue
		}
		select {
		case <-e.ready:
		default:
			select {
			case <-e.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if e.err != nil {
			return e.err
		}
	}
	return nil
}

// slice cuts the range out of the entries.
func (p *Pinned) slice(position, length, block int64) error {
	p.Slices = p.room.slices[:0]
	for _, e := range p.entries {
		from := position
		if e.index != wholeSegment {
			from = position - e.index*block
		}
		if from >= int64(len(e.data)) {
			return ErrShort
		}
		to := min(from+length, int64(len(e.data)))
		p.Slices = append(p.Slices, e.data[from:to:to])
		position += to - from
		length -= to - from
		if length > 0 && (e.index == wholeSegment || to != block) {
			return ErrShort
		}
	}
	return nil
}
