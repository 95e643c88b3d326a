package agent

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// door accepts connections for whichever term serves: the socket stays open
// while one term follows another.
type door struct {
	net.Listener
	accepted chan net.Conn
	leaves   atomic.Int32 // open ones
}

// knockMax is how long a connection waits for the next term. Then it is closed: its
// client may know another agent, and would wait for an answer of this one in vain. Not
// sooner, since franz-go takes a connection that ends before its first answer for a
// listener that wants TLS, and its group members join anew.
const knockMax = 5 * time.Second

// acceptPause is before the next try where accepting failed for a reason that passes; it doubles up to acceptPauseMax.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

func newDoor(l net.Listener) *door { return &door{Listener: l, accepted: make(chan net.Conn)} }

// run accepts until ctx ends, then closes the socket.
func (d *door) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { d.Listener.Close() })
	defer stop()
	pause := acceptPause
	for patience := knockMax; ; {
		conn, err := d.Listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var temporary interface{ Temporary() bool }
			if !errors.As(err, &temporary) || !temporary.Temporary() {
				return err
			}
			// Out of file descriptors: whoever has them needs the processor to give them back.
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = acceptPause
		if d.hand(ctx, conn, patience) {
			patience = knockMax
			continue
		}
		patience = 0 // Nobody was there; the others have waited meanwhile.
		conn.Close()
	}
}

// hand gives a connection to the term that serves. One that has enough of them lets it
// wait; while none serves it waits as long as patience says.
func (d *door) hand(ctx context.Context, conn net.Conn, patience time.Duration) (taken bool) {
	for {
		timer := time.NewTimer(patience)
		select {
		case d.accepted <- conn:
			timer.Stop()
			return true
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			if d.leaves.Load() == 0 {
				return false
			}
			patience = knockMax
		}
	}
}

// leaf is the door as one term sees it: closing it leaves the socket open.
type leaf struct {
	*door
	closed chan struct{}
	close  func()
}

func (d *door) leaf() *leaf {
	l := &leaf{door: d, closed: make(chan struct{})}
	d.leaves.Add(1)
	l.close = sync.OnceFunc(func() {
		d.leaves.Add(-1)
		close(l.closed)
	})
	return l
}

// Accept implements net.Listener.
func (l *leaf) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case conn := <-l.accepted:
		return conn, nil
	}
}

// Close implements net.Listener.
func (l *leaf) Close() error {
	l.close()
	return nil
}
