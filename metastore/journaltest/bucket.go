package journaltest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// oneBucketForEver: of several that claim buckets at once one wins, and all hear which.
func oneBucketForEver(t *testing.T, s Subject) {
	look := func(store metastore.Store, name, want string) {
		t.Helper()
		if noted, err := store.ClaimBucket(t.Context(), name); err != nil || noted != want {
			t.Errorf("claim %q: %q, %v; want %q", name, noted, err, want)
		}
	}
	look(s.Store, "", "")
	const claims = 8
	noted := make([]string, claims)
	var claiming sync.WaitGroup
	for i, store := range []metastore.Store{s.Store, s.Other, s.Store, s.Other, s.Store, s.Other, s.Store, s.Other} {
		claiming.Go(func() {
			var err error
			if noted[i], err = store.ClaimBucket(t.Context(), fmt.Sprint("bucket ", i)); err != nil {
				t.Error(err)
			}
		})
	}
	claiming.Wait()
	for _, name := range noted {
		if name == "" || name != noted[0] {
			t.Fatalf("heard %q", noted)
		}
	}
	for _, store := range []metastore.Store{s.Store, s.Other} {
		look(store, "", noted[0])
		look(store, "another", noted[0])
	}
}
