package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
)

const (
	// enterPause is before the second try; it doubles up to enterPauseMax.
	enterPause    = 200 * time.Millisecond
	enterPauseMax = 5 * time.Second
	// reminderEvery is between two lines about the same trouble.
	reminderEvery = time.Minute
)

// enter opens what the process shares with others, metastore and bucket, and reads where
// the cluster is. An agent may be started before they are: while either can't be reached
// it tries again, until ctx ends. What somebody has to put right is an error at once.
func (a *Agent) enter(ctx context.Context, p *process) error {
	trouble := trouble{log: a.cfg.Log, what: "metastore or bucket can't be reached; trying again"}
	for pause := enterPause; ; pause = min(2*pause, enterPauseMax) {
		err := p.enter(ctx, a.cfg, a.settings)
		if err == nil {
			trouble.over("metastore and bucket are reached")
			a.waiting.Store(nil)
			return nil
		}
		if ctx.Err() != nil || !passes(err) {
			return err
		}
		a.waiting.Store(&err)
		trouble.tell(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// passes tells whether what failed may succeed with nothing changed about this agent.
func passes(err error) bool {
	if errors.Is(err, bucket.ErrUnreachable) {
		return !errors.Is(err, bucket.ErrDenied) && !errors.Is(err, bucket.ErrFull)
	}
	return errors.Is(err, metastore.ErrUnreachable)
}

// enter tries once. It leaves nothing open if it fails.
func (p *process) enter(ctx context.Context, cfg Config, settings *broker.Settings) (err error) {
	store := cfg.Given.Store
	if store == nil {
		if store, err = openStore(ctx, cfg.Metastore); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, store.Close())
			} else {
				p.closers = append(p.closers, store)
			}
		}()
	}
	p.store = metastore.NewCounting(store)
	p.members = newMembers(p, cfg)
	if err := p.clock.read(ctx, p.store); err != nil {
		return err
	}
	if err := claimBucket(ctx, p.briefly(), store.Cluster()); err != nil {
		return err
	}
	if err := compare(ctx, store, p.bucket, cfg.Log); err != nil {
		return err
	}
	if err := p.openReplicas(ctx, cfg); err != nil {
		return err
	}
	return p.openReaders(cfg, settings)
}

// brieflyMax is how long the first request to the bucket is repeated: a mistake in its
// address or keys is to be told soon.
const brieflyMax = 3 * time.Second

// briefly is the bucket with less patience.
func (p *process) briefly() bucket.Bucket {
	cfg := bucket.DefaultRetryConfig()
	cfg.Elapsed, cfg.AttemptTimeout = brieflyMax, brieflyMax
	return bucket.Retry(p.requests, cfg)
}

// trouble tells of one that lasts: when it begins, when it changes, and now and then.
type trouble struct {
	log   *slog.Logger
	what  string
	since time.Time // zero: there is none
	told  time.Time
	last  string
}

func (t *trouble) tell(err error) {
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	if text := err.Error(); text != t.last || now.Sub(t.told) >= reminderEvery {
		t.log.Warn(t.what, "err", err, "for", now.Sub(t.since).Round(time.Second))
		t.told, t.last = now, text
	}
}

func (t *trouble) over(what string) {
	if !t.since.IsZero() {
		t.log.Info(what, "after", time.Since(t.since).Round(time.Millisecond))
		*t = trouble{log: t.log, what: t.what}
	}
}
