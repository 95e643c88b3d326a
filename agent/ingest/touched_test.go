package ingest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// TestIngest_FlushesOvertake: a flush whose PUT is slow holds up what comes later of its
// partitions, idempotent or not, and nothing else.
func TestIngest_FlushesOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		puts := 0
		a := w.agent(func(_ *Config, a *testAgent, _ *metastore.Store) {
			a.putTakes = func() time.Duration {
				w.mu.Lock()
				defer w.mu.Unlock()
				if puts++; puts == 2 {
					return time.Minute
				}
				return 100 * time.Millisecond
			}
		})
		began := time.Now()
		took := func(what string, least, most time.Duration) {
			t.Helper()
			if d := time.Since(began); d < least || d > most {
				t.Errorf("%s after %v", what, d)
			}
		}
		// Some time lies between all of them, so that each is a flush of its own.
		next := func(b Batch) func() Result {
			wait := a.begin(b)
			time.Sleep(400 * time.Millisecond)
			return wait
		}
		want{0, nil}.check(t, "the first", next(produced(0, 7, 0, 0, 1))())
		slow := next(produced(0, 7, 0, 1, 2))
		behind := next(produced(0, 7, 0, 3, 1))
		plain := next(produced(0, -1, 0, 0, 1))
		other := next(produced(1, 7, 0, 0, 1))
		want{0, nil}.check(t, "of another partition", other())
		want{1, nil}.check(t, "the next of it", a.send(produced(1, 7, 0, 1, 1)))
		took("another partition's", 0, 3*time.Second)
		if a.Settled() != 1 {
			t.Errorf("%d is settled while the second is on its way", a.Settled())
		}
		want{1, nil}.check(t, "the slow one", slow())
		took("the slow one", time.Minute, time.Minute+3*time.Second)
		want{3, nil}.check(t, "behind it", behind())
		want{4, nil}.check(t, "behind it, without a producer", plain())
		took("what was behind it", time.Minute, time.Minute+3*time.Second)
		synctest.Wait()
		if a.Settled() != 6 {
			t.Errorf("%d is settled", a.Settled())
		}
		if n := a.Stats.Held.Load() + a.Stats.Voids.Load() + a.Stats.Fences.Load(); n != 0 {
			t.Errorf("%d batches were held, void or fenced", n)
		}
	})
}

// TestTouched: sets of one partition each mostly don't meet, and always where it is the same.
func TestTouched(t *testing.T) {
	var sets [64]touched
	for i := range sets {
		sets[i].add(shard.PartitionID{Topic: uint64(1 + i/16), Index: int32(i % 16)})
	}
	meet := 0
	var all touched
	for i := range sets {
		for k := range i {
			if sets[i].meets(&sets[k]) {
				meet++
			}
		}
		all.join(&sets[i])
	}
	for i := range sets {
		if !sets[i].meets(&sets[i]) || !sets[i].meets(&all) || !all.meets(&sets[i]) || sets[i].meets(&touched{}) {
			t.Errorf("the set %d", i)
		}
	}
	if meet > 8 { // of 2016 pairs
		t.Errorf("%d pairs of other partitions seem to meet", meet)
	}
}
