package agent

import "testing"

func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, row := range []struct{ buffers, held, live, want int64 }{
		{256 * mib, 0, 10 * mib, 308 * mib},          // a new process
		{256 * mib, 250 * mib, 260 * mib, 308 * mib}, // a full cache is no reason to take twice as much
		{256 * mib, 250 * mib, 350 * mib, 488 * mib}, // many partitions are
		{256 * mib, 300 * mib, 310 * mib, 352 * mib}, // readers pin more than the bound
		{256 * mib, 256 * mib, 100 * mib, 288 * mib}, // the cache has filled since the last collection
	} {
		want := (row.want + 8*mib - 1) / (8 * mib) * (8 * mib)
		if got := memoryLimit(row.buffers, row.held, row.live); got != want {
			t.Errorf("%+v: %d MiB; want %d", row, got/mib, want/mib)
		}
	}
}
