package agent

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/agent/follow"
	"github.com/wadi-io/wadi/metastore"
)

// newMembers makes what knows the other agents. Whoever has locked a folder for itself has none.
func newMembers(p *process, cfg Config) *cluster.Members {
	mc := cluster.DefaultConfig()
	mc.Log = cfg.Log
	deps := cluster.Deps{Terms: p.store, Reachable: (&streamed{process: p}).reachable,
		Fit: func() bool { return p.stale(cfg.StaleMax) == nil }}
	if cfg.Folder != "" {
		deps.Terms = nil
	}
	if dial := cfg.Given.DialPeer; dial != nil {
		deps.Dial = func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address) }
	}
	return cluster.New(mc, p.store.Cluster().Shards, deps)
}

// streamed tells by the streams to other agents who can be reached.
type streamed struct {
	process *process
	mu      struct {
		sync.Mutex
		mesh *follow.Mesh            // of which worked tells
		seen map[metastore.Term]bool // agents to which there has been a stream
	}
}

// reachable tells whether the stream to an agent works. One to which there was none yet
// is not known: it may just have come.
func (s *streamed) reachable(agent metastore.TermInfo) (reachable, known bool) {
	mesh := s.process.mesh.Load()
	if mesh == nil {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.mesh != mesh {
		s.mu.mesh, s.mu.seen = mesh, map[metastore.Term]bool{}
	}
	if mesh.Reachable(agent.Node) {
		s.mu.seen[agent.Term] = true
		return true, true
	}
	return false, s.mu.seen[agent.Term]
}

// turn says how many agents look after a journal before this one.
func (p *process) turn(j metastore.JournalID) int { return p.members.View().Turn(j) }

// leaveWait is how long an agent that is to stop goes on serving after it has said so:
// a little longer than others take to see it, and to tell clients.
const leaveWait = 1500 * time.Millisecond

// leave says that the term is about to end and waits until the other agents know. One
// that is alone has nobody to tell.
func (a *Agent) leave(ctx context.Context, t *term) {
	p := t.process
	others := func(b *cluster.Agent) bool { return b.Node != t.info.Node }
	if !slices.ContainsFunc(p.members.View().Named(), others) {
		return
	}
	telling, cancel := context.WithTimeout(ctx, endTermTimeout)
	defer cancel()
	if err := p.store.DrainTerm(telling, t.info.Term); err != nil {
		a.cfg.Log.Warn("the other agents could not be told that this one leaves", "term", t.info.Term, "err", err)
		return
	}
	a.cfg.Log.Info("leaving: clients are sent to the other agents", "term", t.info.Term, "node", t.info.Node)
	p.members.Drain()
	wait := time.NewTimer(leaveWait)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}
