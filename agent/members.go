package agent

import (
	"context"
	"net"
	"sync"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/agent/follow"
	"github.com/wadi-io/wadi/metastore"
)

// newMembers makes what knows the other agents. Whoever has locked a folder for itself has none.
func newMembers(p *process, cfg Config) *cluster.Members {
	mc := cluster.DefaultConfig()
	mc.Log = cfg.Log
	deps := cluster.Deps{Terms: p.store, Reachable: (&streamed{process: p}).reachable}
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
