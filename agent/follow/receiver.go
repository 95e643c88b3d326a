package follow

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// receive shakes hands with who dialled and takes what it pushes, until the stream
// breaks or ctx ends.
func (m *Mesh) receive(ctx context.Context, socket net.Conn) {
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	defer socket.Close()
	conn := socket
	if m.cfg.TLS != nil {
		server := m.cfg.TLS.Clone()
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, server.RootCAs
		conn = tls.Server(socket, server)
	}
	if conn.SetDeadline(time.Now().Add(m.cfg.HandshakeTimeout)) != nil {
		return
	}
	st, from, err := m.answer(conn)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, io.EOF) { // Who says nothing tests the connection.
			m.tellRefused(from, err)
		}
		return
	}
	m.enter(st)
	defer m.leave(st)
	if err := m.take(st); ctx.Err() == nil {
		m.cfg.Log.Debug("a peer's stream has ended", "node", st.peer.node, "term", st.peer.term, "err", err)
	}
}

// refusedStream is who dialled a stream that was refused, and why it was.
type refusedStream struct{ from, why string }

// refusedMax bounds the refusals that are remembered.
const refusedMax = 256

// tellRefused says once that who dialled is refused for a reason, until it is taken: who
// is refused tries again. Streams to an earlier term of this process say nothing new after others.
func (m *Mesh) tellRefused(from string, err error) {
	refused := refusedStream{from, err.Error()}
	m.mu.Lock()
	told := m.mu.refused[refused]
	if len(m.mu.refused) >= refusedMax || m.mu.refused == nil {
		m.mu.refused = map[refusedStream]bool{}
	}
	m.mu.refused[refused] = true
	m.mu.Unlock()
	if !told {
		m.cfg.Log.Warn("streams of a peer are refused", "from", from, "err", err)
	}
}

// enter notes a stream; one that the peer had before is dead to it.
func (m *Mesh) enter(st *stream) {
	known := slices.ContainsFunc(m.deps.Peers(), func(p Peer) bool { return p.Term == st.peer.term })
	if !known && m.deps.Met != nil {
		m.deps.Met()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.mu.streams[st.peer.term]; old != nil {
		old.Close()
	}
	m.mu.streams[st.peer.term] = st.conn
	maps.DeleteFunc(m.mu.refused, func(r refusedStream, _ bool) bool {
		return r.from == st.address && r.why != refusedTerm.Error()
	})
	m.deps.Sink.Pusher(1)
}

func (m *Mesh) leave(st *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.streams[st.peer.term] == st.conn {
		delete(m.mu.streams, st.peer.term)
	}
	m.deps.Sink.Pusher(-1)
}

// take tells the peer that it may begin, hands what it pushes to the sink, and answers its pings.
func (m *Mesh) take(st *stream) error {
	buf := endFrame(beginFrame(nil, kindReady), 0, st.out)
	for {
		if len(buf) > 0 {
			if err := st.conn.SetWriteDeadline(time.Now().Add(m.cfg.WriteTimeout)); err != nil {
				return err
			}
			if _, err := st.conn.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if err := st.conn.SetReadDeadline(time.Now().Add(m.cfg.PingEvery + m.cfg.SilenceMax)); err != nil {
			return err
		}
		kind, body, err := readFrame(st.in, frameBytesMax, st.inc)
		if err != nil {
			return err
		}
		switch kind {
		case kindPing:
			fit := byte(1)
			if m.deps.Fit != nil && !m.deps.Fit() {
				fit = 0
			}
			buf = endFrame(append(beginFrame(buf, kindPong), fit), len(buf), st.out)
		case kindOrigin:
			st.origin = string(body)
		case kindEntries:
			if err := m.takeEntries(st, body); err != nil {
				return err
			}
		default: // Of a later release.
		}
	}
}

// takeEntries hands a frame's entries to the sink. Each is of the peer's own term:
// an agent pushes what it has appended itself.
func (m *Mesh) takeEntries(st *stream, body []byte) error {
	d := metastore.Decoder{Rest: body}
	for len(d.Rest) > 0 {
		e := nextEntry(&d)
		if d.Err != nil {
			return fmt.Errorf("a frame of entries: %w", d.Err)
		}
		h, _, err := metastore.ParseEntry(e.payload)
		if err != nil {
			return fmt.Errorf("version %d of %v: %w", e.version, e.journal, err)
		}
		if h.Term != st.peer.term || e.version == 0 {
			return fmt.Errorf("version %d of %v is of term %d", e.version, e.journal, h.Term)
		}
		m.n.received.Add(1)
		// A copy: what is held of it must not hold the whole frame.
		m.deps.Sink.Receive(st.origin, e.journal, e.version, bytes.Clone(e.payload))
	}
	return nil
}
