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
