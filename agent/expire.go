package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/shard"
)

const (
	expireEvery      = 10 * time.Minute
	expireRowsMax    = 2000    // producers forgotten by one append
	expireVisitedMax = 100_000 // producers looked at under one read lock
)

// expireProducers forgets, by guarded entries, the idempotent producers that have
// been silent for producer.id.expiration.ms (GUARDS 13). It returns when ctx ends.
func (a *Agent) expireProducers(ctx context.Context, t *term) error {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	silence := time.Duration(a.settings.Int64("producer.id.expiration.ms")) * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for i := range t.process.store.Cluster().Shards {
			if t.process.turn(metastore.ShardJournal(i)) > 0 {
				continue // Another agent's work.
			}
			if err := t.expireShard(ctx, i, silence); err != nil && ctx.Err() == nil {
				a.cfg.Log.Log(ctx, metastore.TroubleLevel(err), "silent producers could not be forgotten", "shard", i, "err", err)
				break
			}
		}
		for i := range t.process.store.Cluster().Groups {
			if err := t.expireEnded(ctx, i, silence); err != nil && ctx.Err() == nil {
				a.cfg.Log.Log(ctx, metastore.TroubleLevel(err), "silent producers' transactions could not be forgotten", "groups", i, "err", err)
				break
			}
		}
	}
}

// expireShard forgets the silent producers of one shard, some at a time.
func (t *term) expireShard(ctx context.Context, i int, silence time.Duration) error {
	r := t.process.follower.Replica(metastore.ShardJournal(i))
	if r.Err() != nil {
		return nil
	}
	before := t.process.clock.now().Add(-silence).UnixMilli()
	var after shard.ExpiredAfter
	for done := false; !done; {
		var found []shard.Expired
		metastore.View(r, func(s *shard.State) {
			found, after, done = s.ExpiredProducers(after, before, expireRowsMax, expireVisitedMax)
		})
		if len(found) == 0 {
			continue
		}
		d := metastore.Draft{Journal: r.ID()}
		for _, e := range found {
			d.Effects = shard.AppendForget(d.Effects, e.Forget())
		}
		if _, err := t.writer.Append(ctx, []metastore.Draft{d}); err != nil {
			return fmt.Errorf("append to %v: %w", r.ID(), err)
		}
	}
	return nil
}

// expireEnded forgets which transactions of silent producers ended in a groups journal.
func (t *term) expireEnded(ctx context.Context, i int, silence time.Duration) error {
	if t.process.level() < metastore.LevelOf(metastore.EffectEndedForgotten) {
		return nil
	}
	r := t.process.follower.Replica(metastore.GroupsJournal(i))
	before := t.process.clock.now().Add(-silence).UnixMilli()
	for r.Err() == nil {
		var found []group.EndedProducer
		metastore.View(r, func(s *group.State) { found = s.EndedBefore(before, expireRowsMax) })
		if len(found) == 0 {
			return nil
		}
		d := metastore.Draft{Journal: r.ID(), Effects: group.AppendEndedForgotten(nil, found)}
		if _, err := t.writer.Append(ctx, []metastore.Draft{d}); err != nil {
			return fmt.Errorf("append to %v: %w", r.ID(), err)
		}
	}
	return nil
}
