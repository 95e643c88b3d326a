package follow

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// entry is a journal's entry on its way to a peer.
type entry struct {
	origin  string // on the stream before the first one of it
	journal metastore.JournalID
	version metastore.Version
	payload []byte
}

// entryOverhead is what an entry costs in a queue beside its payload, in bytes.
const entryOverhead = 64

// sender pushes to one peer.
type sender struct {
	mesh    *Mesh
	peer    Peer
	stop    func()
	wake    chan struct{}
	heard   atomic.Int64      // when the peer last answered, ns since 1970; 0: no stream
	unfit   atomic.Bool       // the peer said so
	trouble metastore.Trouble // run's and listen's
	mu      struct {
		sync.Mutex
		up    bool // a stream is there; otherwise what is pushed is let go
		queue []entry
		bytes int
	}
}

// untoldMax is how long a stream may be missing without a line: longer than the lease of
// an agent that is gone. That an agent can't be reached is told by package cluster.
const untoldMax = 20 * time.Second

func newSender(m *Mesh, p Peer, stop func()) *sender {
	return &sender{mesh: m, peer: p, stop: stop, wake: make(chan struct{}, 1), trouble: metastore.Trouble{
		Log: m.cfg.Log, Level: slog.LevelWarn, After: untoldMax,
		Begun: "no stream to another agent: its readers see what is appended here up to a second later", Over: "there is a stream to another agent again"}}
}

// push queues entries. A queue that is full is dropped: what is in it is older than
// what the peer reads from the store by itself.
func (s *sender) push(origin string, parts []metastore.AppendPart, versions []metastore.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.up {
		return
	}
	for i, p := range parts {
		n := len(p.Payload) + entryOverhead
		if s.mu.bytes+n > s.mesh.cfg.QueueBytesMax {
			s.mesh.n.dropped.Add(int64(len(s.mu.queue)))
			s.mu.queue, s.mu.bytes = nil, 0
		}
		s.mu.queue = append(s.mu.queue, entry{origin, p.Journal, versions[i], p.Payload})
		s.mu.bytes += n
	}
	if len(s.mu.queue) > 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *sender) take() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.mu.queue
	s.mu.queue, s.mu.bytes = nil, 0
	return queue
}

func (s *sender) setUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.up = up
	if !up {
		s.mu.queue, s.mu.bytes = nil, 0
	}
}

func (s *sender) reachable() bool {
	heard := s.heard.Load()
	return heard != 0 && !s.unfit.Load() && s.mesh.cfg.Clock().UnixNano()-heard <= int64(s.mesh.cfg.SilenceMax)
}

// run keeps a stream to the peer until ctx ends.
func (s *sender) run(ctx context.Context) {
	cfg := &s.mesh.cfg
	pause := cfg.RedialFirst
	for ctx.Err() == nil {
		began := cfg.Clock()
		err := s.stream(ctx)
		s.heard.Store(0)
		s.setUp(false)
		if ctx.Err() != nil {
			return
		}
		s.mesh.n.ended.Add(1)
		cfg.Log.Debug("the stream to another agent has broken", "node", s.peer.Node, "term", s.peer.Term, "peer", s.peer.Addr, "err", err)
		s.trouble.Meet(err, "node", s.peer.Node, "term", s.peer.Term, "peer", s.peer.Addr)
		if cfg.Clock().Sub(began) > cfg.RedialMax {
			pause = cfg.RedialFirst
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		longest := cfg.RedialMax
		if errors.Is(err, refusedTerm) {
			longest = cfg.RedialTermMax
		}
		pause = min(2*pause, longest)
	}
}

// connect dials the peer and shakes hands.
func (s *sender) connect(ctx context.Context) (*stream, error) {
	cfg := &s.mesh.cfg
	if err := cfg.CheckAddress(s.peer.Addr); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.HandshakeTimeout)
	defer cancel()
	socket, err := s.mesh.deps.Dial(ctx, s.peer.Addr)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	conn := socket
	if cfg.TLS != nil {
		host, _, err := net.SplitHostPort(s.peer.Addr)
		if err != nil {
			socket.Close()
			return nil, fmt.Errorf("the peer address %q is not host:port", s.peer.Addr)
		}
		client := cfg.TLS.Clone()
		client.ServerName = host
		conn = tls.Client(socket, client)
	}
	st, err := s.mesh.shake(conn, s.peer)
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("shake hands: %w", err)
	}
	return st, nil
}

// stream connects, and sends until the stream breaks or ctx ends.
func (s *sender) stream(ctx context.Context) error {
	st, err := s.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	defer func() {
		cancel(nil)
		st.conn.Close()
		<-done
	}()
	go func() {
		defer close(done)
		cancel(s.listen(st))
	}()
	defer context.AfterFunc(ctx, func() { st.conn.Close() })()
	ping := time.NewTicker(s.mesh.cfg.PingEvery)
	defer ping.Stop()
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ping.C:
			buf = endFrame(beginFrame(buf[:0], kindPing), 0, st.out)
			if err := s.write(st, buf); err != nil {
				return err
			}
		case <-s.wake:
			if buf, err = s.send(st, s.take(), buf); err != nil {
				return err
			}
		}
		if cap(buf) > frameBytesMax {
			buf = nil
		}
	}
}

// send writes entries in as few frames as their sizes allow.
func (s *sender) send(st *stream, entries []entry, buf []byte) ([]byte, error) {
	for len(entries) > 0 {
		if entries[0].origin != st.origin {
			st.origin = entries[0].origin
			buf = endFrame(append(beginFrame(buf[:0], kindOrigin), st.origin...), 0, st.out)
			if err := s.write(st, buf); err != nil {
				return buf, err
			}
		}
		buf = beginFrame(buf[:0], kindEntries)
		sent := 0
		for len(entries) > 0 && entries[0].origin == st.origin && (sent == 0 || len(buf)+len(entries[0].payload) <= frameBytesFull) {
			buf = appendEntry(buf, entries[0])
			entries = entries[1:]
			sent++
		}
		buf = endFrame(buf, 0, st.out)
		if err := s.write(st, buf); err != nil {
			return buf, err
		}
		s.mesh.n.entries.Add(int64(sent))
		s.mesh.n.bytes.Add(int64(len(buf)))
	}
	return buf, nil
}

func (s *sender) write(st *stream, frame []byte) error {
	if err := st.conn.SetWriteDeadline(time.Now().Add(s.mesh.cfg.WriteTimeout)); err != nil {
		return err
	}
	if _, err := st.conn.Write(frame); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// listen takes what the peer answers until the stream breaks. A peer that is silent
// for longer than SilenceMax breaks it.
func (s *sender) listen(st *stream) error {
	in := bufio.NewReader(st.in)
	for {
		if err := st.conn.SetReadDeadline(time.Now().Add(s.mesh.cfg.SilenceMax)); err != nil {
			return err
		}
		kind, body, err := readFrame(in, frameBytesMax, st.inc)
		if err != nil {
			return fmt.Errorf("hear from the peer: %w", err)
		}
		switch kind {
		case kindReady:
			s.setUp(true)
			s.trouble.End("node", s.peer.Node, "term", s.peer.Term, "peer", s.peer.Addr)
		case kindPong:
			s.unfit.Store(len(body) > 0 && body[0] == 0)
		default: // Of a later release.
		}
		s.heard.Store(s.mesh.cfg.Clock().UnixNano())
	}
}
