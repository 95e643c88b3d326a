package group

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: an idle coordinator appends at once, a busy one as often as it may.
func TestPace(t *testing.T) {
	p, now := pace{every: 20 * time.Millisecond, burst: 50}, time.Unix(1000, 0)
	for i := range 50 {
		if d := p.wait(now); d != 0 {
			t.Fatalf("append %d of a burst waits %v", i, d)
		}
	}
	for i := range 100 {
		d := p.wait(now)
		if d != 20*time.Millisecond {
			t.Fatalf("append %d after a burst waits %v", i, d)
		}
		now = now.Add(d)
	}
	now = now.Add(100 * time.Millisecond)
	for i := range 5 {
		if d := p.wait(now); d != 0 {
			t.Fatalf("append %d waits %v though five were spared", i, d)
		}
	}
	if d := p.wait(now); d != 20*time.Millisecond {
		t.Errorf("the sixth waits %v", d)
	}
}

// TestCommit_OneAfterTheOther: a client that commits, and commits again once it has been
// answered, waits for appends alone.
func TestCommit_OneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newCluster(t).start(nil).client("")
		settle(t, one)
		time.Sleep(time.Second)
		began := time.Now()
		for i := range int64(40) {
			if err := one.commit(i); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("40 commits took %v, with a metastore that takes no time", took)
		}
	})
}
