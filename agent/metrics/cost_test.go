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
		if got, err := ParsePrices(text, DefaultPrices()); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"put", "put=", "put=-1", "put=NaN", "put=Inf", "put=1001", "head=1", "put=1,,get=1", "=1"} {
		if got, err := ParsePrices(text, DefaultPrices()); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPricesOf(t *testing.T) {
	for url, want := range map[string]Prices{
		"s3://bucket?region=us-east-1":                                      DefaultPrices(),
		"s3://bucket?endpoint=https://s3.dualstack.eu-west-1.amazonaws.com": DefaultPrices(),
		"s3://bucket?endpoint=http://127.0.0.1:9000&s3ForcePathStyle=true":  {},
		"s3://bucket?endpoint=https://amazonaws.com.example.org":            {},
		"s3://bucket?endpoint=minio:9000":                                   {},
		"gs://bucket":                                                       {Put: 0.000005, Get: 0.0000004, List: 0.000005},
		"azblob://container":                                                {Put: 0.0000055, Get: 0.00000044, List: 0.0000055},
		"file:///tmp/x":                                                     {},
		"mem://":                                                            {},
		"%":                                                                 {},
	} {
		if got := PricesOf(url); math.Abs(got.Put-want.Put)+math.Abs(got.Get-want.Get)+math.Abs(got.List-want.List)+got.Delete > 1e-15 {
			t.Errorf("%s: %v; want %v", url, got, want)
		}
	}
	if p, err := ParsePrices("put=1", PricesOf("mem://")); err != nil || p != (Prices{Put: 0.001}) {
		t.Errorf("%v, %v", p, err)
	}
}
