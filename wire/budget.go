package wire

import (
	"cmp"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// budget bounds the frames of all connections. A frame is charged for the room that it
// has, not for what it claims to become, so a client that claims much and sends nothing
// holds next to nothing.
//
// Frames in growth could each hold a part and wait for the rest for ever. So of those
// that wait the oldest may overdraw, one at a time, until it has been answered; and while
// anybody waits, a frame that its client lets stall makes room: its connection is closed.
// Each kind of frames waits in a line of its own, and has an overdraft of its own. The
// smaller ones have a reserve too, so that no larger one keeps them waiting.
type budget struct {
	mu struct {
		sync.Mutex
		shared  int64 // bytes free for all frames
		taken   int64 // bytes
		begun   uint64
		growing map[*charge]struct{}
		kinds   [frameKinds]struct {
			reserve  int64     // bytes free for this kind alone
			waiting  []*charge // the oldest first
			overdraw *charge   // keeps others from it until its release
		}
	}
}

// Kinds of frames, by the size they claim.
const (
	tinyFrame  = iota // what most requests but Produce are
	smallFrame        // up to smallFrameBytesMax
	largeFrame
	frameKinds
)

const (
	tinyFrameBytesMax  = frameBytesTrusted
	smallFrameBytesMax = 1 << 20
	// What part of all bytes are the reserves, and at most the overdraft of a large
	// frame. Those of the others are too little to be kept.
	tinyReserveShare, smallReserveShare, overdraftShare = 64, 8, 4
	// stallTimeoutUnderPressure is what a frame has for its next 64 KiB while another waits for room.
	stallTimeoutUnderPressure = 2 * time.Second
	// pressureInterval is how often the oldest that waits looks for frames that stall.
	pressureInterval = 250 * time.Millisecond
)

var errStalled = errors.New("stalled while others waited for room")

// charge is what a frame has taken of the budget. Its fields belong to the budget's lock.
type charge struct {
	nc                       net.Conn
	kind                     int    // of frame
	number                   uint64 // of its begin, rising
	shared, reserve, overrun int64  // bytes, by where they come from
	wants                    int64  // bytes; 0: doesn't wait
	granted                  chan struct{}
	progressed               time.Time // when the last 64 KiB had come
	stalled                  bool      // its connection was told to make room
}

// newBudget returns a budget of all bytes, of which frames have up to frameBytesMax. Where
// a frame is more than a quarter of all bytes, it may exceed them.
func newBudget(all int64, frameBytesMax int) *budget {
	b := &budget{}
	b.mu.kinds[tinyFrame].reserve = all / tinyReserveShare
	b.mu.kinds[smallFrame].reserve = all / smallReserveShare
	b.mu.shared = all - b.mu.kinds[tinyFrame].reserve - b.mu.kinds[smallFrame].reserve - min(int64(frameBytesMax), all/overdraftShare)
	b.mu.growing = map[*charge]struct{}{}
	return b
}

// begin says that a frame of n bytes is about to come from nc.
func (b *budget) begin(c *charge, nc net.Conn, n int) {
	c.nc, c.kind = nc, frameKind(n)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.begun++
	c.number, c.progressed = b.mu.begun, time.Now()
	b.mu.growing[c] = struct{}{}
}

// frameKind is the kind of a frame of n bytes.
func frameKind(n int) int {
	switch {
	case n <= tinyFrameBytesMax:
		return tinyFrame
	case n <= smallFrameBytesMax:
		return smallFrame
	}
	return largeFrame
}

// take charges a frame of n bytes that has come already, if there is room and nobody waits
// for it: it neither grows nor stalls.
func (b *budget) take(c *charge, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for kind := range b.mu.kinds {
		if len(b.mu.kinds[kind].waiting) > 0 {
			return false
		}
	}
	cost := frameCost(n)
	if cost > b.mu.shared {
		return false
	}
	c.kind, c.shared = frameKind(n), cost
	b.mu.shared -= cost
	b.mu.taken += cost
	return true
}

// grow takes n bytes more, and waits until they are free. It fails where the frame's
// connection ends first.
func (b *budget) grow(conn *Conn, c *charge, n int64) error {
	if n <= 0 {
		return nil
	}
	b.mu.Lock()
	c.wants, c.granted = n, nil
	k := &b.mu.kinds[c.kind]
	i, _ := slices.BinarySearchFunc(k.waiting, c, byNumber)
	k.waiting = slices.Insert(k.waiting, i, c)
	b.grantLocked()
	if c.wants == 0 {
		b.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	c.granted = granted
	b.mu.Unlock()

	pressure := time.NewTicker(pressureInterval)
	defer pressure.Stop()
	for {
		select {
		case <-granted:
			return nil
		case <-conn.draining.Done():
			return b.giveUp(c, errDraining)
		case <-conn.gone.Done():
			return b.giveUp(c, conn.gone.Err())
		case <-pressure.C:
			b.press(c)
		}
	}
}

func byNumber(a, b *charge) int { return cmp.Compare(a.number, b.number) }

// giveUp ends c's waiting; what was granted meanwhile is its release's.
func (b *budget) giveUp(c *charge, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := &b.mu.kinds[c.kind]
	if i, waits := slices.BinarySearchFunc(k.waiting, c, byNumber); waits {
		k.waiting = slices.Delete(k.waiting, i, i+1)
		c.wants = 0
		b.grantLocked()
	}
	return err
}

// grantLocked lets go on who can.
func (b *budget) grantLocked() {
	for c := b.nextLocked(); c != nil; c = b.nextLocked() {
		k := &b.mu.kinds[c.kind]
		i, _ := slices.BinarySearchFunc(k.waiting, c, byNumber)
		k.waiting = slices.Delete(k.waiting, i, i+1)
		b.mu.taken += c.wants
		c.wants = 0
		if c.granted != nil {
			c.progressed = time.Now() // what waited for room didn't stall
			close(c.granted)
			c.granted = nil
		}
	}
}

// nextLocked takes what one of those that wait wants, and returns it; nil: nobody can go on.
func (b *budget) nextLocked() *charge {
	var first *charge
	for kind := range b.mu.kinds {
		k := &b.mu.kinds[kind]
		if c := k.overdraw; c != nil && c.wants > 0 {
			c.overrun += c.wants // others wait for it: it waits for nobody
			return c
		}
		if len(k.waiting) > 0 && (first == nil || k.waiting[0].number < first.number) {
			first = k.waiting[0]
		}
	}
	if first != nil && first.wants <= b.mu.shared {
		b.mu.shared -= first.wants
		first.shared += first.wants
		return first
	}
	for kind := range b.mu.kinds {
		k := &b.mu.kinds[kind]
		if len(k.waiting) == 0 {
			continue
		}
		switch c := k.waiting[0]; {
		case c.wants <= k.reserve:
			k.reserve -= c.wants
			c.reserve += c.wants
			return c
		case k.overdraw == nil:
			k.overdraw = c
			c.overrun += c.wants
			return c
		}
	}
	return nil
}

// press makes those go that have stalled longest, as many as those that wait need. Only
// the oldest of a kind that waits does so.
func (b *budget) press(c *charge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.mu.kinds[c.kind].waiting
	if len(waiting) == 0 || waiting[0] != c {
		return
	}
	late := time.Now().Add(-stallTimeoutUnderPressure)
	var stalled []*charge
	for g := range b.mu.growing {
		if g.wants == 0 && !g.stalled && g.progressed.Before(late) {
			stalled = append(stalled, g)
		}
	}
	slices.SortFunc(stalled, func(x, y *charge) int {
		return cmp.Or(x.progressed.Compare(y.progressed), byNumber(x, y))
	})
	var missing int64
	for _, w := range waiting {
		missing += w.wants
	}
	for _, g := range stalled {
		if missing <= 0 {
			return
		}
		gain := g.shared
		if c.kind == g.kind {
			gain += g.reserve + g.overrun
		}
		if gain == 0 {
			continue
		}
		missing -= gain
		g.stalled = true
		g.nc.SetReadDeadline(time.Unix(1, 0)) // its reader looks at stalled
	}
}

// progress notes that a frame's next 64 KiB are awaited from now on. It returns
// errStalled if those before were too late.
func (b *budget) progress(c *charge) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.stalled {
		return errStalled
	}
	c.progressed = time.Now()
	return nil
}

// hasStalled tells whether c had to make room.
func (b *budget) hasStalled(c *charge) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.stalled
}

// grown says that the frame has come: from here on it ends by itself, and its
// connection's deadlines are its reader's alone.
func (b *budget) grown(c *charge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.growing, c)
}

// release gives back all that c has taken.
func (b *budget) release(c *charge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.growing, c)
	b.mu.taken -= c.shared + c.reserve + c.overrun
	b.mu.shared += c.shared
	k := &b.mu.kinds[c.kind]
	k.reserve += c.reserve
	if k.overdraw == c {
		k.overdraw = nil
	}
	c.shared, c.reserve, c.overrun = 0, 0, 0
	b.grantLocked()
}

// taken is what all frames have taken, in bytes.
func (b *budget) taken() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.taken
}
