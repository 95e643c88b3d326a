package agent

import (
	"context"
	"errors"
	"net"
	"sync"
)

// door accepts connections for whichever term serves: the socket stays open
// while one term follows another.
type door struct {
	net.Listener
	accepted chan net.Conn
}

func newDoor(l net.Listener) *door { return &door{Listener: l, accepted: make(chan net.Conn)} }

// run accepts until ctx ends, then closes the socket.
func (d *door) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { d.Listener.Close() })
	defer stop()
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				continue
			}
			return err
		}
		select {
		case d.accepted <- conn:
		case <-ctx.Done():
			conn.Close()
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
	l.close = sync.OnceFunc(func() { close(l.closed) })
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
