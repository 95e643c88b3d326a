package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// network connects addresses by pipes, so that meshes can live in a bubble of fake time.
type network struct {
	mu    sync.Mutex
	doors map[string]*pipeDoor
	wrap  func(net.Conn) net.Conn // the dialler's end
}

type pipeDoor struct {
	address string
	dialled chan net.Conn
	closed  chan struct{}
	close   func()
}

func (n *network) listen(address string) *pipeDoor {
	d := &pipeDoor{address: address, dialled: make(chan net.Conn), closed: make(chan struct{})}
	d.close = sync.OnceFunc(func() { close(d.closed) })
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.doors == nil {
		n.doors = map[string]*pipeDoor{}
	}
	n.doors[address] = d
	return d
}

func (d *pipeDoor) Accept() (net.Conn, error) {
	select {
	case c := <-d.dialled:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}
func (d *pipeDoor) Close() error   { d.close(); return nil }
func (d *pipeDoor) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	d, wrap := n.doors[address], n.wrap
	n.mu.Unlock()
	if d == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case d.dialled <- there:
		if wrap != nil {
			return wrap(here), nil
		}
		return here, nil
	case <-d.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// got is a Sink that notes what came.
type got struct {
	mu      sync.Mutex
	entries []string
	streams int64
	block   chan struct{} // if not nil, Receive waits for it
}

func (g *got) Receive(origin string, j metastore.JournalID, v metastore.Version, payload []byte) {
	if g.block != nil {
		<-g.block
	}
	_, effects, err := metastore.ParseEntry(payload)
	if err != nil {
		panic(err)
	}
	_, body, _, _ := effects.Next()
	g.mu.Lock()
	defer g.mu.Unlock()
	if origin != "" {
		origin += ": "
	}
	g.entries = append(g.entries, fmt.Sprintf("%s%v/%d %.20s", origin, j, v, body))
}

func (g *got) Pusher(change int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.streams += change
}

func (g *got) said() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprint(g.entries)
}

// node is a mesh under test.
type node struct {
	*Mesh
	sink *got
	self Peer
	stop func()
}

// party is some agents that know each other.
type party struct {
	t       *testing.T
	network network
	mu      sync.Mutex
	peers   []Peer
}

func (p *party) all() []Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Peer(nil), p.peers...)
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Secret = []byte("a secret of the cluster")
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	return cfg
}

// join starts an agent with a term; its node is the term's number.
func (p *party) join(term metastore.Term, change func(*Config, *Deps)) *node {
	p.t.Helper()
	self := Peer{Node: int32(term), Term: term, Addr: fmt.Sprintf("agent-%d:1", term)}
	n := &node{self: self, sink: &got{}}
	cfg := testConfig()
	deps := Deps{Cluster: "cluster", Self: self, Listener: p.network.listen(self.Addr), Dial: p.network.dial, Peers: p.all, Sink: n.sink}
	if change != nil {
		change(&cfg, &deps)
	}
	var err error
	if n.Mesh, err = New(cfg, deps); err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.peers = append(p.peers, n.deps.Self)
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			p.t.Error(err)
		}
	}()
	n.stop = sync.OnceFunc(func() { cancel(); <-done })
	p.t.Cleanup(n.stop)
	return n
}

// publish pushes the entry of the node's own term.
func (n *node) publish(j metastore.JournalID, v metastore.Version, word string) {
	n.Publish("", []metastore.AppendPart{{Journal: j, Payload: payload(n.self.Term, v, word)}}, []metastore.Version{v})
}

func payload(term metastore.Term, v metastore.Version, word string) []byte {
	b := metastore.AppendHeader(nil, metastore.Header{Term: term, Number: uint64(v), Time: 1})
	return metastore.AppendEffect(b, 200, []byte(word))
}

// logLines takes a log.
type logLines struct {
	mu sync.Mutex
	strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(b)
}

// eventually waits for what real sockets need time for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	look, end := time.NewTicker(time.Millisecond), time.After(time.Minute)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-end:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
