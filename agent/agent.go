package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/agent/follow"
	wadihttp "github.com/wadi-io/wadi/agent/http"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// Agent is one process that speaks Kafka. It keeps nothing that can't be lost.
type Agent struct {
	cfg      Config
	settings *broker.Settings
	ready    chan struct{}
	isReady  func()
	kafka    atomic.Value // string: the address it listens on
	http     atomic.Value // string: the one for HTTP
	serving  atomic.Pointer[term]
	waiting  atomic.Pointer[error] // why it doesn't serve, while it tries to; nil: it has not failed
}

// New returns an agent; Run starts it.
func New(cfg Config) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	settings, err := broker.ParseSettings(cfg.Settings)
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, settings: settings, ready: make(chan struct{})}
	a.isReady = sync.OnceFunc(func() { close(a.ready) })
	a.kafka.Store("")
	a.http.Store("")
	return a, nil
}

// Ready is closed when the agent serves clients for the first time.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// KafkaAddr returns the address that the agent listens on, empty before it does.
func (a *Agent) KafkaAddr() string { return a.kafka.Load().(string) }

// HTTPAddr returns the address that the agent serves HTTP on, empty before it does and without HTTP.
func (a *Agent) HTTPAddr() string { return a.http.Load().(string) }

// Run opens bucket and metastore, waiting for them if need be, and serves clients, term
// after term, until ctx ends; then it drains: requests in flight are answered within
// DrainMax. An error says why it could not start or go on.
func (a *Agent) Run(ctx context.Context) error {
	p, err := openProcess(ctx, a.cfg)
	if err != nil {
		return err
	}
	defer p.close()
	a.kafka.Store(p.door.Addr().String())
	// What serves the terms outlives ctx, so that they can drain.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, background := errgroup.WithContext(background)
	group.Go(func() error { return p.door.run(background) })
	if p.peerDoor != nil {
		group.Go(func() error { return p.peerDoor.run(background) })
	}
	if p.http != nil {
		a.http.Store(p.http.Addr().String())
		server, err := wadihttp.New(p.httpConfig, p.registry, a.readiness)
		if err != nil {
			stop()
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return server.Run(background, p.http) })
	}
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(background, cancel)()
	if err = a.enter(serving, p); err == nil {
		p.metrics.Watch(a.sources(p))
		group.Go(func() error { return p.follower.Run(background) })
		group.Go(func() error { return p.members.Run(background) })
		if a.cfg.LimitMemory {
			group.Go(func() error { return a.limitMemory(background, p) })
		}
		err = a.terms(serving, p)
	} else if serving.Err() != nil {
		err = nil // told to stop before it began, or stopped by what ended background
	}
	stop()
	return errors.Join(err, group.Wait())
}

// termPauseMax bounds the pause before another term is begun after one failed.
const termPauseMax = 5 * time.Second

// terms serves one term after the other. A term that ends by itself, because its
// lease was lost or an outcome stayed unknown, is followed by a new one.
func (a *Agent) terms(ctx context.Context, p *process) error {
	pause := 50 * time.Millisecond
	trouble := metastore.Trouble{Log: a.cfg.Log, Level: slog.LevelWarn, Begun: "no term can be begun; trying again", Over: "a term can be begun again"}
	for ctx.Err() == nil {
		began := time.Now()
		served := false
		err := a.serveTerm(ctx, p, func() {
			served = true
			trouble.End()
		})
		if err == nil || ctx.Err() != nil || errors.Is(err, errOlder) {
			return err
		}
		if stopped := p.follower.Replica(metastore.CatalogJournal).Err(); stopped != nil {
			return fmt.Errorf("the catalog can't be followed: %w", stopped)
		}
		if time.Since(began) > termPauseMax {
			pause = 50 * time.Millisecond
		}
		a.waiting.Store(&err)
		if !served {
			trouble.Meet(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, termPauseMax)
	}
	return nil
}

// readiness says why the agent can't serve, nil when it can.
func (a *Agent) readiness() error {
	t := a.serving.Load()
	if t == nil {
		if err := a.waiting.Load(); err != nil {
			return *err
		}
		return errors.New("no term has begun")
	}
	for _, r := range t.process.follower.Replicas() {
		if err := r.Err(); err != nil {
			return err
		}
	}
	return t.process.stale(a.cfg.StaleMax)
}

// stale says which of the journals this agent could not follow for longer than max, nil
// if there is none. Such an agent must not be named to clients. One that has stopped says
// nothing of the agent.
func (p *process) stale(max time.Duration) error {
	now := time.Now()
	for _, r := range p.follower.Replicas() {
		if r.Err() != nil {
			continue
		}
		if age := now.Sub(r.FreshAt()); age > max {
			return fmt.Errorf("%v was confirmed fresh %v ago", r.ID(), age.Round(time.Second))
		}
	}
	return nil
}

func processName() string { return rand.Text() }

// sources are what the metrics of a process are read from; a term's are nil between terms.
func (a *Agent) sources(p *process) metrics.Sources {
	return metrics.Sources{
		Server: func() *wire.Stats {
			if t := a.serving.Load(); t != nil {
				stats := t.server.Stats()
				return &stats
			}
			return nil
		},
		Ingest: func() *ingest.Stats {
			if t := a.serving.Load(); t != nil {
				return &t.ingest.Stats
			}
			return nil
		},
		AppendsRepeated: func() *int64 {
			if t := a.serving.Load(); t != nil {
				n := t.writer.Repeated.Load()
				return &n
			}
			return nil
		},
		Fetch:       p.fetcher.Stats,
		Cache:       p.blocks.Cache().Stats,
		CacheDisk:   p.diskStats(),
		BuffersIdle: p.buffers.IdleBytes,
		Statements:  p.store.Statements,
		Replicas:    p.follower.Replicas,
		Pushed:      p.follower.PushStats,
		Peers: func() *follow.Stats {
			if t := a.serving.Load(); t != nil && t.mesh != nil {
				stats := t.mesh.Stats()
				return &stats
			}
			return nil
		},
		Compaction: func() *metrics.Compaction {
			if t := a.serving.Load(); t != nil {
				if counts := t.compaction.Load(); counts != nil {
					v := (*counts)()
					return &v
				}
			}
			return nil
		},
		Agents: func() metrics.Agents {
			v := p.members.View()
			return metrics.Agents{Live: len(v.Live()), Named: len(v.Named()), Level: p.level(), Served: len(v.Served())}
		},
		Shards: p.counts,
		Transactions: func() *transaction.Stats {
			if t := a.serving.Load(); t != nil {
				stats := t.ids.Stats()
				return &stats
			}
			return nil
		},
		Clock: time.Now,
	}
}

// counts says how much the replicas of all shards hold.
func (p *process) counts() (all shard.Counts) {
	for i := range p.store.Cluster().Shards {
		metastore.View(p.follower.Replica(metastore.ShardJournal(i)), func(s *shard.State) {
			n := s.Counts()
			all.Partitions += n.Partitions
			all.Extents += n.Extents
			all.Producers += n.Producers
			all.Open += n.Open
			all.Aborted += n.Aborted
			all.UnstableMax = max(all.UnstableMax, n.UnstableMax)
		})
	}
	return all
}
