package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

// hedged is a config that hedges after a second, without a bound that a test meets.
func hedged() bucket.HedgeConfig {
	return bucket.HedgeConfig{GetAfter: time.Second, PutAfter: time.Second, GetPercent: 100, PutPercent: 100, InFlightMax: 100}
}

func TestHedge_SecondRequestHelps(t *testing.T) {
	body := buckettest.Body(3, 70<<10)
	for op, request := range map[string]func(ctx context.Context, b bucket.Bucket) error{
		"put": func(ctx context.Context, b bucket.Bucket) error { return b.Put(ctx, "new", body) },
		"get": func(ctx context.Context, b bucket.Bucket) error {
			got, err := b.Get(ctx, "old", 0, -1)
			return errors.Join(err, differ(got, body))
		},
		"get into": func(ctx context.Context, b bucket.Bucket) error {
			dst := make([]byte, len(body))
			n, err := b.GetInto(ctx, "old", 0, dst)
			return errors.Join(err, differ(dst[:n], body))
		},
	} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := openMem(t)
				if err := inner.Put(t.Context(), "old", body); err != nil {
					t.Fatal(err)
				}
				slowFirst := bucket.Faults(inner, func(c bucket.Call) bucket.Fault {
					if c.N == 1 {
						return bucket.Fault{Delay: time.Hour}
					}
					return bucket.Fault{}
				})
				begin := time.Now()
				if err := request(t.Context(), bucket.Hedge(slowFirst, hedged())); err != nil {
					t.Error(err)
				}
				if took := time.Since(begin); took != time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func differ(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return errors.New("other bytes")
	}
	return nil
}

// TestHedge_PutMeetsItsOwnFirstTry: both put the object, the answer of the one that did is lost.
func TestHedge_PutMeetsItsOwnFirstTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := openMem(t)
		lostFirst := bucket.Faults(inner, func(c bucket.Call) bucket.Fault {
			if c.N == 1 {
				return bucket.Fault{Delay: 2 * time.Second, Lost: true}
			}
			return bucket.Fault{Delay: 2 * time.Second}
		})
		h := bucket.Hedge(lostFirst, hedged())
		if err := h.Put(t.Context(), "k", []byte("x")); !errors.Is(err, bucket.ErrExists) {
			t.Errorf("put: %v", err)
		}
		if err := bucket.Retry(h, retryFor(time.Minute)).Put(t.Context(), "k", []byte("x")); err != nil {
			t.Errorf("through retry: %v", err)
		}
	})
}

func TestHedge_IsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := bucket.Faults(openMem(t), func(bucket.Call) bucket.Fault { return bucket.Fault{Delay: 2 * time.Second} })
		for name, c := range map[string]struct {
			cfg  bucket.HedgeConfig
			want int64 // requests for 100 puts
		}{
			"off":         {bucket.DefaultHedgeConfig(), 100},
			"by percent":  {bucket.HedgeConfig{PutAfter: time.Second, GetPercent: 100, PutPercent: 5, InFlightMax: 100}, 114},
			"all allowed": {bucket.HedgeConfig{PutAfter: time.Second, GetPercent: 100, PutPercent: 100, InFlightMax: 100}, 200},
			"none at all": {bucket.HedgeConfig{PutAfter: time.Second, GetPercent: 100, PutPercent: 100}, 100},
		} {
			counted := bucket.Count(slow)
			h := bucket.Hedge(counted, c.cfg)
			for i := range 100 {
				h.Put(t.Context(), name+string(rune('a'+i)), nil)
			}
			if got := counted.Puts.Load(); got != c.want {
				t.Errorf("%s: %d puts; want %d", name, got, c.want)
			}
		}
	})
}
