package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
)

// errOlder ends an agent that can't read what the others write.
var errOlder = errors.New("this release is older than the cluster's feature level allows")

// levelEvery is how often an agent looks whether the level can rise, where the other
// agents don't change.
const levelEvery = time.Second

// level is the cluster's feature level, as this process knows it: what it writes goes no further.
func (p *process) level() int32 {
	return catalog.Level(p.follower.Replica(metastore.CatalogJournal))
}

// checkLevel says why this process may not be an agent of the cluster, nil if it may.
func (p *process) checkLevel() error {
	if level := p.level(); level > p.reads {
		return fmt.Errorf("%w: it reads entries up to level %d, and the cluster is at %d; run a newer release, since a level never falls",
			errOlder, p.reads, level)
	}
	return nil
}

// joinLevel checks the level as it is after the term has begun: whoever raises it later
// sees this term among the live ones.
func (p *process) joinLevel(ctx context.Context) error {
	if err := p.follower.Refresh(ctx, metastore.CatalogJournal); err != nil {
		return fmt.Errorf("read the cluster's feature level: %w", err)
	}
	return p.checkLevel()
}

// raiseLevels raises the cluster's level whenever all live agents read a newer one, until ctx ends.
func (a *Agent) raiseLevels(ctx context.Context, t *term) error {
	tick := time.NewTicker(levelEvery)
	defer tick.Stop()
	for told := false; ; {
		changed := t.process.members.Changed()
		err := a.raiseLevel(ctx, t)
		switch {
		case errors.Is(err, errOlder), errors.Is(err, metastore.ErrTermEnded), errors.Is(err, metastore.ErrUnknown):
			return err
		case err != nil && ctx.Err() == nil && !told:
			a.cfg.Log.Log(ctx, metastore.TroubleLevel(err), "the feature level could not be raised", "err", err)
		}
		told = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-changed:
		}
	}
}

// raiseLevel raises the cluster's level if it can and it is this agent's turn. Dies after
// the append: done.
func (a *Agent) raiseLevel(ctx context.Context, t *term) error {
	p := t.process
	if err := p.checkLevel(); err != nil {
		return err
	}
	view := p.members.View()
	if min(view.Level(), p.reads) <= p.level() || view.Turn(metastore.CatalogJournal) > 0 {
		return nil
	}
	var at metastore.Version
	level := metastore.LevelFirst
	metastore.ViewAt(p.follower.Replica(metastore.CatalogJournal), func(s *catalog.State, v metastore.Version) { at, level = v, s.Level() })
	// The view may be old, or blind. A term that begins after this read finds the new
	// level in the catalog, or sees it come.
	infos, err := p.store.Terms(ctx)
	if err != nil {
		return fmt.Errorf("list the terms: %w", err)
	}
	next := p.reads
	for _, info := range infos {
		if !info.Ended && info.LeaseLeft > 0 {
			next = min(next, info.Agent.Level)
		}
	}
	if next <= level {
		return nil
	}
	_, err = t.writer.Append(ctx, []metastore.Draft{{Journal: metastore.CatalogJournal, Strict: true, Expect: at, Effects: catalog.AppendFeatureLevel(nil, next)}})
	var lost *metastore.StrictLostError
	switch {
	case errors.As(err, &lost):
		return nil // Somebody wrote to the catalog, perhaps this. Look again.
	case err != nil:
		return fmt.Errorf("append to the catalog: %w", err)
	}
	if at > 0 { // Else the cluster is new: this is the level that it begins with.
		a.cfg.Log.Info("the feature level is raised: all live agents read its entries, and older releases can't join any more",
			"from", level, "to", next)
	}
	return nil
}
