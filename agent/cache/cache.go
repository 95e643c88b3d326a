package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wadi-io/wadi/wire/segment"
)

// The errors of a read that the cache itself refuses.
var (
	// ErrFull says that everything is pinned and no room was found in time. Nothing was read.
	ErrFull = errors.New("the cache is full of what readers hold")
	// ErrShort says that the segment ends before the range does.
	ErrShort = errors.New("the segment is shorter than the range that was asked for")
	// ErrTooLong says that the range could never be held at once.
	ErrTooLong = errors.New("the range is larger than the cache")
	// ErrClosed says that the cache was closed.
	ErrClosed = errors.New("the cache is closed")
)

// Load fills dst with the segment's bytes from offset and returns how many it
// read: fewer than len(dst) only at the segment's end. It bounds its own time.
type Load func(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error)

// LoadRun is Load for several blocks that follow each other: it fills dsts, one after the other, by
// one request, and tells done how many bytes dsts[i] has got as soon as it has.
type LoadRun func(ctx context.Context, id segment.ID, offset int64, dsts [][]byte, done func(i, n int)) error

// Config bounds a Cache.
type Config struct {
	BytesMax      int64         // held, pinned and being loaded, by the capacity of the buffers, and Outside
	BlockBytes    int           // what one load reads
	LoadsMax      int           // loads that run at once; more wait
	PrefetchesMax int           // of these, loads that no reader waits for; more are dropped
	RoomWaitMax   time.Duration // how long a read waits while everything is pinned
	LoadRun       LoadRun       // of what is read ahead; nil: block by block
	RunBytesMax   int64         // of one LoadRun
	Disk          *Disk         // under the memory; nil: none. It outlives the cache
	// Outside returns the bytes that others hold of the memory that BytesMax bounds, such as
	// segments that are being written. The cache makes room for them, but keeps half of it. nil: none.
	Outside func() int64
}

// DefaultConfig is for an agent with 1 GiB of memory to spare.
func DefaultConfig() Config {
	return Config{
		BytesMax:      1 << 30,
		BlockBytes:    8 << 20,
		LoadsMax:      32,
		PrefetchesMax: 12,
		RoomWaitMax:   5 * time.Second,
		RunBytesMax:   80 << 20,
	}
}

// Validate says what is wrong with the config.
func (c Config) Validate() error {
	switch {
	case c.BlockBytes < classBytesMin || c.BlockBytes > classBytesMax:
		return fmt.Errorf("cache: a block must have %d to %d bytes", classBytesMin, classBytesMax)
	case c.BytesMax < 4*int64(c.blockCap()):
		return fmt.Errorf("cache: its %d bytes must hold at least 4 blocks of %d", c.BytesMax, c.blockCap())
	case c.LoadRun != nil && c.RunBytesMax < int64(c.BlockBytes):
		return errors.New("cache: a run has at least a block")
	case c.LoadsMax < 1 || c.PrefetchesMax < 0 || c.RoomWaitMax < 0:
		return errors.New("cache: at least 1 load, and no negative limits")
	}
	return nil
}

// blockCap is what a block's buffer takes.
func (c Config) blockCap() int {
	class, _ := classOf(c.BlockBytes)
	return classBytes(class)
}

// Cache keeps bytes of segments. All methods are safe for concurrent use.
type Cache struct {
	cfg     Config
	load    Load
	buffers *Buffers
	ctx     context.Context // of the loads; ends with Close
	cancel  context.CancelFunc
	slots   chan struct{} // one for each load that may run
	loads   sync.WaitGroup
	mu      struct {
		sync.Mutex
		closed     bool
		entries    map[key]*entry
		heads      map[segment.ID]*entry // the first of each segment's entries, chained by sibling
		probation  list                  // unpinned, read in one run only
		protected  list                  // unpinned, asked for again after they had been evicted
		ghosts     ghosts                // keys that were evicted from probation
		used       int64                 // bytes held, pinned and being loaded
		room       chan struct{}         // closed when room may have been made; nil if nobody waits
		prefetches int
		stats      Stats
	}
}

// New returns an empty cache that loads with load into buffers.
func New(cfg Config, load Load, buffers *Buffers) (*Cache, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Cache{cfg: cfg, load: load, buffers: buffers, slots: make(chan struct{}, cfg.LoadsMax)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.entries = map[key]*entry{}
	c.mu.heads = map[segment.ID]*entry{}
	return c, nil
}

// Put hands a whole segment over: body stays unchanged until free is called with
// it, which happens once, when it is neither held nor pinned any more, perhaps
// before Put returns. It never waits: without room the segment is not kept.
func (c *Cache) Put(id segment.ID, body []byte, free func([]byte)) {
	if free == nil {
		free = func([]byte) {}
	}
	k := key{id, wholeSegment}
	c.mu.Lock()
	c.mu.stats.Puts++
	size := int64(cap(body))
	freed, ok := freeable(nil), !c.mu.closed && c.mu.entries[k] == nil
	if ok {
		freed, ok = c.makeRoomLocked(size)
	}
	if ok {
		e := &entry{key: k, size: size, data: body, free: free, loaded: true}
		c.addLocked(e)
		c.restLocked(e)
	} else {
		c.mu.stats.PutsDropped++
		freed = append(freed, release{body, free})
	}
	c.mu.Unlock()
	freed.run()
}

// Lend returns a buffer of size bytes for a segment that will be handed over by Put, contents
// undefined. Its room is taken from the cache now instead of then, so that the buffer is one
// that the cache gives up: a fresh one costs its clearing. Whoever has it counts it as Config.Outside.
func (c *Cache) Lend(size int) []byte {
	if buf := c.buffers.takeIdle(size); buf != nil {
		return buf
	}
	room := int64(size)
	if class, ok := classOf(size); ok {
		room = int64(classBytes(class))
	}
	c.mu.Lock()
	freed, _ := c.makeRoomLocked(room) // Where all is pinned it is one more: the borrowers bound them.
	c.mu.Unlock()
	freed.run()
	return c.buffers.Get(size)
}

// Evict forgets all that is held of a segment. What is pinned stays valid until
// its Release; loads that run are told to those who wait already, and not kept.
func (c *Cache) Evict(id segment.ID) {
	var freed freeable
	c.mu.Lock()
	for e := c.mu.heads[id]; e != nil; {
		next := e.sibling
		freed = c.dropLocked(e, freed)
		e = next
	}
	c.wakeLocked()
	c.mu.Unlock()
	freed.run()
	if c.cfg.Disk != nil {
		c.cfg.Disk.forget(key{id, wholeSegment})
	}
}

// Stats tells what happened since the cache was made, and what it holds now.
type Stats struct {
	Hits               int64 // blocks that a read found
	Shared             int64 // blocks that a read found being loaded
	Misses             int64 // blocks that a read had to load
	Loads, LoadErrors  int64
	Prefetches         int64 // loads that no read waited for
	PrefetchesDropped  int64 // at a bound
	Evictions          int64 // to make room
	RoomWaits          int64 // reads that waited since everything was pinned
	Puts, PutsDropped  int64 // segments handed over, and those of them not kept
	Entries            int64 // held, pinned or being loaded now
	Bytes, PinnedBytes int64 // now; pinned ones include those being loaded
	BytesMax           int64
}

// Stats returns the counts.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.stats
	s.Entries = int64(len(c.mu.entries))
	s.Bytes = c.mu.used
	s.PinnedBytes = c.mu.used - c.mu.probation.bytes - c.mu.protected.bytes
	s.BytesMax = c.cfg.BytesMax
	return s
}

// Close ends the loads, waits for them, and forgets what is not pinned. Pins stay
// valid until their Release.
func (c *Cache) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.cancel()
	c.loads.Wait()
	var freed freeable
	c.mu.Lock()
	for _, e := range c.mu.entries {
		freed = c.dropLocked(e, freed)
	}
	c.wakeLocked()
	c.mu.Unlock()
	freed.run()
}
