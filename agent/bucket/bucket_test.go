package bucket_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

// open opens a bucket that the test closes.
func open(t *testing.T, url string) bucket.Bucket {
	t.Helper()
	b, closer, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func openMem(t *testing.T) bucket.Bucket { return open(t, "mem://") }

func fastRetry() bucket.RetryConfig {
	cfg := bucket.DefaultRetryConfig()
	cfg.First, cfg.Max, cfg.Elapsed = time.Microsecond, time.Millisecond, 5*time.Second
	return cfg
}

func TestConformance(t *testing.T) {
	everyOther := func(fault bucket.Fault) func(bucket.Call) bucket.Fault {
		return func(c bucket.Call) bucket.Fault {
			if c.N%2 == 1 {
				return fault
			}
			return bucket.Fault{}
		}
	}
	for _, c := range []struct {
		name string
		open func(t *testing.T) bucket.Bucket
	}{
		{"file", func(t *testing.T) bucket.Bucket { return open(t, "file://"+t.TempDir()+"/made/by/open") }},
		{"mem", openMem},
		{"observe", func(t *testing.T) bucket.Bucket { return bucket.Observe(openMem(t), func(bucket.Request) {}) }},
		{"count", func(t *testing.T) bucket.Bucket { return bucket.Count(openMem(t)) }},
		{"retry", func(t *testing.T) bucket.Bucket { return bucket.Retry(openMem(t), fastRetry()) }},
		{"retry, every other request refused", func(t *testing.T) bucket.Bucket {
			return bucket.Retry(bucket.Faults(openMem(t), everyOther(bucket.Fault{Refused: true})), fastRetry())
		}},
		{"retry, every other answer lost", func(t *testing.T) bucket.Bucket {
			return bucket.Retry(bucket.Faults(openMem(t), everyOther(bucket.Fault{Lost: true})), fastRetry())
		}},
		{"retry, every request done twice", func(t *testing.T) bucket.Bucket {
			twice := func(bucket.Call) bucket.Fault { return bucket.Fault{Twice: true} }
			return bucket.Retry(bucket.Faults(openMem(t), twice), fastRetry())
		}},
	} {
		t.Run(c.name, func(t *testing.T) { buckettest.Run(t, c.open) })
	}
}

func TestOpen_Refuses(t *testing.T) {
	for url, words := range map[string]string{
		"":                     "must begin with one of azblob://, file://, gs://, mem://, s3://",
		"s4://bucket":          "must begin with one of",
		"file://relative/path": "an/absolute/folder",
		"file:relative":        "an/absolute/folder",
		"file:///a?b=c":        "an/absolute/folder",
		"mem://name":           "takes nothing after it",
		"://":                  "bucket URL",
	} {
		if _, _, err := bucket.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("open %q: %v; want words %q", url, err, words)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := bucket.Open(ctx, "file://"+t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
}

func TestOutcome(t *testing.T) {
	for want, err := range map[string]error{
		"ok": nil, "exists": bucket.ErrConflict, "not_found": bucket.ErrNotFound, "full": bucket.ErrFull,
		"denied": bucket.ErrDenied, "slow_down": &bucket.SlowDownError{Err: bucket.ErrSlowDown}, "cancelled": context.Canceled, "timeout": context.DeadlineExceeded,
		"error": bucket.ErrInjected,
	} {
		if got := bucket.Outcome(err); got != want {
			t.Errorf("outcome of %v is %s; want %s", err, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	c := bucket.Count(openMem(t))
	ctx := t.Context()
	c.Put(ctx, "k", []byte("12345"))
	c.Put(ctx, "k", []byte("12345"))
	c.Get(ctx, "k", 1, -1)
	c.GetInto(ctx, "k", 0, make([]byte, 2))
	c.Get(ctx, "other", 0, -1)
	c.List(ctx, "", "", 0)
	c.Delete(ctx, "k")
	got := [...]int64{c.Puts.Load(), c.Gets.Load(), c.Deletes.Load(), c.Lists.Load(), c.Errors.Load(), c.PutBytes.Load(), c.GetBytes.Load()}
	if want := [...]int64{2, 3, 1, 1, 2, 5, 6}; got != want {
		t.Errorf("counts %v; want %v", got, want)
	}
}
