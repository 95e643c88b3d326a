package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// Latencies and bounds of the simulated network.
const (
	latencyMin      = 100 * time.Microsecond
	latencySpread   = 2 * time.Millisecond
	halfBytesMax    = 1 << 20 // in flight in one direction; a writer waits
	dialTimeout     = 3 * time.Second
	resetAfterCut   = 10 * time.Second // a connection that is cut for longer is reset by its keepalive
	listenersBuffer = 64
)

// errReset is what both ends of a broken connection get.
var errReset = errors.New("connection reset by peer")

// network connects hosts by name. Pairs of hosts can be cut from each other; what
// was sent meanwhile arrives after the cut has healed, unless the connection was reset.
type network struct {
	rand *rand.Rand
	mu   struct {
		sync.Mutex
		listeners map[string]*listener // by address
		hosts     map[string]string    // of addresses
		cut       map[[2]string]bool
		conns     map[*conn]bool // the dialing ends
		dialed    int
		frozen    map[string]bool // hosts whose processes are paused
		healed    chan struct{}   // closed and renewed when a cut heals
	}
}

func newNetwork(r *rand.Rand) *network {
	n := &network{rand: r}
	n.mu.listeners = map[string]*listener{}
	n.mu.hosts = map[string]string{}
	n.mu.cut = map[[2]string]bool{}
	n.mu.frozen = map[string]bool{}
	n.mu.conns = map[*conn]bool{}
	n.mu.healed = make(chan struct{})
	return n
}

func pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

// cut separates two hosts.
func (n *network) cut(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.cut[pair(a, b)] = true
}

// heal joins two hosts again.
func (n *network) heal(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mu.cut, pair(a, b))
	close(n.mu.healed)
	n.mu.healed = make(chan struct{})
}

// freeze stops the traffic of a host until thaw.
func (n *network) freeze(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.frozen[host] = true
}

func (n *network) thaw(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mu.frozen, host)
	close(n.mu.healed)
	n.mu.healed = make(chan struct{})
}

// isCut tells whether the hosts are separated, and what is closed when a cut has healed.
func (n *network) isCut(a, b string) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.cut[pair(a, b)] || n.mu.frozen[a] || n.mu.frozen[b], n.mu.healed
}

// resetHost breaks the connections of a host, some or all.
func (n *network) resetHost(host string, all bool) int {
	n.mu.Lock()
	var conns []*conn
	for _, c := range sortedConns(n.mu.conns) {
		if (c.local == host || c.remote == host) && (all || n.rand.IntN(3) == 0) {
			conns = append(conns, c)
		}
	}
	n.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
	return len(conns)
}

// sortedConns returns connections in the order in which they were dialed.
func sortedConns(conns map[*conn]bool) []*conn {
	return slices.SortedFunc(maps.Keys(conns), func(a, b *conn) int { return cmp.Compare(a.number, b.number) })
}

// listen takes an address for a host.
func (n *network) listen(host, address string) *listener {
	l := &listener{network: n, address: address, accepted: make(chan net.Conn, listenersBuffer), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.listeners[address] = l
	n.mu.hosts[address] = host
	return l
}

// closeListener ends the listener at an address, with its process.
func (n *network) closeListener(address string) {
	n.mu.Lock()
	l := n.mu.listeners[address]
	n.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

// dialer returns the dial function of a host.
func (n *network) dialer(host string) func(ctx context.Context, _, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		// Also a refusal takes its way, else whoever tries again at once stops time.
		way := latencyMin + time.Duration(n.draw(int64(latencySpread)))
		if !pause(ctx, way) {
			return nil, fmt.Errorf("dial %s: %w", address, ctx.Err())
		}
		n.mu.Lock()
		l, to := n.mu.listeners[address], n.mu.hosts[address]
		n.mu.Unlock()
		for {
			cut, healed := n.isCut(host, to)
			if !cut {
				break
			}
			select {
			case <-healed:
			case <-ctx.Done():
				return nil, fmt.Errorf("dial %s: %w", address, ctx.Err())
			}
		}
		if l == nil {
			return nil, fmt.Errorf("dial %s: connection refused", address)
		}
		here, there := n.connect(host, to, address)
		select {
		case <-l.closed:
			here.reset()
			return nil, fmt.Errorf("dial %s: connection refused", address)
		default:
		}
		select {
		case l.accepted <- there:
			return here, nil
		case <-l.closed:
			here.reset()
			return nil, fmt.Errorf("dial %s: connection refused", address)
		case <-ctx.Done():
			here.reset()
			return nil, fmt.Errorf("dial %s: %w", address, ctx.Err())
		}
	}
}

// connect makes the two ends of a connection.
func (n *network) connect(from, to, address string) (here, there *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.dialed++
	number := n.mu.dialed
	up, down := newHalf(n, from, to), newHalf(n, to, from)
	here = &conn{network: n, local: from, remote: to, in: down, out: up, number: number, address: name(address)}
	there = &conn{network: n, local: to, remote: from, in: up, out: down, number: number, address: name(from + ":0")}
	here.peer, there.peer = there, here
	n.mu.conns[here] = true
	return here, there
}

// name is an address of the simulated network.
type name string

func (a name) Network() string { return "tcp" }
func (a name) String() string  { return string(a) }

// listener accepts connections at one address.
type listener struct {
	network  *network
	address  string
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		if l.network.mu.listeners[l.address] == l {
			delete(l.network.mu.listeners, l.address)
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return name(l.address) }

// conn is one end of a connection.
type conn struct {
	network       *network
	local, remote string // hosts
	number        int
	address       name // of the other end
	in, out       *half
	peer          *conn
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close ends both directions: what was written still arrives.
func (c *conn) Close() error {
	c.out.end(io.EOF)
	c.in.end(net.ErrClosed)
	c.forget()
	return nil
}

// reset breaks the connection for both ends; bytes in flight are lost.
func (c *conn) reset() {
	for _, h := range []*half{c.in, c.out} {
		h.mu.Lock()
		h.mu.chunks, h.mu.bytes = nil, 0
		h.mu.Unlock()
		h.end(errReset)
	}
	c.forget()
}

func (c *conn) forget() {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	delete(c.network.mu.conns, c)
	delete(c.network.mu.conns, c.peer)
}

func (c *conn) LocalAddr() net.Addr  { return name(c.local + ":0") }
func (c *conn) RemoteAddr() net.Addr { return c.address }

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.readBy.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.out.writeBy.set(t); return nil }

// deadline is a moment that may be moved while someone waits for it.
type deadline struct {
	mu struct {
		sync.Mutex
		at    time.Time
		moved chan struct{}
	}
}

func newDeadline() *deadline {
	d := &deadline{}
	d.mu.moved = make(chan struct{})
	return d
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.at = t
	close(d.mu.moved)
	d.mu.moved = make(chan struct{})
}

func (d *deadline) get() (time.Time, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.at, d.mu.moved
}

// half is one direction of a connection.
type half struct {
	network         *network
	from, to        string
	readBy, writeBy *deadline
	mu              struct {
		sync.Mutex
		chunks  []chunk
		bytes   int
		ended   error // what a reader gets after the chunks, and a writer at once
		last    time.Time
		changed chan struct{}
	}
}

// chunk is what one write sent, and when it arrives.
type chunk struct {
	due   time.Time
	bytes []byte
}

func newHalf(n *network, from, to string) *half {
	h := &half{network: n, from: from, to: to, readBy: newDeadline(), writeBy: newDeadline()}
	h.mu.changed = make(chan struct{})
	return h
}

func (h *half) changedLocked() {
	close(h.mu.changed)
	h.mu.changed = make(chan struct{})
}

// end ends the direction, for its first reason.
func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.ended == nil || err == errReset {
		h.mu.ended = err
		h.changedLocked()
	}
}

func (h *half) write(b []byte) (int, error) {
	for {
		h.mu.Lock()
		if h.mu.ended != nil {
			err := h.mu.ended
			h.mu.Unlock()
			if err == io.EOF {
				err = net.ErrClosed
			}
			return 0, err
		}
		if h.mu.bytes == 0 || h.mu.bytes+len(b) <= halfBytesMax {
			due := time.Now().Add(latencyMin + time.Duration(h.network.draw(int64(latencySpread))))
			if due.Before(h.mu.last) {
				due = h.mu.last
			}
			h.mu.last = due
			h.mu.chunks = append(h.mu.chunks, chunk{due, append([]byte(nil), b...)})
			h.mu.bytes += len(b)
			h.changedLocked()
			h.mu.Unlock()
			return len(b), nil
		}
		changed := h.mu.changed
		h.mu.Unlock()
		if err := wait(h.writeBy, time.Time{}, changed, nil); err != nil {
			return 0, err
		}
	}
}

// draw returns a number below max.
func (n *network) draw(max int64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rand.Int64N(max)
}

func (h *half) read(b []byte) (int, error) {
	var cutSince time.Time
	for {
		cut, healed := h.network.isCut(h.from, h.to)
		now := time.Now()
		h.mu.Lock()
		var due time.Time
		switch {
		case cut && (h.mu.ended == nil || h.mu.ended == io.EOF):
			if cutSince.IsZero() {
				cutSince = now
			}
			if due = cutSince.Add(resetAfterCut); !now.Before(due) {
				h.mu.ended = errReset
				h.mu.chunks, h.mu.bytes = nil, 0
				h.changedLocked()
			}
		case len(h.mu.chunks) > 0:
			cutSince = time.Time{}
			c := &h.mu.chunks[0]
			if due = c.due; !now.Before(due) {
				n := copy(b, c.bytes)
				if c.bytes = c.bytes[n:]; len(c.bytes) == 0 {
					h.mu.chunks = h.mu.chunks[1:]
				}
				h.mu.bytes -= n
				h.changedLocked()
				h.mu.Unlock()
				return n, nil
			}
		case h.mu.ended != nil:
			err := h.mu.ended
			h.mu.Unlock()
			return 0, err
		default:
			cutSince = time.Time{}
		}
		changed := h.mu.changed
		h.mu.Unlock()
		if !cut {
			healed = nil
		}
		if err := wait(h.readBy, due, changed, healed); err != nil {
			return 0, err
		}
	}
}

// wait returns when a channel is closed, at a moment (if it isn't zero), or with
// os.ErrDeadlineExceeded at the deadline.
func wait(by *deadline, until time.Time, changed, healed <-chan struct{}) error {
	at, moved := by.get()
	var timer, limit <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timer = t.C
	}
	if !at.IsZero() {
		left := time.Until(at)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		t := time.NewTimer(left)
		defer t.Stop()
		limit = t.C
	}
	select {
	case <-changed:
	case <-healed:
	case <-moved:
	case <-timer:
	case <-limit:
		return os.ErrDeadlineExceeded
	}
	return nil
}
