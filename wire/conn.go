package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Conn is one client connection. Up to three goroutines serve it: one reads
// frames (frame.go), one takes requests in order (handle.go), and from the first
// overlapping request on one waits for their answers and writes them (handle.go).
type Conn struct {
	server *Server
	nc     net.Conn

	// draining is done when no further request is to be started.
	draining context.Context
	// cutOff ends when the server gives the connection up, whatever is in flight.
	cutOff    context.Context
	cutCancel context.CancelFunc
	// gone is a child of it that also ends when the client has left.
	gone       context.Context
	goneCancel context.CancelFunc

	closed        atomic.Bool // by us, for good: nothing more is started or written
	authenticated atomic.Bool
	lastAnswered  atomic.Int64 // Unix time in ns

	slots    chan struct{} // one for each request in flight
	bytes    *semaphore.Weighted
	queue    chan *Request // read, not started; never full: slots bound it
	pending  chan *Request // started, not answered; made by the first
	answered sync.WaitGroup

	// Owned by the reading goroutine until it closes queue.
	ahead   [aheadBytes]byte // what came with a prefix
	from    int              // of ahead, what isn't taken yet
	to      int
	trusted int       // bytes that a frame is given room for before they arrive
	readBy  time.Time // the deadline that was set last
	refused error     // what ended the reading, if it is the client's fault

	// Owned by whichever goroutine answers: the handling one while nothing is pending.
	slices  [][]byte
	writing net.Buffers
	writeBy time.Time // the deadline that was set last

	// Owned by the handling goroutine.
	clientID string

	mu struct {
		sync.Mutex
		value           any
		softwareName    string
		softwareVersion string
	}
}

const (
	// frameBytesTrusted is the room that a connection's first frame is given
	// before its bytes arrive: little, since it is given to all connections. Later
	// ones are given as much as the connection has delivered before.
	frameBytesTrusted = 4 << 10
	// prefixBytes is a frame's length.
	prefixBytes = 4
	// frameGrowth is by what a frame grows when its room is full.
	frameGrowth = 4
	// aheadBytes is what is read along with a frame's length, so that a small request
	// takes one call. Each connection has as much.
	aheadBytes = 1 << 10
	// progressBytes is what must move within a read or write timeout.
	progressBytes = 64 << 10
	// deadlineSlack is which part of a timeout a deadline may be too early by: it isn't set anew with each request.
	deadlineSlack = 64
	// clientNameBytesMax bounds what is remembered of a client's names.
	clientNameBytesMax = 256
)

func newConn(s *Server, nc net.Conn, draining context.Context) *Conn {
	c := &Conn{
		server:   s,
		nc:       nc,
		draining: draining,
		slots:    make(chan struct{}, s.limits.ConnRequestsInFlightMax),
		bytes:    semaphore.NewWeighted(s.limits.ConnBytesInFlightMax),
		queue:    make(chan *Request, s.limits.ConnRequestsInFlightMax),
		trusted:  frameBytesTrusted,
	}
	c.cutOff, c.cutCancel = context.WithCancel(context.Background())
	c.gone, c.goneCancel = context.WithCancel(c.cutOff)
	return c
}

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Listener is the name of the listener that the client came through.
func (c *Conn) Listener() string { return c.server.cfg.Listener }

// Done is closed when the connection is gone: the client left, or it was closed.
func (c *Conn) Done() <-chan struct{} { return c.gone.Done() }

// Context ends when the connection is gone.
func (c *Conn) Context() context.Context { return c.gone }

// Draining is closed when the server stops: what waits for something to happen
// (a long poll) should answer now.
func (c *Conn) Draining() <-chan struct{} { return c.draining.Done() }

// SetAuthenticated lifts the limits that hold before authentication.
func (c *Conn) SetAuthenticated() { c.authenticated.Store(true) }

// Software is what the client said of itself in ApiVersions, cut to 256 bytes; empty before it.
func (c *Conn) Software() (name, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.softwareName, c.mu.softwareVersion
}

// Value returns what SetValue stored last: the handlers' own state of the connection.
func (c *Conn) Value() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.value
}

// SetValue stores the handlers' own state of the connection.
func (c *Conn) SetValue(v any) {
	c.mu.Lock()
	c.mu.value = v
	c.mu.Unlock()
}

// serve runs the connection until both sides are done with it.
func (c *Conn) serve() {
	var handling sync.WaitGroup
	handling.Go(c.handleRequests)
	err := c.readRequests()
	switch {
	case errors.Is(err, errDraining):
	case errors.Is(err, errRefused):
		c.refused = err // closed once what came before has been answered
	default:
		c.goneCancel()
		if !isHangUp(err) && !c.closed.Load() {
			c.server.log.Debug("connection lost", "client", c.RemoteAddr().String(), "error", err)
		}
	}
	close(c.queue)
	handling.Wait()
	c.close()
}

// close ends the connection at once. Its requests in flight come to their end
// unseen by the client.
func (c *Conn) close() {
	if c.closed.Swap(true) {
		return
	}
	c.cutCancel()
	c.nc.Close()
}

// drain makes the reading goroutine look at the draining context.
func (c *Conn) drain() { c.nc.SetReadDeadline(time.Unix(1, 0)) }

var (
	errDraining = errors.New("the server is stopping")
	errRefused  = errors.New("refused")
	errIdle     = errors.New("idle for too long")
)

func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, errIdle)
}

// readRequests reads frames into the queue until the client stops, or has to.
func (c *Conn) readRequests() error {
	for {
		n, err := c.readPrefix()
		if err != nil {
			return err
		}
		r := &Request{Conn: c, claimed: min(frameCost(n), c.server.limits.ConnBytesInFlightMax)}
		whole, err := c.admit(r, n)
		if err != nil {
			return err
		}
		if whole {
			r.Frame = c.takeFrame(n)
		} else if r.Frame, err = c.readFrame(r, n); err != nil {
			c.discharge(r)
			c.dismiss(r)
			return err
		}
		r.Frame.request = r
		r.frameBytes = n
		r.read = time.Now()
		c.queue <- r
	}
}

// readPrefix waits for the next frame and returns its length.
func (c *Conn) readPrefix() (int, error) {
	limits := &c.server.limits
	deadline := time.Now().Add(limits.IdleTimeout)
	if c.draining.Err() != nil {
		return 0, errDraining
	}
	for c.to-c.from < prefixBytes {
		if c.readBy.After(deadline) || deadline.Sub(c.readBy) > limits.IdleTimeout/deadlineSlack {
			c.setReadBy(deadline)
		}
		if c.draining.Err() != nil { // after the deadline was set: drain sets it too
			return 0, errDraining
		}
		c.to = copy(c.ahead[:], c.ahead[c.from:c.to])
		c.from = 0
		n, err := c.nc.Read(c.ahead[c.to:])
		c.to += n
		if err == nil || c.to >= prefixBytes {
			continue
		}
		c.readBy = time.Time{} // Whoever set it.
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		case c.draining.Err() != nil:
			return 0, errDraining
		case c.to > 0:
			return 0, errIdle
		case len(c.slots) > 0:
			deadline = time.Now().Add(limits.IdleTimeout)
		default:
			deadline = time.Unix(0, c.lastAnswered.Load()).Add(limits.IdleTimeout)
			if !deadline.After(time.Now()) {
				return 0, errIdle
			}
		}
	}
	n := int(int32(binary.BigEndian.Uint32(c.ahead[c.from:])))
	c.from += prefixBytes
	frameMax := limits.FrameBytesMax
	if c.server.cfg.AuthenticationRequired && !c.authenticated.Load() {
		frameMax = limits.FrameBytesUnauthenticatedMax
	}
	if n < headerBytes || n > frameMax {
		return 0, fmt.Errorf("%w: a frame of %d bytes: must have %d to %d", errRefused, n, headerBytes, frameMax)
	}
	return n, nil
}

func (c *Conn) setReadBy(deadline time.Time) {
	c.readBy = deadline
	c.nc.SetReadDeadline(deadline)
}

// admit waits until the request's frame may be read; whole: it has come with its length, and is charged for.
func (c *Conn) admit(r *Request, n int) (whole bool, err error) {
	select {
	case c.slots <- struct{}{}:
	default:
		select {
		case c.slots <- struct{}{}:
		case <-c.draining.Done():
			return false, errDraining
		case <-c.gone.Done():
			return false, c.gone.Err()
		}
	}
	if err := c.bytes.Acquire(c.gone, r.claimed); err != nil {
		<-c.slots
		return false, err
	}
	c.server.requests.Add(1)
	if n <= c.to-c.from && c.server.budget.take(&r.charge, n) {
		return true, nil
	}
	c.server.budget.begin(&r.charge, c.nc, n)
	return false, nil
}

// discharge gives back what r was charged for its frame.
func (c *Conn) discharge(r *Request) {
	c.server.budget.release(&r.charge)
	c.bytes.Release(r.claimed)
}

// dismiss gives back r's place in the line.
func (c *Conn) dismiss(r *Request) {
	c.server.requests.Add(-1)
	<-c.slots
}

// room returns a frame with room for n bytes, and with what old has, which is released.
// It waits until there is as much room.
func (c *Conn) room(r *Request, old *Frame, n int) (*Frame, error) {
	more := frameCost(n)
	if old != nil {
		more -= frameCost(len(old.room))
	}
	err := c.server.budget.grow(c, &r.charge, more)
	if err != nil {
		if old != nil {
			old.Release()
		}
		return nil, err
	}
	f := c.server.frames.get(n)
	if old != nil {
		f.size = copy(f.room, old.Bytes())
		old.Release()
	}
	return f, nil
}

// takeFrame returns a frame of n bytes that were all read ahead.
func (c *Conn) takeFrame(n int) *Frame {
	f := c.server.frames.get(n)
	f.size = copy(f.room[:n], c.ahead[c.from:c.to])
	c.from += n
	c.trusted = max(c.trusted, n)
	return f
}

// readFrame reads the n bytes of a frame. Its room grows as they arrive.
func (c *Conn) readFrame(r *Request, n int) (*Frame, error) {
	f, err := c.room(r, nil, min(n, c.trusted))
	if err != nil {
		return nil, err
	}
	// The first room of a frame holds more than what was read ahead of it.
	f.size = copy(f.room[:min(n, len(f.room))], c.ahead[c.from:c.to])
	c.from += f.size
	if err := c.checkEarly(f, n); err != nil {
		f.Release()
		return nil, err
	}
	for moved := progressBytes; f.size < n; {
		if f.size == len(f.room) {
			if f, err = c.room(r, f, min(n, frameGrowth*f.size)); err != nil {
				return nil, err
			}
			moved = progressBytes
		}
		if moved >= progressBytes {
			moved = 0
			err = c.awaitMore(r)
		}
		if err == nil {
			var got int
			got, err = c.nc.Read(f.room[f.size:min(n, len(f.room))])
			f.size += got
			moved += got
		}
		if err == nil || f.size == n {
			err = c.checkEarly(f, n)
		} else {
			err = c.readFailed(r, err)
		}
		if err != nil {
			f.Release()
			return nil, err
		}
	}
	c.server.budget.grown(&r.charge)
	c.trusted = max(c.trusted, n)
	return f, nil
}

// awaitMore gives the client time for more of its frame. What others do to end it they
// do by the deadline, so it is set before they are looked for.
func (c *Conn) awaitMore(r *Request) error {
	c.setReadBy(time.Now().Add(c.server.limits.ReadTimeout))
	if c.draining.Err() != nil {
		return errDraining
	}
	return c.server.budget.progress(&r.charge)
}

// readFailed is why a frame didn't come.
func (c *Conn) readFailed(r *Request, err error) error {
	switch {
	case c.server.budget.hasStalled(&r.charge):
		return fmt.Errorf("%w: a frame that %w", errRefused, errStalled)
	case c.draining.Err() != nil:
		return errDraining
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkEarly refuses a large frame that isn't Produce before the rest of it is read.
func (c *Conn) checkEarly(f *Frame, n int) error {
	const headerBytesMax = 64 << 10
	if f.size < 2 || n <= c.server.limits.BodyBytesMax+headerBytesMax {
		return nil
	}
	if key := int16(binary.BigEndian.Uint16(f.Bytes())); key != KeyProduce {
		return fmt.Errorf("%w: request %d in a frame of %d bytes: %w", errRefused, key, n, errBodySize)
	}
	return nil
}
