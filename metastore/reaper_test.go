package metastore_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// TestReaper_PrunesTermsThatEndedLongAgo: a week later, also where not all journals are followed.
func TestReaper_PrunesTermsThatEndedLongAgo(t *testing.T) {
	for _, all := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			cluster := metastore.Cluster{ID: "test", Shards: 2, Groups: 1, Transactions: 1}
			store := metastore.NewCounting(memory.New(time.Now, cluster))
			info, err := store.BeginTerm(t.Context(), metastore.AgentInfo{}, 1000*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			b := &agent{term: info.Term, follower: metastore.NewFollower(store, nil, metastore.DefaultFollowerConfig())}
			for _, j := range cluster.Journals() {
				if all || j != metastore.TransactionsJournal(0) {
					b.follower.Follow(j, &tally{})
				}
			}
			if err := b.follower.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.writer = metastore.NewWriter(info.Term, store, b.follower, time.Now)
			b.run(t, t.Context())
			for range 5 { // terms 2 to 6
				info, err := store.BeginTerm(t.Context(), metastore.AgentInfo{}, 1000*time.Hour)
				if err == nil && info.Term < 6 {
					_, err = store.EndTerm(t.Context(), info.Term, true)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			r := metastore.NewReaper(store, b.follower, b.writer, time.Second, metastore.DefaultFollowerConfig().Log)
			reap := func(want ...metastore.Term) {
				t.Helper()
				if err := b.follower.Refresh(t.Context(), journals...); err != nil {
					t.Fatal(err)
				}
				if err := r.Reap(t.Context()); err != nil {
					t.Fatal(err)
				}
				infos, err := store.Terms(t.Context(), 1, 2, 3, 4, 5, 6)
				if err != nil {
					t.Fatal(err)
				}
				var got []metastore.Term
				for _, info := range infos {
					got = append(got, info.Term)
				}
				if !slices.Equal(got, want) {
					t.Errorf("all %v: rows of the terms %v, want %v", all, got, want)
				}
			}
			reap(1, 2, 3, 4, 5, 6)
			time.Sleep(6 * 24 * time.Hour)
			reap(1, 2, 3, 4, 5, 6) // too early
			time.Sleep(2 * 24 * time.Hour)
			if _, err := store.EndTerm(t.Context(), 6, true); err != nil {
				t.Fatal(err)
			}
			reap(1, 6)
			before := store.Statements()
			time.Sleep(time.Minute)
			reap(1, 6)
			if n := store.Statements().Since(before).PruneTerms; n != 0 {
				t.Errorf("%d tries within the hour", n)
			}
		})
	}
}
