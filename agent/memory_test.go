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
