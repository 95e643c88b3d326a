package cache

import (
	"github.com/wadi-io/wadi/wire/segment"
)

// Prefetch begins to load what is missing of a range, and returns at once: whether all of it is here or
// coming. What finds no room or passes Config.PrefetchesMax is dropped.
func (c *Cache) Prefetch(id segment.ID, position, length int64) (all bool) {
	if position < 0 || length <= 0 || position+length < position {
		return false
	}
	block := int64(c.cfg.BlockBytes)
	var freed freeable
	var run []key
	c.mu.Lock()
	begin := func() {
		if len(run) > 0 {
			c.mu.prefetches++
			c.beginRunLocked(run, func() { c.mu.prefetches-- })
		}
		run = nil
	}
	all = true
	for i := position / block; i <= (position+length-1)/block; i++ {
		if c.mu.entries[key{id, wholeSegment}] != nil {
			break
		}
		if c.mu.closed {
			all = false
			break
		}
		if c.mu.entries[key{id, i}] != nil {
			begin()
			continue
		}
		more, ok := freeable(nil), len(run) > 0 || c.mu.prefetches < c.cfg.PrefetchesMax
		if ok {
			more, ok = c.makeRoomLocked(int64(len(run)+1) * int64(c.cfg.blockCap()))
		}
		if !ok {
			c.mu.stats.PrefetchesDropped++
			all = false
			break
		}
		freed = append(freed, more...)
		c.mu.stats.Prefetches++
		if run = append(run, key{id, i}); c.cfg.LoadRun == nil || int64(len(run)+1)*block > c.cfg.RunBytesMax {
			begin()
		}
	}
	begin()
	c.mu.Unlock()
	freed.run()
	return all
}

// beginRunLocked enters blocks that follow each other and are loaded by one request, as far as the
// disk doesn't have them; room for them has been made. endedLocked is called under the lock when all loads have ended.
func (c *Cache) beginRunLocked(keys []key, endedLocked func()) {
	if len(keys) == 1 {
		c.beginLocked(keys[0], endedLocked)
		return
	}
	entries := make([]*entry, len(keys))
	for i, k := range keys {
		entries[i] = c.enterLocked(k)
	}
	c.loads.Go(func() {
		left := len(entries)
		c.loadRun(entries, func(e *entry, data []byte, err error) {
			c.ended(e, data, err, func() {
				if left--; left == 0 {
					endedLocked()
				}
			})
		})
	})
}

// loadRun loads blocks that follow each other, and tells of each what became of it, in any order.
func (c *Cache) loadRun(entries []*entry, ended func(e *entry, data []byte, err error)) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.ctx.Done():
		for _, e := range entries {
			ended(e, nil, ErrClosed)
		}
		return
	}
	var missing []*entry
	load := func() {
		c.loadMissing(missing, ended)
		missing = nil
	}
	for _, e := range entries {
		if c.cfg.Disk != nil {
			buf := c.buffers.Get(c.cfg.BlockBytes)
			if n, ok := c.cfg.Disk.read(e.key, buf); ok {
				load()
				ended(e, c.fit(buf, n), nil)
				continue
			}
			c.buffers.Put(buf)
		}
		missing = append(missing, e)
	}
	load()
}

// loadMissing loads blocks that follow each other from the bucket.
func (c *Cache) loadMissing(entries []*entry, ended func(e *entry, data []byte, err error)) {
	if len(entries) == 0 {
		return
	}
	dsts := make([][]byte, len(entries))
	for i := range entries {
		dsts[i] = c.buffers.Get(c.cfg.BlockBytes)
	}
	filled := 0
	err := c.cfg.LoadRun(c.ctx, entries[0].id, entries[0].index*int64(c.cfg.BlockBytes), dsts, func(i, n int) {
		filled = i + 1
		if n == 0 {
			c.buffers.Put(dsts[i])
			ended(entries[i], nil, ErrShort)
			return
		}
		if c.cfg.Disk != nil {
			c.cfg.Disk.keep(entries[i].key, dsts[i][:n])
		}
		ended(entries[i], c.fit(dsts[i], n), nil)
	})
	if err == nil && filled < len(entries) {
		err = ErrShort
	}
	if c.ctx.Err() != nil {
		err = ErrClosed
	}
	for i := filled; i < len(entries); i++ {
		c.buffers.Put(dsts[i])
		ended(entries[i], nil, err)
	}
}

// beginLocked enters a block that is being loaded; room for it has been made.
// endedLocked is called under the lock when the load has ended.
func (c *Cache) beginLocked(k key, endedLocked func()) *entry {
	e := c.enterLocked(k)
	c.loads.Go(func() {
		data, err := c.loadBlock(k)
		c.ended(e, data, err, endedLocked)
	})
	return e
}

// enterLocked enters a block that is being loaded.
func (c *Cache) enterLocked(k key) *entry {
	e := &entry{key: k, size: int64(c.cfg.blockCap()), refs: 1, free: c.buffers.Put, ready: make(chan struct{})}
	c.addLocked(e)
	c.mu.stats.Loads++
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
	return c.fit(buf, n), nil
}

// fit returns n bytes of a buffer. A segment's last block may be much smaller than its
// buffer: that is kept in one of its size.
func (c *Cache) fit(buf []byte, n int) []byte {
	if class, ok := classOf(n); ok && classBytes(class) <= cap(buf)/2 {
		small := c.buffers.Get(n)
		copy(small, buf[:n])
		c.buffers.Put(buf)
		return small
	}
	return buf[:n]
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
