package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
)

// Snapshots come often, so that replicas are restored in a minute's time.
const (
	snapshotEntries = 50
	snapshotAfter   = 20 * time.Second
)

// staleMax is shorter than an agent's own, and with it the grace before objects are deleted.
const staleMax = 6 * time.Second

// impatient is how long an agent asks the bucket for the same, in some seeds: so that uploads fail.
const impatient = 3 * time.Second

// blockBytes is little, so that segments have several blocks.
const blockBytes = 8 << 10

// host runs one agent process after the other at one address.
type host struct {
	world   *world
	name    string
	zone    string
	address string
	// peerAddress is where other agents push, where they do.
	peerAddress string
	mu          struct {
		sync.Mutex
		gate   *gate // of the running process; nil: none runs
		cancel context.CancelFunc
		gone   chan struct{} // closed when Run has returned
		starts int
	}
}

// addresses are where clients find agents.
func (w *world) addresses() []string {
	var all []string
	for _, h := range w.agents {
		all = append(all, h.address)
	}
	return all
}

// start runs a process, unless one runs.
func (h *host) start(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.gate != nil {
		return
	}
	h.mu.starts++
	g := newGate(h.world, h.name)
	cfg := agent.Default()
	cfg.Zone = h.zone
	cfg.Kafka = h.address
	cfg.Advertised = h.address
	cfg.Bucket = "mem://"
	cfg.Lease = h.world.cfg.Lease
	cfg.StaleMax = staleMax
	if h.world.cfg.Compaction {
		cfg.Compaction = h.world.compact
	}
	cfg.CacheBytes = 16 << 20
	cfg.Log = slog.New(logTo{h.world, h.name})
	cfg.Snapshot.EntriesMin, cfg.Snapshot.After, cfg.Snapshot.LookEvery = snapshotEntries, snapshotAfter, time.Second
	cfg.Settings = h.world.cfg.Settings
	cfg.Given = agent.Given{
		Listener:   h.world.network.listen(h.name, h.address),
		BlockBytes: blockBytes,
		Bucket:     &bucketLink{h.world.bucket, g},
		Store:      &storeLink{h.world.store, g},
	}
	if h.world.cfg.Impatient {
		cfg.Given.Retry = bucket.DefaultRetryConfig()
		cfg.Given.Retry.Elapsed = impatient
	}
	cfg.Given.EndsAlone = h.world.cfg.TwoSteps
	dial := h.world.network.dialer(h.name)
	cfg.Given.DialPeer = func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	if h.world.cfg.Push {
		cfg.Peer.Advertised = h.peerAddress
		cfg.Given.PeerListener = h.world.network.listen(h.name, h.peerAddress)
	}
	a, err := agent.New(cfg)
	if err != nil {
		h.world.bug("%s: %v", h.name, err)
		return
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	gone := make(chan struct{})
	h.mu.gate, h.mu.cancel, h.mu.gone = g, cancel, gone
	h.world.note("start", "%s: process %d", h.name, h.mu.starts)
	go func() {
		defer close(gone)
		defer cancel()
		if err := a.Run(running); err != nil {
			h.world.note("exit", "%s: %v", h.name, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.mu.gate == g {
			h.mu.gate = nil
		}
	}()
}

// kill ends the process as SIGKILL does: at once, with its connections.
func (h *host) kill() bool {
	h.mu.Lock()
	g, cancel := h.mu.gate, h.mu.cancel
	h.mu.gate = nil
	h.mu.Unlock()
	if g == nil {
		return false
	}
	g.kill()
	h.world.network.closeListener(h.address)
	h.world.network.closeListener(h.peerAddress)
	h.world.network.resetHost(h.name, true)
	h.world.network.thaw(h.name)
	cancel()
	return true
}

// stop ends the process as SIGTERM does, and waits at most a minute. One that is paused
// would hear of it when it is resumed.
func (h *host) stop() bool {
	h.mu.Lock()
	g, cancel, gone := h.mu.gate, h.mu.cancel, h.mu.gone
	h.mu.Unlock()
	if g == nil || g.paused() {
		return false
	}
	cancel()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		h.world.bug("%s: the process doesn't stop within a minute", h.name)
		h.kill()
	}
	return true
}

// isOf tells whether the process that runs is a gate's.
func (h *host) isOf(g *gate) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.gate == g
}

// killAt has the process killed once one of its appends has landed.
func (h *host) killAt(which func(parts []metastore.AppendPart) bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.gate == nil {
		return false
	}
	h.mu.gate.mu.Lock()
	defer h.mu.gate.mu.Unlock()
	h.mu.gate.mu.doom = which
	return true
}

// pause stops the process's traffic, as SIGSTOP does, until resume.
func (h *host) pause() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.gate == nil {
		return false
	}
	h.mu.gate.pause()
	h.world.network.freeze(h.name)
	return true
}

func (h *host) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.world.network.thaw(h.name)
	if h.mu.gate != nil {
		h.mu.gate.resume()
	}
}

// newHosts makes hosts in zones a, b and c in turn.
func (w *world) newHosts(n int) {
	for i := range n {
		w.agents = append(w.agents, &host{
			world:   w,
			name:    fmt.Sprintf("agent-%d", i+1),
			zone:    string(rune('a' + i%3)),
			address: fmt.Sprintf("127.0.0.%d:9092", i+1), peerAddress: fmt.Sprintf("127.0.0.%d:9093", i+1),
		})
	}
}
