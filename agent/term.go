package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/agent/follow"
	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire"
)

// term is what lives as long as one lease: everything that may append, and the
// connections whose requests do.
type term struct {
	process    *process
	info       metastore.TermInfo
	writer     *metastore.Writer
	ingest     *ingest.Ingest
	groups     *group.Coordinator
	ids        *transaction.Coordinator // of transactional ids
	mesh       *follow.Mesh             // nil: no streams between agents
	server     *wire.Server
	compaction atomic.Pointer[func() metrics.Compaction] // nil while none runs
}

// endTermTimeout bounds the farewell of a term: without it the lease runs out.
const endTermTimeout = 3 * time.Second

// serveTerm begins a term, says so once it serves clients, and serves them until ctx ends (then it
// drains and returns nil) or the term is lost (then it closes all connections).
func (a *Agent) serveTerm(ctx context.Context, p *process, serves func()) error {
	if p.lock != nil {
		if err := endOthers(ctx, p.store); err != nil {
			return err
		}
	}
	if err := p.checkLevel(); err != nil {
		return err
	}
	info, err := p.store.BeginTerm(ctx, metastore.AgentInfo{
		Process: p.name, Zone: a.cfg.Zone, KafkaHost: p.host, KafkaPort: p.port, Roles: a.cfg.Roles, Level: p.reads, Peer: p.peerAddress,
	}, a.cfg.Lease)
	if err != nil {
		return fmt.Errorf("begin a term: %w", err)
	}
	defer func() {
		farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTermTimeout)
		defer cancel()
		if _, err := p.store.EndTerm(farewell, info.Term, true); err != nil {
			a.cfg.Log.Warn("the term could not be ended; its lease will run out", "term", info.Term, "err", err)
		}
	}()
	if err := p.joinLevel(ctx); err != nil {
		return err
	}
	lifetime, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	tasks, lifetime := errgroup.WithContext(lifetime)
	t, err := a.newTerm(lifetime, p, info)
	if err != nil {
		return err
	}
	p.grew.Store(t.ingest)
	p.server.Store(t.server)
	p.mesh.Store(t.mesh)
	p.members.Begin(lifetime, info)
	defer p.members.End()
	a.cfg.Log.Info("a term has begun", "term", info.Term, "node", info.Node, "kafka", p.door.Addr().String())
	if t.mesh != nil {
		tasks.Go(func() error { return t.mesh.Run(lifetime) })
	}
	tasks.Go(func() error { return t.ingest.Run(lifetime) })
	tasks.Go(func() error {
		return keepLease(lifetime, p.store, &p.clock, info.Term, a.cfg.Lease, t.ingest.Settled, a.cfg.Log)
	})
	reaper := metastore.NewReaper(p.store, p.follower, t.writer, a.cfg.Lease, a.cfg.Log)
	reaper.Turn = p.turn
	if err := reaper.Reap(lifetime); err != nil {
		end(nil)
		return errors.Join(fmt.Errorf("end the terms before this one: %w", err), tasks.Wait())
	}
	if err := a.raiseLevel(lifetime, t); err != nil {
		a.cfg.Log.Log(ctx, metastore.TroubleLevel(err), "the feature level could not be raised", "err", err) // tried again
	}
	tasks.Go(func() error { return reaper.Run(lifetime) })
	tasks.Go(func() error { return a.raiseLevels(lifetime, t) })
	tasks.Go(func() error {
		cfg := a.cfg.Snapshot
		cfg.Log, cfg.Turn = a.cfg.Log, p.turn
		return metastore.NewSnapshotter(p.store, p.bucket, p.follower, t.writer, cfg).Run(lifetime)
	})
	tasks.Go(func() error { return a.expireProducers(lifetime, t) })
	tasks.Go(func() error { return a.compact(lifetime, t) })
	// After the reaper: what a term before this one could still append has landed.
	tasks.Go(func() error { return t.groups.Run(lifetime) })
	tasks.Go(func() error { return t.ids.Run(lifetime) })
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	tasks.Go(func() error {
		defer stop()
		select {
		case <-ctx.Done():
			a.leave(lifetime, t)
		case <-lifetime.Done():
		}
		return nil
	})
	// Joins wait for minutes: they don't hold up the drain.
	defer context.AfterFunc(serving, t.groups.Resign)()
	// A lost term drains nothing: its requests' outcomes are unknown.
	defer context.AfterFunc(lifetime, func() {
		// Told now: what is under way may take its time to give up.
		if why := context.Cause(lifetime); ctx.Err() == nil && !errors.Is(why, errOlder) {
			a.cfg.Log.Warn("the term has ended: clients are disconnected, another is begun", "term", info.Term, "err", why)
		}
		t.server.CloseConnections()
		stop()
	})()
	a.serving.Store(t)
	a.isReady()
	serves()
	tasks.Go(func() error {
		err := t.server.Serve(serving, p.door.leaf())
		end(err)
		return err
	})
	err = tasks.Wait()
	a.serving.Store(nil)
	if ctx.Err() != nil && (errors.Is(err, metastore.ErrUnknown) || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// endOthers ends all terms: whose folder this process has locked lives no more. So
// a restarted agent gets its node id back at once.
func endOthers(ctx context.Context, store metastore.Store) error {
	terms, err := store.Terms(ctx)
	if err != nil {
		return fmt.Errorf("list the terms: %w", err)
	}
	for _, t := range terms {
		if _, err := store.EndTerm(ctx, t.Term, true); err != nil {
			return fmt.Errorf("end term %d: %w", t.Term, err)
		}
	}
	return nil
}

// newTerm makes the parts of a term.
func (a *Agent) newTerm(lifetime context.Context, p *process, info metastore.TermInfo) (*term, error) {
	t := &term{process: p, info: info, writer: metastore.NewWriter(info.Term, p.store, p.follower, p.clock.now)}
	t.writer.Level = p.level
	cfg := a.cfg.Ingest
	cfg.Log, cfg.Clock = a.cfg.Log, time.Now
	if localBucket(a.cfg.Bucket) && cfg.PutsPerSecondMax == ingest.DefaultConfig().PutsPerSecondMax {
		cfg.PutsPerSecondMax, cfg.PutsFree = localPutsPerSecond, true
	}
	var err error
	t.ingest, err = ingest.New(cfg, ingest.Deps{
		Cluster: p.store.Cluster().ID,
		Bucket:  p.bucket,
		Cache:   p.blocks,
		Buffers: segmentBuffers{p.buffers, p.blocks.Cache()},
		Writer:  t.writer,
		Shards:  p.follower,
	})
	if err != nil {
		return nil, err
	}
	t.ingest.Stats.Observe = p.metrics.Stage
	if t.mesh, err = a.newMesh(p, info, t.writer); err != nil {
		return nil, err
	}
	if t.groups, err = a.newGroups(p, t.writer); err != nil {
		return nil, err
	}
	if t.ids, err = a.newTransactions(p, t.writer); err != nil {
		return nil, err
	}
	b, err := broker.New(broker.Config{
		ClusterID:       p.store.Cluster().ID,
		NodeID:          info.Node,
		Host:            p.host,
		Port:            p.port,
		Rack:            a.cfg.Zone,
		Shards:          p.store.Cluster().Shards,
		Groups:          p.store.Cluster().Groups,
		Transactions:    p.store.Cluster().Transactions,
		ClientZones:     a.cfg.ClientZones,
		Settings:        a.settings,
		Limits:          broker.DefaultLimits(),
		TrustCompressed: a.cfg.TrustCompressed,
	}, broker.Deps{
		Catalog:  p.follower.Replica(metastore.CatalogJournal),
		Follower: p.follower,
		Writer:   t.writer,
		Ingest:   t.ingest,
		Fetch:    p.fetcher,
		Groups:   t.groups,

		Transactions: t.ids,

		View:    p.members.View,
		Level:   p.level,
		Clock:   time.Now,
		Log:     a.cfg.Log,
		Outcome: p.metrics.Outcome,
		Trace:   a.cfg.Trace,
		Term:    lifetime,
	})
	if err != nil {
		return nil, err
	}
	t.server, err = wire.NewServer(wire.ServerConfig{Limits: a.wireLimits(), Listener: "kafka", Log: a.cfg.Log, Observer: p.metrics}, b.Routes())
	return t, err
}

// idleMax is the longest that a silent connection is kept.
const idleMax = 365 * 24 * time.Hour

// wireLimits applies the broker settings that bound connections.
func (a *Agent) wireLimits() wire.Limits {
	l := wire.DefaultLimits()
	l.FrameBytesMax = int(a.settings.Int64("socket.request.max.bytes"))
	if idle := a.settings.Int64("connections.max.idle.ms"); idle > 0 && idle < int64(idleMax/time.Millisecond) {
		l.IdleTimeout = time.Duration(idle) * time.Millisecond
	} else {
		l.IdleTimeout = idleMax // Kafka's "never"
	}
	l.ConnectionsMax = min(l.ConnectionsMax, int(a.settings.Int64("max.connections")))
	l.DrainTimeout = a.cfg.DrainMax
	return l
}
