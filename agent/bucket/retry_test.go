package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

// TestRetry_Faults holds the fault table for each kind of request.
func TestRetry_Faults(t *testing.T) {
	body := buckettest.Body(1, 300<<10)
	requests := map[string]func(ctx context.Context, b bucket.Bucket) error{
		"put": func(ctx context.Context, b bucket.Bucket) error { return b.Put(ctx, "new", body) },
		"get": func(ctx context.Context, b bucket.Bucket) error {
			got, err := b.Get(ctx, "old", 0, -1)
			if err == nil && !bytes.Equal(got, body) {
				err = errors.New("other bytes")
			}
			return err
		},
		"get into": func(ctx context.Context, b bucket.Bucket) error {
			dst := make([]byte, len(body))
			n, err := b.GetInto(ctx, "old", 0, dst)
			if err == nil && !bytes.Equal(dst[:n], body) {
				err = errors.New("other bytes")
			}
			return err
		},
		"scatter": func(ctx context.Context, b bucket.Bucket) error {
			dsts, got := [][]byte{make([]byte, 100<<10), make([]byte, 150<<10), make([]byte, 100<<10)}, []byte(nil)
			err := bucket.Scatter(ctx, b, "old", 0, dsts, func(i, n int) { got = append(got, dsts[i][:n]...) })
			if err == nil && !bytes.Equal(got, body) {
				err = errors.New("other bytes")
			}
			return err
		},
		"delete": func(ctx context.Context, b bucket.Bucket) error { return b.Delete(ctx, "old") },
		"list": func(ctx context.Context, b bucket.Bucket) error {
			objects, err := b.List(ctx, "old", "", 0)
			if err == nil && len(objects) != 1 {
				err = errors.New("other objects")
			}
			return err
		},
	}
	faults := map[string]bucket.Fault{
		"refused":               {Refused: true},
		"failed but done":       {Lost: true},
		"slow":                  {Delay: time.Hour},
		"done twice":            {Twice: true},
		"done twice and failed": {Twice: true, Lost: true},
	}
	for op, request := range requests {
		for name, fault := range faults {
			t.Run(op+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					inner := openMem(t)
					if err := inner.Put(t.Context(), "old", body); err != nil {
						t.Fatal(err)
					}
					b := bucket.Retry(bucket.Faults(inner, func(c bucket.Call) bucket.Fault {
						if c.N <= 2 {
							return fault
						}
						return bucket.Fault{}
					}), retryFor(10*time.Minute))
					if err := request(t.Context(), b); err != nil {
						t.Fatal(err)
					}
					if op == "put" {
						if got, err := inner.Get(t.Context(), "new", 0, -1); err != nil || !bytes.Equal(got, body) {
							t.Errorf("stored: %d bytes, %v", len(got), err)
						}
					}
				})
			})
		}
	}
}

func retryFor(elapsed time.Duration) bucket.RetryConfig {
	cfg := bucket.DefaultRetryConfig()
	cfg.Elapsed = elapsed
	return cfg
}

func TestRetry_GivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := bucket.Count(bucket.Faults(openMem(t), func(bucket.Call) bucket.Fault { return bucket.Fault{Refused: true} }))
		cfg := retryFor(time.Minute)
		cfg.First, cfg.Max = time.Second, 16*time.Second
		cfg.Jitter = func(pause time.Duration) time.Duration { return pause }
		begin := time.Now()
		err := bucket.Retry(counted, cfg).Put(t.Context(), "k", nil)
		if !errors.Is(err, bucket.ErrInjected) || !errors.Is(err, bucket.ErrUnreachable) || !strings.Contains(err.Error(), "(tried 7 times)") {
			t.Errorf("put: %v", err)
		}
		// After pauses of 1, 2, 4, 8, 16 and 16 seconds the next would end past the minute.
		if took := time.Since(begin); took != 47*time.Second || counted.Puts.Load() != 7 {
			t.Errorf("%d puts in %v", counted.Puts.Load(), took)
		}
	})
}

func TestRetry_ContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, fault := range map[string]bucket.Fault{"in a pause": {Refused: true}, "in an attempt": {Delay: time.Hour}} {
			b := bucket.Retry(bucket.Faults(openMem(t), func(bucket.Call) bucket.Fault { return fault }), retryFor(time.Hour))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
			begin := time.Now()
			if err := b.Put(ctx, "k", nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(begin); took > 100*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			cancel()
		}
	})
}

// TestRetry_Conflict: what lies under the key is compared, whichever try met it.
func TestRetry_Conflict(t *testing.T) {
	body := buckettest.Body(1, 600<<10)
	other := bytes.Clone(body)
	other[len(other)-1] ^= 1
	for _, c := range []struct {
		name   string
		stored []byte
		same   bool
	}{
		{"same", body, true}, {"empty", nil, false}, {"shorter", body[:len(body)-1], false},
		{"longer", append(bytes.Clone(body), 0), false}, {"last byte differs", other, false},
	} {
		for _, lost := range []int{0, 1} {
			inner := openMem(t)
			if err := inner.Put(t.Context(), "k", c.stored); err != nil {
				t.Fatal(err)
			}
			b := bucket.Retry(bucket.Faults(inner, func(call bucket.Call) bucket.Fault {
				return bucket.Fault{Lost: call.N <= lost}
			}), fastRetry())
			err := b.Put(t.Context(), "k", body)
			if (err == nil) != c.same || err != nil && (!errors.Is(err, bucket.ErrConflict) || !errors.Is(err, bucket.ErrExists)) {
				t.Errorf("%s, %d answers lost: %v", c.name, lost, err)
			}
		}
	}
}

func TestRetry_FinalErrors(t *testing.T) {
	counted := bucket.Count(openMem(t))
	b := bucket.Retry(counted, retryFor(time.Hour))
	if _, err := b.Get(t.Context(), "k", 0, -1); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if err := b.Put(t.Context(), "../k", nil); !errors.Is(err, bucket.ErrKey) {
		t.Errorf("put: %v", err)
	}
	if counted.Gets.Load() != 1 || counted.Puts.Load() != 1 {
		t.Errorf("%d gets, %d puts", counted.Gets.Load(), counted.Puts.Load())
	}
}

func TestFaults_Flip(t *testing.T) {
	b := bucket.Faults(openMem(t), func(c bucket.Call) bucket.Fault { return bucket.Fault{Flip: c.N%2 == 1} })
	if err := b.Put(t.Context(), "k", []byte("a")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"`", "a"} {
		if got, err := b.Get(t.Context(), "k", 0, -1); err != nil || string(got) != want {
			t.Errorf("get: %q, %v", got, err)
		}
	}
}

// TestRetry_SlowDown: the pause that the bucket asks for is kept by all requests of that kind, and by no other.
func TestRetry_SlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := bucket.Count(openMem(t))
		b := bucket.Retry(&busyOnce{Bucket: inner, after: 3 * time.Second}, retryFor(time.Minute))
		begin := time.Now()
		first := make(chan error)
		go func() { first <- b.Put(t.Context(), "a", nil) }()
		synctest.Wait() // The first put was refused, and waits.
		if _, err := b.List(t.Context(), "", "", 0); err != nil || time.Since(begin) != 0 {
			t.Errorf("list: %v after %v", err, time.Since(begin))
		}
		if err := b.Put(t.Context(), "b", nil); err != nil || time.Since(begin) < 3*time.Second {
			t.Errorf("put of another: %v after %v", err, time.Since(begin))
		}
		if err := <-first; err != nil || time.Since(begin) < 3*time.Second || time.Since(begin) > 4*time.Second {
			t.Errorf("put: %v after %v", err, time.Since(begin))
		}
		if got := inner.Puts.Load(); got != 2 {
			t.Errorf("%d puts", got)
		}
	})
}

// busyOnce asks once for fewer puts.
type busyOnce struct {
	bucket.Bucket
	after time.Duration
	asked atomic.Bool
}

func (b *busyOnce) Put(ctx context.Context, key string, body []byte) error {
	if !b.asked.Swap(true) {
		return &bucket.SlowDownError{After: b.after, Err: bucket.ErrSlowDown}
	}
	return b.Bucket.Put(ctx, key, body)
}

// TestRetry_TimeBySize: a larger object is given more time.
func TestRetry_TimeBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := retryFor(0)
		cfg.AttemptTimeout, cfg.BytesPerSecondMin = 10*time.Second, 1<<20
		b := bucket.Retry(bucket.Faults(openMem(t), func(bucket.Call) bucket.Fault { return bucket.Fault{Delay: time.Hour} }), cfg)
		for size, want := range map[int]time.Duration{0: 10 * time.Second, 8 << 20: 18 * time.Second} {
			begin := time.Now()
			if err := b.Put(t.Context(), "k", make([]byte, size)); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != want {
				t.Errorf("%d bytes: %v after %v; want %v", size, err, time.Since(begin), want)
			}
		}
	})
}
