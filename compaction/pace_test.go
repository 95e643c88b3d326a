package compaction

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A job that computes pauses for its share of a processor, and no sooner than after a slice; time that it waited for
// something else counts for little.
func TestPace_Pauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0, 0.25, nil)
		took := func(worked time.Duration) time.Duration {
			time.Sleep(worked)
			began := time.Now()
			if err := p.pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		took(time.Minute)
		for _, row := range []struct{ worked, pause time.Duration }{
			{100 * time.Microsecond, 0}, {sliceMin - 100*time.Microsecond, 3 * sliceMin}, {2 * time.Millisecond, 6 * time.Millisecond},
			{sliceMax, 3 * sliceMax}, {time.Second, 3 * sliceMax},
		} {
			if got := took(row.worked); got != row.pause {
				t.Errorf("after %v: %v, want %v", row.worked, got, row.pause)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Second)
		if p.pause(ctx) == nil {
			t.Error("goes on after its end")
		}
		p.share = 1
		if got := took(time.Second); got != 0 {
			t.Errorf("one that has a processor of its own pauses for %v", got)
		}
	})
}
