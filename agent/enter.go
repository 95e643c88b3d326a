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
)

// enter opens what the process shares with others, metastore and bucket, and reads where
// the cluster is. An agent may be started before they are: while either can't be reached
// it tries again, until ctx ends. What somebody has to put right is an error at once.
func (a *Agent) enter(ctx context.Context, p *process) error {
	trouble := metastore.Trouble{Log: a.cfg.Log, Level: slog.LevelWarn,
		Begun: "metastore or bucket can't be reached; trying again", Over: "metastore and bucket are reached"}
	for pause := enterPause; ; pause = min(2*pause, enterPauseMax) {
		err := p.enter(ctx, a.cfg, a.settings)
		if err == nil {
			trouble.End()
			a.waiting.Store(nil)
			return nil
		}
		if ctx.Err() != nil || !passes(err) {
			return err
		}
		a.waiting.Store(&err)
		trouble.Meet(err)
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
	// A time-out of a part of it: enter's own context has none.
	return errors.Is(err, metastore.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded)
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
	if err := claimBucket(ctx, p.briefly(), store); err != nil {
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
