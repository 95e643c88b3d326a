package metrics

import (
	"context"
	"math"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
)

// TestCost: each try costs what its kind does, but for those that the bucket fails itself.
func TestCost(t *testing.T) {
	for _, c := range []struct {
		prices                  Prices
		put, get, list, deletes float64
	}{
		{DefaultPrices(), 3 * 0.000005, 2 * 0.0000004, 0.000005, 0},
		{Prices{Put: 1, Get: 2, List: 3, Delete: 4}, 3, 4, 3, 4},
		{Prices{}, 0, 0, 0, 0},
	} {
		m, r := newMetrics(t)
		m.Price(c.prices)
		for _, err := range []error{nil, bucket.ErrExists, context.DeadlineExceeded, bucket.ErrSlowDown} {
			m.Bucket(bucket.Request{Op: bucket.OpPut, Err: err})
		}
		m.Bucket(bucket.Request{Op: bucket.OpGet, Bytes: 1 << 30})
		m.Bucket(bucket.Request{Op: bucket.OpGet, Err: bucket.ErrNotFound})
		m.Bucket(bucket.Request{Op: bucket.OpList})
		m.Bucket(bucket.Request{Op: bucket.OpDelete})
		families := gather(t, r)
		for kind, want := range map[string]float64{"put": c.put, "get": c.get, "list": c.list, "delete": c.deletes} {
			if got := value(families, "wadi_cost_dollars_total kind="+kind); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: %g dollars, want %g", kind, got, want)
			}
		}
	}
}

func TestParsePrices(t *testing.T) {
	for text, want := range map[string]Prices{
		"":                                DefaultPrices(),
		"put=0,get=0,list=0":              {},
		" put=5, delete=1":                {Put: 0.005, Get: DefaultPrices().Get, List: DefaultPrices().List, Delete: 0.001},
		"get=0.4,list=2,put=3,delete=1e0": {Put: 0.003, Get: 0.0004, List: 0.002, Delete: 0.001},
	} {
		if got, err := ParsePrices(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"put", "put=", "put=-1", "put=NaN", "put=Inf", "put=1001", "head=1", "put=1,,get=1", "=1"} {
		if got, err := ParsePrices(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
