package cache

import (
	"github.com/wadi-io/wadi/wire/segment"
)

// Prefetch begins to load what is missing of a range, and returns at once. What
// finds no room or passes Config.PrefetchesMax is dropped.
func (c *Cache) Prefetch(id segment.ID, position, length int64) {
	if position < 0 || length <= 0 || position+length < position {
		return
	}
	block := int64(c.cfg.BlockBytes)
	var freed freeable
	c.mu.Lock()
	for i := position / block; i <= (position+length-1)/block; i++ {
		if c.mu.closed || c.mu.entries[key{id, wholeSegment}] != nil {
			break
		}
		if c.mu.entries[key{id, i}] != nil {
			continue
		}
		more, ok := freeable(nil), c.mu.prefetches < c.cfg.PrefetchesMax
		if ok {
			more, ok = c.makeRoomLocked(int64(c.cfg.blockCap()))
		}
		if !ok {
			c.mu.stats.PrefetchesDropped++
			break
		}
		freed = append(freed, more...)
		c.mu.prefetches++
		c.mu.stats.Prefetches++
		c.beginLocked(key{id, i}, func() { c.mu.prefetches-- })
	}
	c.mu.Unlock()
	freed.run()
}

// beginLocked enters a block that is being loaded; room for it has been made.
// endedLocked is called under the lock when the load has ended.
func (c *Cache) beginLocked(k key, endedLocked func()) *entry {
	e := &entry{key: k, size: int64(c.cfg.blockCap()), refs: 1, free: c.buffers.Put, ready: make(chan struct{})}
	c.addLocked(e)
	c.mu.stats.Loads++
	c.loads.Go(func() {
		data, err := c.loadBlock(k)
		c.ended(e, data, err, endedLocked)
	})
	return e
}

// loadBlock loads for all who wait, so no reader's ctx ends it.
func (c *Cache) loadBlock(k key) ([]byte, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.ctx.Done():
		return nil, ErrClosed
	}
	buf := c.buffers.Get(c.cfg.BlockBytes)
	load := func(id segment.ID, offset int64, dst []byte) (int, error) { return c.load(c.ctx, id, offset, dst) }
	var n int
	var err error
	if offset := k.index * int64(c.cfg.BlockBytes); c.cfg.Disk != nil {
		n, err = c.cfg.Disk.through(k, offset, buf, load)
	} else {
		n, err = load(k.id, offset, buf)
	}
	if err == nil && n == 0 {
		err = ErrShort
	}
	if err != nil {
		c.buffers.Put(buf)
		if c.ctx.Err() != nil {
			return nil, ErrClosed
		}
		return nil, err
	}
	// A segment's last block may be much smaller than its buffer: keep it in one of its size.
	if class, ok := classOf(n); ok && classBytes(class) <= cap(buf)/2 {
		small := c.buffers.Get(n)
		copy(small, buf[:n])
		c.buffers.Put(buf)
		return small, nil
	}
	return buf[:n], nil
}

// ended tells the outcome of a load to those who wait for it, and ends the load's pin.
func (c *Cache) ended(e *entry, data []byte, err error, endedLocked func()) {
	var freed freeable
	c.mu.Lock()
	endedLocked()
	e.data, e.err = data, err
	kept := int64(cap(data)) // 0 after an error
	c.mu.used += kept - e.size
	e.size = kept
	e.loaded = err == nil
	if err != nil {
		c.mu.stats.LoadErrors++
		freed = c.dropLocked(e, freed) // The next read tries again.
	}
	close(e.ready)
	freed = c.unpinLocked(e, freed)
	c.wakeLocked() // Room even where readers pin it: it may be smaller now.
	c.mu.Unlock()
	freed.run()
}
