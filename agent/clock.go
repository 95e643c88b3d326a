package agent

import (
	"context"
	"sync/atomic"
	"time"
)

// clock tells the database's time: entries carry it, and producers expire by it,
// so that an agent whose own clock is off, or jumps, does no harm.
type clock struct{ seen atomic.Pointer[seen] }

// seen is the database's time at a moment of this process's monotonic clock.
type seen struct{ database, here time.Time }

// now returns the database's time, as well as it is known.
func (c *clock) now() time.Time {
	s := c.seen.Load()
	return s.database.Add(time.Since(s.here))
}

// nower is what a clock is read from.
type nower interface {
	Now(ctx context.Context) (time.Time, error)
}

// read sets the clock; the answer is taken to be from the middle of the call.
func (c *clock) read(ctx context.Context, n nower) error {
	before := time.Now()
	database, err := n.Now(ctx)
	if err == nil {
		c.seen.Store(&seen{database: database, here: before.Add(time.Since(before) / 2)})
	}
	return err
}
