package agent

import "testing"

func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, row := range []struct{ buffers, rest, want int64 }{
		{256, 10, 296},  // a full cache is no reason to take twice as much
		{256, 100, 472}, // many partitions are
		{16, 10, 56},
	} {
		if got := memoryLimit(row.buffers*mib, row.rest*mib); got != row.want*mib {
			t.Errorf("%+v: %d MiB", row, got/mib)
		}
	}
}

func TestMemoryExtra(t *testing.T) {
	const mib = 1 << 20
	for _, row := range []struct{ extra, collections, want int64 }{
		{0, 1, 0},
		{0, 3, 16}, // the collector has no rest
		{0, 13, 48},
		{0, 40, 128}, // many: not by 16 a second
		{120, 40, 128},
		{16, 1, 16},
		{16, 0, 15},
	} {
		if got := memoryExtra(row.extra*mib, row.collections, 256*mib); got != row.want*mib {
			t.Errorf("%+v: %d MiB", row, got/mib)
		}
	}
}

// TestPeak: it rises at once and falls in hundreds of looks, so that frames that come and go
// in a second don't move the cache's bound.
func TestPeak(t *testing.T) {
	const mib = 1 << 20
	var p peak
	for _, row := range []struct{ looks, now, min, max int64 }{
		{1, 10, 10, 10},
		{1, 80, 80, 80},
		{20, 20, 77, 78},
		{1, 79, 79, 79},
		{4000, 0, 0, 1},
	} {
		var got int64
		for range row.looks {
			got = p.of(row.now * mib)
		}
		if got < row.min*mib || got > row.max*mib {
			t.Errorf("%+v: %d bytes", row, got)
		}
	}
}
