package cache

import "github.com/wadi-io/wadi/wire/segment"

// wholeSegment is the index of an entry that holds all of its segment.
const wholeSegment = -1

// key names a block of a segment, or the whole.
type key struct {
	id    segment.ID
	index int64
}

// entry is what the cache holds of one key. It is guarded by Cache.mu, but for
// data and err, which don't change once ready is closed (or loaded was set from the start).
//
// It is in one of four states: being loaded (pinned by its load), pinned (refs >
// 0), resting in a list (refs = 0), or gone (dropped, and refs = 0).
type entry struct {
	key
	size      int64 // bytes it counts for: the capacity of its buffer
	refs      int   // its load and its readers
	loaded    bool
	dropped   bool // out of the maps; its buffer goes with the last pin
	protected bool // where it rests
	data      []byte
	free      func([]byte)
	err       error
	ready     chan struct{} // closed when loaded or failed; nil for a whole segment

	sibling    *entry // the next entry of the segment
	prev, next *entry // in the list where it rests
	list       *list
}

// release is a buffer and whom it goes back to.
type release struct {
	data []byte
	free func([]byte)
}

// freeable collects buffers under the lock; they are given back after it.
type freeable []release

func (f freeable) run() {
	for _, r := range f {
		r.free(r.data)
	}
}

// addLocked enters e into the maps and counts its bytes.
func (c *Cache) addLocked(e *entry) {
	c.mu.entries[e.key] = e
	e.sibling = c.mu.heads[e.id]
	c.mu.heads[e.id] = e
	c.mu.used += e.size
	e.protected = c.mu.ghosts.take(e.key)
}

// dropLocked takes e out of the maps, so that nobody finds it any more, and
// collects its buffer unless it is pinned.
func (c *Cache) dropLocked(e *entry, freed freeable) freeable {
	if e.dropped {
		return freed
	}
	e.dropped = true
	delete(c.mu.entries, e.key)
	if head := c.mu.heads[e.id]; head == e && e.sibling == nil {
		delete(c.mu.heads, e.id)
	} else if head == e {
		c.mu.heads[e.id] = e.sibling
	} else {
		for head.sibling != e {
			head = head.sibling
		}
		head.sibling = e.sibling
	}
	e.sibling = nil
	if e.list != nil {
		e.list.remove(e)
	}
	if e.refs == 0 {
		freed = c.goneLocked(e, freed)
	}
	return freed
}

// goneLocked ends an entry that is neither held nor pinned.
func (c *Cache) goneLocked(e *entry, freed freeable) freeable {
	c.mu.used -= e.size
	if e.data == nil {
		return freed
	}
	return append(freed, release{e.data, e.free})
}

// pinLocked keeps e from being evicted until unpinLocked.
func (c *Cache) pinLocked(e *entry) {
	if e.list != nil {
		e.list.remove(e)
	}
	e.refs++
}

// unpinLocked lets e rest once the last pin has gone, or be gone if it was dropped.
func (c *Cache) unpinLocked(e *entry, freed freeable) freeable {
	e.refs--
	switch {
	case e.refs > 0:
		return freed
	case e.dropped:
		freed = c.goneLocked(e, freed)
	default:
		c.restLocked(e)
	}
	c.wakeLocked()
	return freed
}

// restLocked puts an unpinned entry where it can be evicted, the newest.
func (c *Cache) restLocked(e *entry) {
	if e.protected {
		c.mu.protected.push(e)
	} else {
		c.mu.probation.push(e)
	}
}
