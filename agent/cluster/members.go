package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Config bounds a Members.
type Config struct {
	Every       time.Duration // from one look at the terms to the next
	ReadTimeout time.Duration // of one look
	TestTimeout time.Duration // of one connection test
	SilencesMax int           // connection tests in a row that may time out before an agent counts as out of reach
	TestsMax    int           // at once
	Log         *slog.Logger
}

// DefaultConfig looks and tests each second.
func DefaultConfig() Config {
	return Config{Every: time.Second, ReadTimeout: 5 * time.Second, TestTimeout: 800 * time.Millisecond, SilencesMax: 2, TestsMax: 32, Log: slog.Default()}
}

// Terms is what a Members reads.
type Terms interface {
	Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error)
}

// Deps are what a Members stands on.
type Deps struct {
	Terms Terms // nil: there are no other agents, and never will be
	// Reachable tells whether a stream to an agent works, if there is one to tell
	// by; nil, or not known: a connection test tells.
	Reachable func(agent metastore.TermInfo) (reachable, known bool)
	// Fit tells whether this agent's own replicas are fresh enough to serve clients;
	// nil: they are. One that isn't names the others only.
	Fit func() bool
	// Dial makes the connections of the tests; nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Members knows the agents of the cluster, as seen from one process. It outlives its terms.
type Members struct {
	cfg     Config
	deps    Deps
	shards  int
	view    atomic.Pointer[View]
	fit     atomic.Bool   // as the last look found it
	looking chan struct{} // holds a token while nobody looks
	kick    chan struct{}
	reach   *reach // owned by who looks
	mu      struct {
		sync.Mutex
		self    *metastore.TermInfo // nil: no term has begun
		known   []metastore.TermInfo
		changed chan struct{} // closed when the view changes
	}
}

// New returns a Members that knows nobody yet.
func New(cfg Config, shards int, deps Deps) *Members {
	if deps.Dial == nil {
		deps.Dial = (&net.Dialer{}).DialContext
	}
	m := &Members{cfg: cfg, deps: deps, shards: shards, looking: make(chan struct{}, 1), kick: make(chan struct{}, 1), reach: newReach(cfg, deps)}
	m.looking <- struct{}{}
	m.mu.changed = make(chan struct{})
	m.fit.Store(true)
	m.view.Store(NewView(0, shards, nil))
	return m
}

// View returns what is known now.
func (m *Members) View() *View { return m.view.Load() }

// Changed returns a channel that is closed when there is another view than at the call.
func (m *Members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.changed
}

// Begin says that a term of this process has begun. From now on it is among the agents,
// whatever the metastore is read to say, until End.
func (m *Members) Begin(ctx context.Context, self metastore.TermInfo) {
	m.mu.Lock()
	m.mu.self = &self
	m.mu.Unlock()
	if err := m.Look(ctx); err != nil && ctx.Err() == nil {
		m.cfg.Log.Log(ctx, metastore.TroubleLevel(err), "the other agents can't be looked for", "err", err)
	}
}

// LookSoon has Run look before its time: an agent has come that isn't known.
func (m *Members) LookSoon() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Drain says that this process's term is about to end: others are named instead of it.
func (m *Members) Drain() {
	m.mu.Lock()
	if m.mu.self != nil {
		self := *m.mu.self
		self.Draining = true
		m.mu.self = &self
	}
	m.mu.Unlock()
	m.remake(nil)
}

// End says that this process has no term any more.
func (m *Members) End() {
	m.mu.Lock()
	m.mu.self = nil
	m.mu.Unlock()
	m.remake(nil)
}

// Run looks again and again until ctx ends.
func (m *Members) Run(ctx context.Context) error {
	if m.deps.Terms == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(m.cfg.Every)
	defer tick.Stop()
	trouble := metastore.Trouble{Log: m.cfg.Log, Level: slog.LevelWarn, Begun: "the other agents can't be looked for", Over: "the other agents are known again"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.kick:
		}
		err := m.Look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err == nil:
			trouble.End()
		case !errors.Is(err, metastore.ErrUnreachable): // that is told by who follows the metastore
			trouble.Meet(err)
		}
	}
}

// Look reads the terms, tests who can be reached, and makes the view of it. While the
// metastore can't be read, those known last are tested all the same.
func (m *Members) Look(ctx context.Context) error {
	select {
	case <-m.looking:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { m.looking <- struct{}{} }()
	var infos []metastore.TermInfo
	var err error
	if m.deps.Terms != nil {
		readCtx, cancel := context.WithTimeout(ctx, m.cfg.ReadTimeout)
		infos, err = m.deps.Terms.Terms(readCtx)
		cancel()
	}
	m.mu.Lock()
	if err != nil {
		infos = m.mu.known
	} else {
		m.mu.known = infos
	}
	self := m.mu.self
	m.mu.Unlock()
	live := make([]metastore.TermInfo, 0, len(infos))
	for _, info := range infos {
		if !info.Ended && info.LeaseLeft > 0 && (self == nil || info.Term != self.Term) {
			live = append(live, info)
		}
	}
	m.reach.test(ctx, live)
	if m.deps.Fit != nil {
		if fit := m.deps.Fit(); m.fit.Swap(fit) != fit && self != nil {
			m.tellFit(fit)
		}
	}
	if ctx.Err() == nil {
		m.remake(live)
	}
	if err != nil {
		return fmt.Errorf("list the terms: %w", err)
	}
	return nil
}

// remake makes the view anew; others nil: of the agents that it has.
func (m *Members) remake(others []metastore.TermInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.view.Load()
	var agents []Agent
	node := int32(0)
	if self := m.mu.self; self != nil {
		node = self.Node
		agents = append(agents, agentOf(*self, m.fit.Load()))
	}
	if others == nil {
		for _, a := range old.live {
			if a.Node != old.self && a.Node != node {
				agents = append(agents, *a)
			}
		}
	}
	for _, info := range others {
		if info.Node != node { // else it was this process's own node before
			agents = append(agents, agentOf(info, m.reach.reachable(info.Term)))
		}
	}
	view := NewView(node, m.shards, agents)
	if view.same(old) {
		return
	}
	m.view.Store(view)
	close(m.mu.changed)
	m.mu.changed = make(chan struct{})
	m.tell(old, view)
}

func agentOf(info metastore.TermInfo, reachable bool) Agent {
	return Agent{AgentInfo: info.Agent, Term: info.Term, Node: info.Node, Seat: info.Seat, Draining: info.Draining, Reachable: reachable}
}

func (m *Members) tellFit(fit bool) {
	if fit {
		m.cfg.Log.Info("what this agent knows is fresh again: it is named to clients")
		return
	}
	m.cfg.Log.Warn("what this agent knows is too old: it names others to clients, not itself")
}

// tell logs what has become of the other agents.
func (m *Members) tell(old, now *View) {
	was := map[metastore.Term]*Agent{}
	for _, a := range old.live {
		was[a.Term] = a
	}
	for _, a := range now.live {
		before := was[a.Term]
		delete(was, a.Term)
		if a.Node == now.self {
			continue
		}
		log := m.cfg.Log.With("node", a.Node, "term", a.Term, "zone", a.Zone, "seat", a.Seat, "kafka", a.address())
		switch {
		case before == nil:
			log.Info("another agent is there", "reachable", a.Reachable)
		case a.Reachable && !before.Reachable:
			log.Info("another agent can be reached again")
		case !a.Reachable && before.Reachable:
			log.Warn("another agent can't be reached: clients aren't sent to it", "err", m.reach.why(a.Term))
		case a.Draining && !before.Draining:
			log.Info("another agent is about to leave")
		}
	}
	for _, a := range was {
		if a.Node != old.self {
			m.cfg.Log.Info("another agent is gone", "node", a.Node, "term", a.Term, "zone", a.Zone)
		}
	}
}
