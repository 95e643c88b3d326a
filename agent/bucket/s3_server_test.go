//go:build s3 || buckets

package bucket_test

import (
	"errors"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

func TestConformance_Moto(t *testing.T) { conform(t, buckettest.Moto(t)) }

// conform runs the suite on buckets of a server, and what only servers can show.
func conform(t *testing.T, server *buckettest.Server) {
	fresh := func(t *testing.T) bucket.Bucket { return open(t, server.Bucket(t)) }
	buckettest.Run(t, fresh)
	t.Run("through retry", func(t *testing.T) {
		b := bucket.Retry(fresh(t), fastRetry())
		for range 2 {
			if err := b.Put(t.Context(), "k", []byte("x")); err != nil {
				t.Error(err)
			}
		}
		if err := b.Put(t.Context(), "k", []byte("y")); !errors.Is(err, bucket.ErrConflict) {
			t.Errorf("other bytes: %v", err)
		}
	})
	t.Run("cold reads", func(t *testing.T) {
		b := fresh(t)
		if err := b.Put(t.Context(), "k", []byte("0123")); err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 2)
		if n, err := b.GetInto(bucket.Cold(t.Context()), "k", 1, dst); n != 2 || err != nil || string(dst) != "12" {
			t.Errorf("%d, %v, %q", n, err, dst)
		}
	})
}

// TestUnfinished_Moto: what nobody ended is listed until it is ended, through all wrappers; what was committed stays.
func TestUnfinished_Moto(t *testing.T) { unfinished(t, buckettest.Moto(t)) }

func unfinished(t *testing.T, server *buckettest.Server) {
	counter := bucket.Count(open(t, server.Bucket(t)))
	b := bucket.Retry(counter, fastRetry())
	begin := func(key string) bucket.Upload {
		u, err := bucket.Begin(t.Context(), b, key)
		if err == nil {
			err = u.Part(t.Context(), []byte("part"))
		}
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	begin("a/1")
	begin("a/1")
	begin("b/1")
	committed := begin("a/2")
	found, err := bucket.ListUnfinished(t.Context(), b, "a/")
	if err != nil || len(found) != 3 || counter.Lists.Load() != 1 {
		t.Fatalf("%+v, %v, %d requests", found, err, counter.Lists.Load())
	}
	if err := committed.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again is no error
		for _, u := range found {
			if err := bucket.End(t.Context(), b, u); err != nil {
				t.Errorf("end %+v: %v", u, err)
			}
		}
	}
	if found, err = bucket.ListUnfinished(t.Context(), b, ""); err != nil || len(found) != 1 || found[0].Key != "b/1" {
		t.Errorf("left: %+v, %v", found, err)
	}
	if got, err := b.Get(t.Context(), "a/2", 0, -1); err != nil || string(got) != "part" {
		t.Errorf("what was committed: %q, %v", got, err)
	}
}
