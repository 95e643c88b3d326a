package follow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/metastore"
)

// Peer is an agent with a live term, and the address at which it takes streams.
type Peer struct {
	Node int32
	Term metastore.Term
	Addr string // host:port
}

// Sink takes what peers push; a metastore.Follower.
type Sink interface {
	Receive(origin string, journal metastore.JournalID, version metastore.Version, payload []byte)
	Pusher(change int64)
}

// Deps are what a Mesh works with. It lives as long as the term of Self.
type Deps struct {
	Cluster  string
	Self     Peer
	Listener net.Listener
	Dial     func(ctx context.Context, address string) (net.Conn, error)
	Peers    func() []Peer // who they are now; Self is passed over
	Met      func()        // an agent has come that Peers doesn't name; may be nil
	Sink     Sink
	// Fit tells whether this agent may serve clients, which its peers are told; nil: it may.
	Fit func() bool
}

// Mesh is one term's streams to and from its peers.
type Mesh struct {
	cfg  Config
	deps Deps
	n    counters
	mu   struct {
		sync.Mutex
		senders map[metastore.Term]*sender
		streams map[metastore.Term]net.Conn // that peers dialled
		taken   int                         // connections accepted, in handshake or after
		refused map[refusedStream]bool      // that was told
	}
	publishing atomic.Pointer[[]*sender] // senders, for Publish
}

// Stats count what went over the streams.
type Stats struct {
	Peers        int   // that are dialled or connected
	Reachable    int   // of those, that answer
	Streams      int   // that peers have to this agent
	Entries      int64 // sent
	Bytes        int64 // sent, without pings
	Dropped      int64 // entries that were dropped because a peer is slow
	Received     int64 // entries
	StreamsEnded int64 // to peers: by an error
}

type counters struct{ entries, bytes, dropped, received, ended atomic.Int64 }

// New returns a Mesh; Run starts it.
func New(cfg Config, deps Deps) (*Mesh, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.CheckAddress(deps.Listener.Addr().String()); err != nil {
		return nil, err
	}
	m := &Mesh{cfg: cfg, deps: deps}
	m.mu.senders = map[metastore.Term]*sender{}
	m.mu.streams = map[metastore.Term]net.Conn{}
	m.publishing.Store(&[]*sender{})
	return m, nil
}

// Run keeps the streams until ctx ends; the listener is closed then.
func (m *Mesh) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() {
		m.deps.Listener.Close()
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, conn := range m.mu.streams {
			conn.Close()
		}
	})()
	group.Go(func() error { return m.accept(ctx, group) })
	tick := time.NewTicker(m.cfg.PeersEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		m.meet(ctx, group)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return group.Wait()
}

// meet begins a sender for each new peer and ends those of peers that are gone.
func (m *Mesh) meet(ctx context.Context, group *errgroup.Group) {
	peers := map[metastore.Term]Peer{}
	for _, p := range m.deps.Peers() {
		if p.Term != m.deps.Self.Term && p.Addr != "" {
			peers[p.Term] = p
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for term, s := range m.mu.senders {
		if p, ok := peers[term]; !ok || p != s.peer {
			s.stop()
			delete(m.mu.senders, term)
			changed = true
		}
	}
	for term, p := range peers {
		if m.mu.senders[term] != nil {
			continue
		}
		changed = true
		sending, stop := context.WithCancel(ctx)
		s := newSender(m, p, stop)
		m.mu.senders[term] = s
		group.Go(func() error {
			defer stop()
			s.run(sending)
			return nil
		})
	}
	if changed {
		all := make([]*sender, 0, len(m.mu.senders))
		for _, s := range m.mu.senders {
			all = append(all, s)
		}
		m.publishing.Store(&all)
	}
}

// Publish pushes the entries of an append that has landed to the peers that follow
// their journals. It is a metastore.Writer's Publish, and doesn't block.
func (m *Mesh) Publish(origin string, parts []metastore.AppendPart, versions []metastore.Version) {
	for _, s := range *m.publishing.Load() {
		s.push(origin, parts, versions)
	}
}

// Reachable tells whether a peer answers and is fit to serve: this agent has a
// stream to it that was answered so within SilenceMax. Of itself it says whether it is fit.
func (m *Mesh) Reachable(node int32) bool {
	if node == m.deps.Self.Node {
		return m.deps.Fit == nil || m.deps.Fit()
	}
	return slices.ContainsFunc(*m.publishing.Load(), func(s *sender) bool { return s.peer.Node == node && s.reachable() })
}

// Stats returns the counts.
func (m *Mesh) Stats() Stats {
	st := Stats{Entries: m.n.entries.Load(), Bytes: m.n.bytes.Load(), Dropped: m.n.dropped.Load(),
		Received: m.n.received.Load(), StreamsEnded: m.n.ended.Load()}
	for _, s := range *m.publishing.Load() {
		st.Peers++
		if s.reachable() {
			st.Reachable++
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	st.Streams = len(m.mu.streams)
	return st
}

// accept takes streams until the listener is closed.
func (m *Mesh) accept(ctx context.Context, group *errgroup.Group) error {
	for {
		conn, err := m.deps.Listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accept a peer: %w", err)
		}
		m.mu.Lock()
		free := m.mu.taken < m.cfg.StreamsMax
		if free {
			m.mu.taken++
		}
		m.mu.Unlock()
		if !free {
			conn.Close()
			continue
		}
		group.Go(func() error {
			defer func() {
				m.mu.Lock()
				m.mu.taken--
				m.mu.Unlock()
			}()
			m.receive(ctx, conn)
			return nil
		})
	}
}
