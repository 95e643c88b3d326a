package ingest

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// slowStore takes its time for an append.
type slowStore struct {
	metastore.Store
	takes time.Duration
}

func (s slowStore) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	time.Sleep(s.takes)
	return s.Store.Append(ctx, term, parts)
}

// logNormal draws durations by their median and 99th percentile.
func logNormal(random *rand.Rand, p50, p99 time.Duration) func() time.Duration {
	sigma := math.Log(float64(p99)/float64(p50)) / 2.3263478740408408
	return func() time.Duration { return time.Duration(float64(p50) * math.Exp(sigma*random.NormFloat64())) }
}

// TestLatency_IsThatOfPutAndCommit: what a batch waits for beside its PUT and its commit, in a time that
// no machine's load is in. Requests come at random, as they do from many producers.
func TestLatency_IsThatOfPutAndCommit(t *testing.T) {
	const commit = 2 * time.Millisecond
	const scale = 1 << 10 // a segment is smaller by it, and so is the load: only their quotient matters
	for _, row := range []struct {
		name             string
		putP50, putP99   time.Duration
		requests         float64 // a second
		bytes            int     // of a request, before scaling
		p50, p99         float64 // at most so many times PUT + commit
		putsPerSecondMax float64
		putsPerGiBMax    float64
	}{
		{name: "100 records a second, zero", putP50: time.Millisecond, putP99: 2 * time.Millisecond, requests: 20, bytes: 500, p50: 1.15, p99: 1.5, putsPerSecondMax: 21},
		{name: "100 records a second, express", putP50: 8 * time.Millisecond, putP99: 20 * time.Millisecond, requests: 20, bytes: 500, p50: 1.15, p99: 1.5, putsPerSecondMax: 21},
		// A flush overtakes those before it but for its partitions, of which there are a hundred.
		{name: "100 records a second, standard", putP50: 110 * time.Millisecond, putP99: 350 * time.Millisecond, requests: 20, bytes: 500, p50: 1.15, p99: 1.5, putsPerSecondMax: 21},
		{name: "half load, standard", putP50: 110 * time.Millisecond, putP99: 350 * time.Millisecond, requests: 250, bytes: 1 << 20, p50: 1.3, p99: 1.5, putsPerGiBMax: 136},
		{name: "32 MiB/s, standard", putP50: 110 * time.Millisecond, putP99: 350 * time.Millisecond, requests: 32, bytes: 1 << 20, p50: 2.5, putsPerGiBMax: 136},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(1, 1))
				draw := logNormal(random, row.putP50, row.putP99)
				var takes []time.Duration
				var mu sync.Mutex
				w := newWorld(t)
				a := w.agent(func(c *Config, a *testAgent, store *metastore.Store) {
					c.SegmentBytesMax, c.BufferBytesMax = c.SegmentBytesMax/scale, c.BufferBytesMax/scale
					*store = slowStore{*store, commit}
					a.putTakes = func() time.Duration {
						mu.Lock()
						defer mu.Unlock()
						takes = append(takes, draw())
						return takes[len(takes)-1]
					}
				})
				value := string(make([]byte, max(1, row.bytes/scale-70)))
				seconds := 12_000 / row.requests
				var times []time.Duration
				var waiting sync.WaitGroup
				gaps := rand.New(rand.NewPCG(2, 2))
				began, sent := time.Now(), 0
				for due := began; due.Sub(began).Seconds() < seconds; due = due.Add(time.Duration(gaps.ExpFloat64() / row.requests * float64(time.Second))) {
					time.Sleep(time.Until(due))
					b := valued(int32(sent%100), -1, 0, 0, value)
					sent++
					waiting.Go(func() {
						if r := a.send(b); r.Err != nil {
							t.Error(r.Err)
						}
						mu.Lock()
						defer mu.Unlock()
						times = append(times, time.Since(due))
					})
				}
				waiting.Wait()
				slices.Sort(times)
				slices.Sort(takes)
				at := func(all []time.Duration, q float64) time.Duration { return all[int(q*float64(len(all)))] }
				p50 := float64(at(times, 0.5)) / float64(at(takes, 0.5)+commit)
				p99 := float64(at(times, 0.99)) / float64(at(takes, 0.99)+commit)
				puts := float64(len(takes)) / seconds
				gib := puts / (row.requests * float64(row.bytes) / (1 << 30))
				t.Logf("p50 %v, %.2f of PUT + commit; p99 %v, %.2f; %.1f PUTs a second, %.0f a GiB", at(times, 0.5), p50, at(times, 0.99), p99, puts, gib)
				if p50 > row.p50 || row.p99 > 0 && p99 > row.p99 || row.putsPerSecondMax > 0 && puts > row.putsPerSecondMax || row.putsPerGiBMax > 0 && gib > row.putsPerGiBMax {
					t.Errorf("want p50 %v, p99 %v, %v PUTs a second, %v a GiB at most", row.p50, row.p99, row.putsPerSecondMax, row.putsPerGiBMax)
				}
			})
		})
	}
}
