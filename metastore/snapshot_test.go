package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// stubborn is a bucket of which one kind of request is refused.
type stubborn struct {
	objects
	put, delete func(key string) error
}

func (b stubborn) Put(ctx context.Context, key string, body []byte) error {
	if b.put != nil {
		if err := b.put(key); err != nil {
			return err
		}
	}
	return b.objects.Put(ctx, key, body)
}

func (b stubborn) Delete(ctx context.Context, key string) error {
	if b.delete != nil {
		return b.delete(key)
	}
	return b.objects.Delete(ctx, key)
}

// TestSnapshotter_OneJournalsTrouble: a journal whose snapshots can't be written, or whose
// old ones can't be deleted, doesn't keep the others from theirs.
func TestSnapshotter_OneJournalsTrouble(t *testing.T) {
	first := metastore.SnapshotKey(journals[0], 0)
	first = first[:len(first)-20]
	for name, bucket := range map[string]stubborn{
		"the first can't be written": {put: func(key string) error {
			if strings.HasPrefix(key, first) {
				return errors.New("too large")
			}
			return nil
		}},
		"nothing can be deleted": {delete: func(string) error { return errors.New("denied") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bucket.objects = objects{}
				store := newStore(t)
				a := newAgent(t, t.Context(), store)
				a.run(t, t.Context())
				cfg := metastore.DefaultSnapshotConfig()
				cfg.EntriesMin = 10
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					metastore.NewSnapshotter(store, bucket, a.follower, a.writer, cfg).Run(ctx)
				}()
				for i := range 60 {
					for j := range journals {
						if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(j, fmt.Sprint(i))}); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(time.Second)
				}
				cancel()
				<-done
				places, err := store.Snapshots(t.Context(), journals[1:])
				if err != nil || len(places) != 1 || places[0].Version < 40 {
					t.Errorf("of the second journal, which is beyond version 60: %+v, %v", places, err)
				}
			})
		})
	}
}
