package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// fault is what happens to one call of Append.
type fault int

const (
	fine    fault = iota
	refused       // nothing happened, an error came back
	lost          // it was done, an error came back
	late          // an error came back, and it is done before the next call's answer, after its own append
	twice         // it was done twice
)

// faulty is a store whose appends go wrong as the script says.
type faulty struct {
	metastore.Store
	mu     sync.Mutex
	script []fault
	late   func()
}

var errNetwork = errors.New("connection reset")

func (f *faulty) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what := fine
	if len(f.script) > 0 {
		what, f.script = f.script[0], f.script[1:]
	}
	switch what {
	case refused:
		return nil, errNetwork
	case late:
		f.late = func() { f.Store.Append(ctx, term, parts) }
		return nil, errNetwork
	}
	versions, err := f.Store.Append(ctx, term, parts)
	if f.late != nil {
		f.late()
		f.late = nil
	}
	if what == twice && err == nil {
		f.Store.Append(ctx, term, parts)
	}
	if what == lost {
		return nil, errNetwork
	}
	return versions, err
}

// agent is a term with its writer and replicas of two shards' journals.
type agent struct {
	follower *metastore.Follower
	writer   *metastore.Writer
	term     metastore.Term
	tallies  []*tally
}

var journals = []metastore.JournalID{metastore.ShardJournal(0), metastore.ShardJournal(1)}

func newStore(t *testing.T) metastore.Store {
	t.Helper()
	return memory.New(time.Now, metastore.Cluster{ID: "test", Shards: 2, Groups: 1, Transactions: 1})
}

func newAgent(t *testing.T, ctx context.Context, store metastore.Store) *agent {
	t.Helper()
	return newAgentOn(t, ctx, store, nil)
}

// newAgentOn is newAgent with a bucket, for the tests that have snapshots.
func newAgentOn(t *testing.T, ctx context.Context, store metastore.Store, bucket metastore.Objects) *agent {
	t.Helper()
	info, err := store.BeginTerm(ctx, metastore.AgentInfo{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{term: info.Term, follower: metastore.NewFollower(store, bucket, metastore.DefaultFollowerConfig())}
	for _, j := range journals {
		m := &tally{}
		a.tallies = append(a.tallies, m)
		a.follower.Follow(j, m)
	}
	if err := a.follower.Load(ctx); err != nil {
		t.Fatal(err)
	}
	a.writer = metastore.NewWriter(info.Term, store, a.follower, time.Now)
	return a
}

// run keeps the follower running until the test's bubble ends.
func (a *agent) run(t *testing.T, ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.follower.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func draft(journal int, s string) metastore.Draft {
	return metastore.Draft{Journal: journals[journal], Effects: say(s)}
}

func TestWriter_Faults(t *testing.T) {
	for _, row := range []struct {
		name   string
		script []fault
	}{
		{"fine", nil},
		{"refused", []fault{refused, refused}},
		{"reply lost", []fault{lost}},
		{"reply lost twice", []fault{lost, lost}},
		{"lands after its repeat", []fault{late, fine}},
		{"done twice", []fault{twice, twice, twice}},
		{"refused, then lost, then twice", []fault{refused, lost, twice}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				a := newAgent(t, t.Context(), &faulty{Store: store, script: row.script})
				b := newAgent(t, t.Context(), store)
				a.run(t, t.Context())
				b.run(t, t.Context())
				for i := range 4 {
					landed, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, fmt.Sprint("a", i)), draft(1, fmt.Sprint("a", i))})
					if err != nil {
						t.Fatal(err)
					}
					if n := landed.Parts[0].Outcomes[0].(int); n != 2*i+1 {
						t.Errorf("append %d came to %d, want %d", i, n, 2*i+1)
					}
					if _, err := b.writer.Append(t.Context(), []metastore.Draft{draft(0, fmt.Sprint("b", i))}); err != nil {
						t.Fatal(err)
					}
				}
				for _, x := range []*agent{a, b} {
					if err := x.follower.Refresh(t.Context(), journals...); err != nil {
						t.Fatal(err)
					}
					if got := fmt.Sprint(x.tallies[0].said); got != "[a0 b0 a1 b1 a2 b2 a3 b3]" {
						t.Errorf("shard 0 is %s", got)
					}
					if got := fmt.Sprint(x.tallies[1].said); got != "[a0 a1 a2 a3]" {
						t.Errorf("shard 1 is %s", got)
					}
				}
			})
		})
	}
}

func TestWriter_StrictLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		a, b := newAgent(t, t.Context(), store), newAgent(t, t.Context(), store)
		a.run(t, t.Context())
		if _, err := b.writer.Append(t.Context(), []metastore.Draft{draft(0, "b")}); err != nil {
			t.Fatal(err)
		}
		strict := draft(0, "a")
		strict.Strict = true
		var lost *metastore.StrictLostError
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{strict, draft(1, "a")}); !errors.As(err, &lost) || lost.Head != 1 {
			t.Fatalf("err = %v, want a strict loss at head 1", err)
		}
		if v := a.follower.Replica(journals[0]).Version(); v != 1 {
			t.Errorf("the replica is at version %d after the loss, want 1", v)
		}
		if len(a.tallies[1].said) != 0 {
			t.Error("part of a lost append was applied")
		}
		strict.Expect = 1
		landed, err := a.writer.Append(t.Context(), []metastore.Draft{strict, draft(1, "a")})
		if err != nil {
			t.Fatal(err)
		}
		if landed.Parts[0].Number != 1 || landed.Parts[1].Number != 1 {
			t.Error("a lost append used up a number")
		}
	})
}

func TestWriter_StrictReplyLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, t.Context(), &faulty{Store: newStore(t), script: []fault{lost}})
		a.run(t, t.Context())
		d := draft(0, "a")
		d.Strict = true
		landed, err := a.writer.Append(t.Context(), []metastore.Draft{d, draft(1, "x")})
		if err != nil {
			t.Fatal(err)
		}
		if landed.Parts[0].Version != 1 || landed.Parts[1].Version != 1 || fmt.Sprint(a.tallies[0].said, a.tallies[1].said) != "[a] [x]" {
			t.Errorf("landed %+v, shards %v %v", landed.Parts, a.tallies[0].said, a.tallies[1].said)
		}
	})
}

func TestWriter_EndsWithItsTerm(t *testing.T) {
	for _, script := range [][]fault{nil, {lost}} {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t)
			f := &faulty{Store: store, script: script}
			a := newAgent(t, t.Context(), f)
			a.run(t, t.Context())
			if len(script) == 0 {
				if _, err := store.EndTerm(t.Context(), a.term, true); err != nil {
					t.Fatal(err)
				}
			} else {
				f.Store = endAfter{store, a.term}
			}
			if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, "a")}); !errors.Is(err, metastore.ErrTermEnded) {
				t.Fatalf("err = %v", err)
			}
			if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(1, "a")}); !errors.Is(err, metastore.ErrTermEnded) {
				t.Errorf("a later append: err = %v", err)
			}
		})
	}
}

// endAfter ends the term after each append.
type endAfter struct {
	metastore.Store
	term metastore.Term
}

func (e endAfter) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	v, err := e.Store.Append(ctx, term, parts)
	e.EndTerm(ctx, e.term, true)
	return v, err
}

func TestWriter_TurnsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, t.Context(), newStore(t))
		a.run(t, t.Context())
		var wg sync.WaitGroup
		for i := range 20 {
			for j := range 2 {
				wg.Go(func() {
					if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(j, fmt.Sprint(i))}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Go(func() {
				if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(1, "both"), draft(0, "both")}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(a.tallies[0].said) != 40 || len(a.tallies[1].said) != 40 {
			t.Errorf("%d and %d entries, want 40 each", len(a.tallies[0].said), len(a.tallies[1].said))
		}
	})
}

// rewound is a store that lost its tail, once told.
type rewound struct {
	metastore.Store
	now bool
}

func (r *rewound) Read(ctx context.Context, ps []metastore.Position, n int) ([]metastore.Tail, error) {
	tails, err := r.Store.Read(ctx, ps, n)
	if r.now {
		tails[0].Head, tails[0].Entries = 0, nil
	}
	return tails, err
}

func TestFollower_LostTailStopsTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rewound{Store: newStore(t)}
		a := newAgent(t, t.Context(), store)
		a.run(t, t.Context())
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, "a"), draft(1, "a")}); err != nil {
			t.Fatal(err)
		}
		store.now = true
		if err := a.follower.Refresh(t.Context(), journals...); !errors.Is(err, metastore.ErrStopped) {
			t.Fatalf("err = %v, want a stop", err)
		}
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, "b")}); !errors.Is(err, metastore.ErrStopped) {
			t.Errorf("an append to the stopped journal: %v", err)
		}
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(1, "b")}); err != nil {
			t.Errorf("an append to another journal: %v", err)
		}
	})
}

// objects is a bucket of snapshots in a map.
type objects map[string][]byte

func (o objects) Put(_ context.Context, key string, body []byte) error { o[key] = body; return nil }
func (o objects) Delete(_ context.Context, key string) error           { delete(o, key); return nil }
func (o objects) Get(_ context.Context, key string, _, _ int64) ([]byte, error) {
	if body, ok := o[key]; ok {
		return body, nil
	}
	return nil, errors.New("no such object")
}

func TestSnapshotter_BoundsTheReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, bucket := newStore(t), objects{}
		a, b := newAgent(t, t.Context(), store), newAgent(t, t.Context(), store)
		a.run(t, t.Context())
		cfg := metastore.DefaultSnapshotConfig()
		cfg.EntriesMin, cfg.TrimRowsMax = 10, 3
		s := metastore.NewSnapshotter(store, bucket, a.follower, a.writer, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		for i := range 40 {
			if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(cfg.After + cfg.LookEvery)
		cancel()
		<-done
		places, err := store.Snapshots(t.Context(), journals)
		if err != nil || len(places) != 1 || len(bucket) != 1 {
			t.Fatalf("snapshots %v, objects %d, err %v", places, len(bucket), err)
		}
		tails, err := store.Read(t.Context(), []metastore.Position{{Journal: journals[0], After: places[0].Version}}, 1<<20)
		if err != nil || len(tails[0].Entries) > 2 {
			t.Errorf("%d entries after the snapshot, err %v", len(tails[0].Entries), err)
		}
		late := metastore.NewFollower(store, bucket, metastore.DefaultFollowerConfig())
		m := &tally{}
		late.Follow(journals[0], m)
		if err := late.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(m.said) != fmt.Sprint(a.tallies[0].said) {
			t.Errorf("restored %v, want %v", m.said, a.tallies[0].said)
		}
		// One that fell behind what is trimmed loads the snapshot as well.
		b.follower = metastore.NewFollower(store, bucket, metastore.DefaultFollowerConfig())
		m = &tally{}
		r := b.follower.Follow(journals[0], m)
		b.run(t, t.Context())
		if err := b.follower.Refresh(t.Context(), journals[0]); err != nil {
			t.Fatal(err)
		}
		if r.Version() != tails[0].Head {
			t.Errorf("at version %d, want %d", r.Version(), tails[0].Head)
		}
	})
}

func TestReaper_EndsExpiredTermsAndTellsTheJournals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		a, b := newAgent(t, t.Context(), store), newAgent(t, t.Context(), store)
		b.run(t, t.Context())
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, "a")}); err != nil {
			t.Fatal(err)
		}
		if err := b.follower.Refresh(t.Context(), journals...); err != nil {
			t.Fatal(err)
		}
		r := metastore.NewReaper(store, b.follower, b.writer, time.Second, metastore.DefaultFollowerConfig().Log)
		reap := func() {
			t.Helper()
			if err := r.Reap(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		reap()
		if terms := b.follower.Replica(journals[0]).Terms(); fmt.Sprint(terms) != fmt.Sprint([]metastore.Term{a.term}) {
			t.Fatalf("a live term was forgotten: %v", terms)
		}
		time.Sleep(59 * time.Minute)
		if err := store.RenewTerm(t.Context(), b.term, time.Hour, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		reap()
		if terms := b.follower.Replica(journals[0]).Terms(); fmt.Sprint(terms) != fmt.Sprint([]metastore.Term{b.term}) {
			t.Errorf("terms with a number are %v, want the reaper's own", terms)
		}
		if _, err := a.writer.Append(t.Context(), []metastore.Draft{draft(0, "late")}); !errors.Is(err, metastore.ErrTermEnded) {
			t.Errorf("the dead term's append: %v", err)
		}
	})
}
