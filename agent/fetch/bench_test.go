package fetch

import (
	"fmt"
	"testing"
)

// tailOf returns a world with one batch in each of some partitions, in the cache.
func tailOf(t testing.TB, partitions int32) (*world, *Request, func()) {
	w := newWorld(t, 4, nil)
	stop := w.run()
	topic := w.topic("t", partitions)
	var batches []produced
	var all []int32
	for p := range partitions {
		batches = append(batches, produced{Key{topic, p}, makeBatch(10, 100, 0)})
		all = append(all, p)
	}
	for range 3 {
		w.flush(true, batches...)
	}
	w.refresh()
	return w, full(asks(topic, 15, all...)), stop
}

func BenchmarkFetch_Tail(b *testing.B) {
	for _, partitions := range []int32{1, 50, 1000} {
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			w, req, stop := tailOf(b, partitions)
			defer stop()
			b.ReportAllocs()
			for b.Loop() {
				r := w.fetcher.Fetch(b.Context(), req)
				r.Encode(18, code)
				r.Release()
			}
		})
	}
}

// TestFetch_Allocations: what a fetch of the tail allocates doesn't grow with the
// records, and little with the partitions.
func TestFetch_Allocations(t *testing.T) {
	for partitions, most := range map[int32]float64{1: 30, 100: 300} {
		w, req, stop := tailOf(t, partitions)
		n := testing.AllocsPerRun(100, func() {
			r := w.fetcher.Fetch(t.Context(), req)
			if r.Partitions[0].Bytes == 0 {
				t.Fatal("nothing was read")
			}
			r.Encode(18, code)
			r.Release()
		})
		stop()
		if n > most {
			t.Errorf("%v allocations for %d partitions, more than %v", n, partitions, most)
		}
		t.Logf("%d partitions: %v allocations", partitions, n)
	}
}
