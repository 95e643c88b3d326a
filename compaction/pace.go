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
	share          float64   // of a processor
	since          time.Time // when the last pause ended
}

func newPace(bytesPerSecond int64, share float64, busy func() bool) *pace {
	return &pace{bytesPerSecond: bytesPerSecond, share: share, busy: busy}
}

// A job that computes does so for a millisecond or a few, between pauses, so that whoever serves a client waits for no
// more than that where processors are few. What took longer than sliceMax was mostly waiting, for the bucket or a processor.
const (
	sliceMin = time.Millisecond
	sliceMax = 10 * time.Millisecond
)

// pause is called between two small pieces of work. Once they have taken sliceMin it sleeps as long as the share asks for.
func (p *pace) pause(ctx context.Context) error {
	worked := min(time.Since(p.since), sliceMax)
	if p.share >= 1 || worked < sliceMin {
		return ctx.Err()
	}
	err := sleep(ctx, time.Duration(float64(worked)*(1/p.share-1)))
	p.since = time.Now()
	return err
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
