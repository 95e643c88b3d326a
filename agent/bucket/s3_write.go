//go:build !faketime

package bucket

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// net/http copies a body through a buffer of 32 KiB, and calls the kernel for each. A body
// that lies in memory, on a connection without TLS, is written as it lies instead: the
// request's context names it, bodyTransport makes it the request's, and bodyConn, whom
// net/http asks to read from it, knows it again.

// lentBody is bytes that requests may send until they are taken back.
type lentBody struct {
	mu    sync.Mutex // held by who reads or writes them
	bytes []byte
	taken bool
}

var errBodyTaken = errors.New("the body was taken back")

type bodyKey struct{}

// withBody names the bytes that the body of the context's request will be, until takeBack returns.
func withBody(ctx context.Context, body []byte) (with context.Context, takeBack func()) {
	lent := &lentBody{bytes: body}
	return context.WithValue(ctx, bodyKey{}, lent), lent.takeBack
}

// takeBack waits for a write that runs: it ends soon once its request has, since the
// connection of one that has not been sent whole is closed.
func (l *lentBody) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes, l.taken = nil, true
}

// bodyTransport sends the bodies that contexts name.
type bodyTransport struct{ *http.Transport }

func (t bodyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	lent, ok := r.Context().Value(bodyKey{}).(*lentBody)
	if !ok || r.Body == nil || r.ContentLength != int64(len(lent.bytes)) {
		return t.Transport.RoundTrip(r)
	}
	with := r.WithContext(r.Context())
	with.Body = &memoryBody{lent: lent, closer: r.Body}
	if r.GetBody != nil {
		with.GetBody = func() (io.ReadCloser, error) { return &memoryBody{lent: lent, closer: r.Body}, nil }
	}
	return t.Transport.RoundTrip(with)
}

// memoryBody is a body whose bytes lie in memory.
type memoryBody struct {
	lent   *lentBody
	at     int
	closer io.Closer // of the body that it stands for
}

func (b *memoryBody) Read(p []byte) (int, error) {
	n, err := b.give(len(p), func(rest []byte) (int, error) { return copy(p, rest), nil })
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// give hands up to most bytes to take.
func (b *memoryBody) give(most int, take func(rest []byte) (int, error)) (int, error) {
	b.lent.mu.Lock()
	defer b.lent.mu.Unlock()
	if b.lent.taken {
		return 0, errBodyTaken
	}
	rest := b.lent.bytes[b.at:]
	n, err := take(rest[:min(most, len(rest))])
	b.at += n
	return n, err
}

func (b *memoryBody) Close() error { return b.closer.Close() }

// bodyConn writes such bodies without copying them.
type bodyConn struct{ net.Conn }

// ReadFrom is what net/http calls with a body, limited to its length.
func (c bodyConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(*memoryBody); ok {
			n, err := body.give(int(limited.N), c.Conn.Write)
			limited.N -= int64(n)
			return int64(n), err
		}
	}
	return io.Copy(c.Conn, r)
}

// dialBodies dials connections that write bodies from memory.
func dialBodies(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return bodyConn{conn}, nil
	}
}
