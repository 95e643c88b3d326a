package compaction

import (
	"context"
	"time"
)

// busyPause is how long a job waits before it looks again whether ingest is busy, and
// busyWaitMax how long it does so: a cluster that is always busy must be merged as well.
const (
	busyPause   = 50 * time.Millisecond
	busyWaitMax = 2 * time.Second
)

// pace spreads bytes over time. Its user is one goroutine.
type pace struct {
	bytesPerSecond int64
	busy           func() bool
	next           time.Time // when the bytes taken so far are paid for
}

func newPace(bytesPerSecond int64, busy func() bool) *pace {
	return &pace{bytesPerSecond: bytesPerSecond, busy: busy}
}

// take waits until bytes may be moved.
func (p *pace) take(ctx context.Context, bytes int64) error {
	for waited := time.Duration(0); p.busy != nil && waited < busyWaitMax && p.busy(); waited += busyPause {
		if err := sleep(ctx, busyPause); err != nil {
			return err
		}
	}
	if p.bytesPerSecond == 0 {
		return ctx.Err()
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(bytes) / float64(p.bytesPerSecond) * float64(time.Second)))
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
