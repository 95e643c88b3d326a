package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

type term struct {
	node, seat int32
	agent      metastore.AgentInfo
	expires    time.Time
	settled    uint64
	draining   bool
	ended      bool
	endedAt    time.Time
}

// liveLocked requires mu.
func (s *Store) liveLocked(t metastore.Term) (*term, error) {
	held := s.mu.terms[t]
	if held == nil || held.ended || !held.expires.After(s.clock()) {
		return nil, metastore.ErrTermEnded
	}
	return held, nil
}

// BeginTerm implements metastore.Store.
func (s *Store) BeginTerm(ctx context.Context, agent metastore.AgentInfo, lease time.Duration) (metastore.TermInfo, error) {
	if err := ctx.Err(); err != nil {
		return metastore.TermInfo{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes, seats := map[int32]bool{}, map[int32]bool{}
	now := s.clock()
	for _, t := range s.mu.terms {
		if t.ended {
			if now.Sub(t.endedAt) < metastore.NodeHeldFor && t.agent.KafkaHost != "" && !t.agent.SameAddress(agent) {
				nodes[t.node] = true
			}
			continue
		}
		nodes[t.node] = true
		if t.agent.Zone == agent.Zone && t.agent.Roles == agent.Roles {
			seats[t.seat] = true
		}
	}
	s.mu.lastTerm++
	begun := &term{node: lowestFree(nodes), seat: lowestFree(seats), agent: agent, expires: now.Add(lease)}
	s.mu.terms[s.mu.lastTerm] = begun
	return begun.info(s.mu.lastTerm, now), nil
}

func lowestFree(held map[int32]bool) int32 {
	free := int32(1)
	for held[free] {
		free++
	}
	return free
}

func (t *term) info(number metastore.Term, now time.Time) metastore.TermInfo {
	return metastore.TermInfo{Term: number, Node: t.node, Seat: t.seat, Agent: t.agent, LeaseLeft: t.expires.Sub(now),
		Settled: t.settled, Draining: t.draining, Ended: t.ended}
}

// RenewTerm implements metastore.Store.
func (s *Store) RenewTerm(ctx context.Context, t metastore.Term, lease time.Duration, settled uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := s.liveLocked(t)
	if err != nil {
		return err
	}
	held.expires, held.settled = s.clock().Add(lease), max(held.settled, settled)
	return nil
}

// DrainTerm implements metastore.Store.
func (s *Store) DrainTerm(ctx context.Context, t metastore.Term) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := s.liveLocked(t)
	if err != nil {
		return err
	}
	held.draining = true
	return nil
}

// EndTerm implements metastore.Store.
func (s *Store) EndTerm(ctx context.Context, t metastore.Term, force bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.mu.terms[t]
	if held == nil {
		return false, fmt.Errorf("term %d was never begun, or ended long ago", t)
	}
	if now := s.clock(); !held.ended && (force || !held.expires.After(now)) {
		held.ended, held.endedAt = true, now
	}
	return held.ended, nil
}

// Terms implements metastore.Store.
func (s *Store) Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	var infos []metastore.TermInfo
	for _, number := range slices.Sorted(maps.Keys(s.mu.terms)) {
		if t := s.mu.terms[number]; !t.ended || slices.Contains(ended, number) {
			infos = append(infos, t.info(number, now))
		}
	}
	return infos, nil
}

// PruneTerms implements metastore.Store.
func (s *Store) PruneTerms(ctx context.Context, age time.Duration, keep []metastore.Term, rowsMax int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, pruned := s.clock().Add(-age), 0
	for _, number := range slices.Sorted(maps.Keys(s.mu.terms)) {
		t := s.mu.terms[number]
		if pruned < rowsMax && t.ended && !t.endedAt.After(before) && number != s.mu.lastTerm && !slices.Contains(keep, number) {
			delete(s.mu.terms, number)
			pruned++
		}
	}
	return pruned, nil
}

// Now implements metastore.Store.
func (s *Store) Now(context.Context) (time.Time, error) { return s.clock(), nil }
