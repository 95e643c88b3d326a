package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Weather is what a link does to the bytes that it carries.
type Weather struct {
	Cut   bool          // connections end, new ones are refused
	Hold  bool          // a black hole: nothing passes; what was sent arrives when it clears, even from a sender that has gone
	Delay time.Duration // each piece arrives this much later, half as much more at times
	Reset int           // a connection is reset after about so many bytes; 0: not
}

// Link carries TCP connections to one target and may be told to misbehave.
type Link struct {
	name     string
	listener net.Listener
	tasks    sync.WaitGroup
	closed   chan struct{}

	mu struct {
		sync.Mutex
		target  string
		weather Weather
		changed chan struct{} // closed when the weather changes
		pairs   map[*pair]struct{}
		random  *rand.Rand
	}
}

// pair is a connection and its continuation.
type pair struct {
	near, far net.Conn
	left      struct { // bytes until the reset
		sync.Mutex
		bytes int
	}
}

// dialTimeout bounds a link's connection to its target.
const dialTimeout = 5 * time.Second

// NewLink returns a link to target, a host:port, that listens at Address.
func NewLink(name, target string, random *rand.Rand) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	l := &Link{name: name, listener: listener, closed: make(chan struct{})}
	l.mu.target, l.mu.random = target, random
	l.mu.changed = make(chan struct{})
	l.mu.pairs = map[*pair]struct{}{}
	l.tasks.Go(l.accept)
	return l, nil
}

// Name tells from where to where it leads.
func (l *Link) Name() string { return l.name }

// Address is where the link listens.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Retarget leads new connections to another address, and ends the present ones.
func (l *Link) Retarget(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.target = target
	l.endAllLocked()
}

// Set changes the weather.
func (l *Link) Set(w Weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.weather = w
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
	if w.Cut {
		l.endAllLocked()
	}
	for p := range l.mu.pairs {
		p.arm(w, l.mu.random)
	}
}

// Close ends the link and its connections.
func (l *Link) Close() {
	close(l.closed)
	l.listener.Close()
	l.mu.Lock()
	l.endAllLocked()
	l.mu.Unlock()
	l.tasks.Wait()
}

func (l *Link) endAllLocked() {
	for p := range l.mu.pairs {
		p.reset()
	}
}

// now returns the weather and what is closed when it changes.
func (l *Link) now() (Weather, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.weather, l.mu.changed
}

func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // Closed.
		}
		l.tasks.Go(func() { l.carry(near) })
	}
}

// carry connects near with the target until either ends.
func (l *Link) carry(near net.Conn) {
	defer near.Close()
	l.mu.Lock()
	target, cut := l.mu.target, l.mu.weather.Cut
	l.mu.Unlock()
	if cut {
		near.(*net.TCPConn).SetLinger(0)
		return
	}
	if !l.clear() {
		return
	}
	far, err := net.DialTimeout("tcp", target, dialTimeout)
	if err != nil {
		near.(*net.TCPConn).SetLinger(0)
		return
	}
	defer far.Close()
	p := &pair{near: near, far: far}
	l.mu.Lock()
	p.arm(l.mu.weather, l.mu.random)
	gone := l.mu.weather.Cut
	l.mu.pairs[p] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.mu.pairs, p)
		l.mu.Unlock()
	}()
	select {
	case <-l.closed:
		gone = true
	default:
	}
	if gone {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.copy(p, far, near) })
	both.Go(func() { l.copy(p, near, far) })
	both.Wait()
}

// clear waits until the link lets something through; false when the link is closed.
func (l *Link) clear() bool {
	for {
		w, changed := l.now()
		if !w.Hold {
			return true
		}
		select {
		case <-changed:
		case <-l.closed:
			return false
		}
	}
}

// pieceBytes is what a link carries at once.
const pieceBytes = 32 << 10

// copy carries one direction.
func (l *Link) copy(p *pair, to, from net.Conn) {
	piece := make([]byte, pieceBytes)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if !l.clear() {
				return
			}
			if w, _ := l.now(); w.Delay > 0 {
				select {
				case <-time.After(l.about(w.Delay)):
				case <-l.closed:
					return
				}
			}
			if p.spent(n) {
				p.reset()
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				p.reset()
				return
			}
		}
		if err != nil {
			// The other direction may still have something to say.
			if half, ok := to.(*net.TCPConn); ok && l.clear() {
				half.CloseWrite()
			}
			return
		}
	}
}

// about is d, and up to half as much more.
func (l *Link) about(d time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return d + time.Duration(l.mu.random.Int64N(int64(d)/2+1))
}

// arm sets after how many bytes the connection is reset.
func (p *pair) arm(w Weather, random *rand.Rand) {
	p.left.Lock()
	defer p.left.Unlock()
	p.left.bytes = 0
	if w.Reset > 0 {
		p.left.bytes = 1 + random.IntN(2*w.Reset)
	}
}

// spent takes n bytes off what is left until the reset.
func (p *pair) spent(n int) bool {
	p.left.Lock()
	defer p.left.Unlock()
	if p.left.bytes == 0 {
		return false
	}
	p.left.bytes = max(0, p.left.bytes-n)
	return p.left.bytes == 0
}

// reset ends both ends with an RST: what is under way is lost.
func (p *pair) reset() {
	for _, c := range []net.Conn{p.near, p.far} {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
}
