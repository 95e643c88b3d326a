package metastore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// TestSnapshotter_OneAgentsWork has two agents look after the same journal, one before
// the other: only that one makes snapshots, until it is gone.
func TestSnapshotter_OneAgentsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, bucket := newStore(t), objects{}
		a, b := newAgent(t, t.Context(), store), newAgent(t, t.Context(), store)
		a.run(t, t.Context())
		b.run(t, t.Context())
		var mu sync.Mutex
		makers := map[metastore.Term]int{}
		made := func(x *agent) int { mu.Lock(); defer mu.Unlock(); return makers[x.term] }
		looking := func(x *agent, turn int) (stop func()) {
			cfg := metastore.DefaultSnapshotConfig()
			cfg.EntriesMin = 10
			cfg.Turn = func(metastore.JournalID) int { return turn }
			x.writer.Publish = func(_ string, parts []metastore.AppendPart, _ []metastore.Version) {
				if h, effects, _ := metastore.ParseEntry(parts[0].Payload); len(parts) == 1 {
					if kind, _, _, _ := effects.Next(); kind == metastore.EffectSnapshotHash {
						mu.Lock()
						makers[h.Term]++
						mu.Unlock()
					}
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				metastore.NewSnapshotter(store, bucket, x.follower, x.writer, cfg).Run(ctx)
			}()
			return func() { cancel(); <-done }
		}
		stopA, stopB := looking(a, 0), looking(b, 1)
		for i := range 60 {
			a.append(t, fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		if made(a) < 3 || made(b) != 0 {
			t.Errorf("%d by the one whose turn it is, %d by the other", made(a), made(b))
		}
		stopA()
		for i := range 60 {
			a.append(t, fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		stopB()
		if made(b) < 1 {
			t.Error("nobody takes over")
		}
	})
}
