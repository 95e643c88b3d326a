package agent

import (
	"context"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestDoor_WhileNoTermServes: a connection waits a moment for the next term, then it is
// closed; beside a term that has enough of them it waits for its turn.
func TestDoor_WhileNoTermServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		d := newDoor(p)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.run(ctx) }()
		knock := func() net.Conn {
			t.Helper()
			conn, err := p.dial(t.Context(), "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		closedAfter := func(conn net.Conn, want time.Duration) {
			t.Helper()
			began := time.Now()
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Fatal(err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("closed after %v, want %v", took, want)
			}
		}
		closedAfter(knock(), knockMax)
		for range 100 { // who comes to an agent that nobody could reach doesn't queue
			closedAfter(knock(), 0)
		}
		term := d.leaf()
		take := func() {
			t.Helper()
			conn, err := term.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
		knock()
		take()
		waiting := knock()
		time.Sleep(time.Hour)
		take()
		closedAfter(waiting, 0)
		term.Close()
		late := knock() // between two terms
		time.Sleep(knockMax / 2)
		term = d.leaf()
		take()
		closedAfter(late, 0)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// fewFiles is a listener that has no file descriptor left until a moment.
type fewFiles struct {
	*pipes
	until time.Time
	tries atomic.Int32
}

func (l *fewFiles) Accept() (net.Conn, error) {
	l.tries.Add(1)
	if time.Now().Before(l.until) {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.pipes.Accept()
}

// TestDoor_OutOfFiles: while a connection can't be accepted the door waits, instead of
// trying without end; soon after it can be it is.
func TestDoor_OutOfFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fewFiles{pipes: newPipes(), until: time.Now().Add(time.Minute)}
		d := newDoor(l)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.run(ctx) }()
		term := d.leaf()
		defer term.Close()
		go func() {
			if conn, err := l.dial(ctx, "tcp", ""); err == nil {
				conn.Close()
			}
		}()
		began := time.Now()
		conn, err := term.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if took := time.Since(began); took > time.Minute+acceptPauseMax || l.tries.Load() > 100 {
			t.Errorf("accepted after %v and %d tries", took, l.tries.Load())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}
