package agent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

func memBucket(t *testing.T) bucket.Bucket {
	t.Helper()
	b, closer, err := bucket.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	return bucket.Retry(b, bucket.DefaultRetryConfig())
}

func TestClaimBucket(t *testing.T) {
	newStore := func() *memory.Store { return memory.New(time.Now, metastore.DefaultCluster()) }
	one, other := newStore(), newStore()
	own, second, foreign := memBucket(t), memBucket(t), memBucket(t)
	for _, step := range []struct {
		what   string
		bucket bucket.Bucket
		store  *memory.Store
		words  string // "": it is taken
	}{
		{"a fresh one", own, one, ""},
		{"the same again", own, one, ""},
		{"a fresh one, by a cluster that has one", second, one, "keeps its records in another bucket already"},
		{"what was refused, by another cluster", second, other, ""},
		{"that cluster's", second, one, "belongs to the cluster"},
		{"a third", foreign, other, "keeps its records in another bucket already"},
	} {
		err := claimBucket(t.Context(), step.bucket, step.store)
		if step.words == "" && err != nil || step.words != "" && (err == nil || !strings.Contains(err.Error(), step.words)) {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	if _, err := foreign.Get(t.Context(), claimKey, 0, -1); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("a bucket that was refused has a marker: %v", err)
	}
	// A copy of the bucket is the bucket, one that was marked by hand is not.
	copied := memBucket(t)
	body, err := own.Get(t.Context(), claimKey, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := copied.Put(t.Context(), claimKey, body); err != nil {
		t.Fatal(err)
	}
	if err := claimBucket(t.Context(), copied, one); err != nil {
		t.Error(err)
	}
	marked := memBucket(t)
	if err := marked.Put(t.Context(), claimKey, []byte(`{"cluster":"`+one.Cluster().ID+`","format":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := claimBucket(t.Context(), marked, one); err == nil || !strings.Contains(err.Error(), "keeps its records in another bucket (") {
		t.Errorf("a marker without the bucket's name: %v", err)
	}
}

// TestClaimBucket_AtOnce: of agents that start a cluster at the same time, with different
// buckets, those of one bucket go on.
func TestClaimBucket_AtOnce(t *testing.T) {
	store := memory.New(time.Now, metastore.DefaultCluster())
	buckets := []bucket.Bucket{memBucket(t), memBucket(t), memBucket(t)}
	taken := make([]bool, 4*len(buckets))
	var claiming sync.WaitGroup
	for i := range taken {
		claiming.Go(func() { taken[i] = claimBucket(t.Context(), buckets[i%len(buckets)], store) == nil })
	}
	claiming.Wait()
	winners := map[int]int{}
	for i, ok := range taken {
		if ok {
			winners[i%len(buckets)]++
		}
	}
	for _, n := range winners {
		if len(winners) != 1 || n != len(taken)/len(buckets) {
			t.Errorf("by bucket, so many go on: %v", winners)
		}
	}
	if len(winners) == 0 {
		t.Error("none goes on")
	}
}

// interposed has something happen after the first Get.
type interposed struct {
	bucket.Bucket
	once sync.Once
	then func()
}

func (i *interposed) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	body, err := i.Bucket.Get(ctx, key, offset, length)
	i.once.Do(i.then)
	return body, err
}

// TestClaimBucket_AnotherFirst: an agent that has just found no marker sees that another one
// has claimed the bucket meanwhile.
func TestClaimBucket_AnotherFirst(t *testing.T) {
	store, b := memory.New(time.Now, metastore.DefaultCluster()), memBucket(t)
	late := &interposed{Bucket: b, then: func() {
		if err := claimBucket(t.Context(), b, store); err != nil {
			t.Error(err)
		}
	}}
	if err := claimBucket(t.Context(), late, store); err != nil {
		t.Error(err)
	}
}
