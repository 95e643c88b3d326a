package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/wadi-io/wadi/agent/follow"
	"github.com/wadi-io/wadi/metastore"
)

// PeerConfig says how agents push entries to each other.
type PeerConfig struct {
	Listen     string        // host:port where other agents push; empty: this agent neither pushes nor is pushed to
	Advertised string        // host:port that other agents are told; empty: what Listen is
	Streams    follow.Config // its Clock and Log are set by the agent
}

// Validate says in words which setting is wrong.
func (c PeerConfig) Validate() error {
	if c.Listen == "" {
		return nil
	}
	for _, address := range []string{c.Listen, c.Advertised} {
		if address == "" {
			continue
		}
		if _, _, err := splitAddress(address); err != nil {
			return err
		}
	}
	if err := c.Streams.CheckAddress(c.Listen); err != nil {
		return err
	}
	return c.Streams.Validate()
}

// listenToPeers takes the address where other agents push.
func (p *process) listenToPeers(ctx context.Context, cfg Config) error {
	l := cfg.Given.PeerListener
	if l == nil {
		if cfg.Peer.Listen == "" {
			return nil
		}
		var lc net.ListenConfig
		var err error
		if l, err = lc.Listen(ctx, "tcp", cfg.Peer.Listen); err != nil {
			return fmt.Errorf("other agents can't be listened to at %s: %w", cfg.Peer.Listen, err)
		}
	}
	p.closers = append(p.closers, ignoreClosed{l})
	p.peerDoor = newDoor(l)
	p.peerAddress = cfg.Peer.Advertised
	if p.peerAddress == "" {
		host, port, err := splitAddress(l.Addr().String())
		if err != nil {
			return err
		}
		if named, _, _ := splitAddress(cfg.Peer.Listen); named != "" && net.ParseIP(named) == nil {
			host = named
		}
		p.peerAddress = net.JoinHostPort(host, strconv.Itoa(int(port)))
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			return fmt.Errorf("other agents can't connect to %s: say where they reach this agent (--peer-advertised)", p.peerAddress)
		}
	}
	return nil
}

// newMesh makes the streams of a term, nil without an address for them. The writer
// publishes by it from then on.
func (a *Agent) newMesh(p *process, info metastore.TermInfo, w *metastore.Writer) (*follow.Mesh, error) {
	if p.peerDoor == nil {
		return nil, nil
	}
	cfg := a.cfg.Peer.Streams
	cfg.Clock, cfg.Log = time.Now, a.cfg.Log
	dial := a.cfg.Given.DialPeer
	if dial == nil {
		var d net.Dialer
		dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	leaf := p.peerDoor.leaf() // the mesh closes it
	m, err := follow.New(cfg, follow.Deps{
		Cluster:  p.store.Cluster().ID,
		Self:     follow.Peer{Node: info.Node, Term: info.Term, Addr: p.peerAddress},
		Listener: leaf,
		Dial:     dial,
		Peers:    p.peers,
		Met:      p.members.LookSoon,
		Sink:     p.follower,
		Fit:      func() bool { return p.stale(a.cfg.StaleMax) == nil },
	})
	if err != nil {
		return nil, errors.Join(err, leaf.Close())
	}
	w.Publish = m.Publish
	return m, nil
}

// peers are the agents that take streams.
func (p *process) peers() []follow.Peer {
	live := p.members.View().Live()
	peers := make([]follow.Peer, 0, len(live))
	for _, a := range live {
		if a.Peer != "" {
			peers = append(peers, follow.Peer{Node: a.Node, Term: a.Term, Addr: a.Peer})
		}
	}
	return peers
}
