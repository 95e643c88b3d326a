package cache

// probationPart is the part of the cache, in percent, that what was read in one
// run only may always keep: a scan can't evict what is read again and again, and
// the tail, which is read once by everybody, can't be evicted by the past (2Q).
const probationPart = 25

// ghostsMax bounds the evicted keys that are remembered.
const ghostsMax = 8192

// list is where unpinned entries rest, newest first.
type list struct {
	head, tail *entry
	bytes      int64
}

func (l *list) push(e *entry) {
	e.list, e.prev, e.next = l, nil, l.head
	if l.head != nil {
		l.head.prev = e
	} else {
		l.tail = e
	}
	l.head = e
	l.bytes += e.size
}

func (l *list) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.tail = e.prev
	}
	e.list, e.prev, e.next = nil, nil, nil
	l.bytes -= e.size
}

// ghosts remembers the keys that were evicted last.
type ghosts struct {
	held map[key]bool
	ring []key
	next int
}

func (g *ghosts) add(k key) {
	if g.held == nil {
		g.held = map[key]bool{}
	}
	if len(g.ring) < ghostsMax {
		g.ring = append(g.ring, k)
	} else {
		delete(g.held, g.ring[g.next])
		g.ring[g.next] = k
		g.next = (g.next + 1) % ghostsMax
	}
	g.held[k] = true
}

// take says whether k is remembered, and forgets it.
func (g *ghosts) take(k key) bool {
	held := g.held[k]
	delete(g.held, k)
	return held
}

// makeRoomLocked evicts until size more bytes fit. It evicts nothing if what is
// pinned doesn't leave as much.
func (c *Cache) makeRoomLocked(size int64) (freed freeable, ok bool) {
	bytesMax := c.bytesMax()
	resting := c.mu.probation.bytes + c.mu.protected.bytes
	if c.mu.used-resting+size > bytesMax {
		return nil, false
	}
	for c.mu.used+size > bytesMax {
		victim := c.mu.protected.tail
		if victim == nil || c.mu.probation.bytes > bytesMax/100*probationPart {
			victim = c.mu.probation.tail
			c.mu.ghosts.add(victim.key)
		}
		c.mu.stats.Evictions++
		freed = c.dropLocked(victim, freed)
	}
	return freed, true
}

// bytesMax is what others leave of Config.BytesMax, at least half of it.
func (c *Cache) bytesMax() int64 {
	if c.cfg.Outside == nil {
		return c.cfg.BytesMax
	}
	return max(c.cfg.BytesMax-c.cfg.Outside(), c.cfg.BytesMax/2)
}

// wakeLocked has those who wait for room look again.
func (c *Cache) wakeLocked() {
	if c.mu.room != nil {
		close(c.mu.room)
		c.mu.room = nil
	}
}

// roomLocked is closed when room may have been made.
func (c *Cache) roomLocked() <-chan struct{} {
	if c.mu.room == nil {
		c.mu.room = make(chan struct{})
	}
	return c.mu.room
}
