package workload

import (
	"fmt"
	"time"

	"github.com/wadi-io/wadi/bench/load"
	"github.com/wadi-io/wadi/wire/batch"
)

// Row is one workload as it is measured: a line of the results.
type Row struct {
	Name  string // W1, W1-lz4
	Title string

	Shape       load.Shape // without a topic: no producers
	Connections int
	Depth       int     // closed loop
	Rate        float64 // requests a second, open loop
	Readers     int     // of the tail, or of what was written before
	Reread      bool    // nobody writes during the window: readers go over the newest data again and again
	Profile     string  // latency of the bucket
	PutHedge    time.Duration

	Warm, Window time.Duration
}

// The shapes that rows share.
const (
	partitions  = 16
	requestMiB  = 1 << 20
	warmDefault = 3 * time.Second
	window      = 10 * time.Second
)

// large is a request of 1 MiB: a batch of 64 records of 1 KiB for each of 16 partitions.
func large() load.Shape {
	return load.Shape{Partitions: partitions, PerRequest: partitions, BatchRecords: 64, RecordBytes: 1 << 10}
}

// Rows are all workloads.
func Rows() []Row {
	lz4 := large()
	lz4.Codec = batch.LZ4
	single := load.Shape{Partitions: partitions, PerRequest: 1, BatchRecords: 1, RecordBytes: 100}
	return []Row{
		{Name: "W1", Title: "1 KiB × 16 partitions, uncompressed, closed loop", Shape: large(), Connections: 8, Depth: 8},
		{Name: "W1-lz4", Title: "the same, lz4", Shape: lz4, Connections: 8, Depth: 8},
		{Name: "W3", Title: "one record of 100 B a request, 10,000 requests/s, open loop", Shape: single, Connections: 64, Rate: 10_000},
		{Name: "W5", Title: "100 MiB/s and 1 tail reader", Shape: large(), Connections: 8, Rate: 100, Readers: 1},
		{Name: "W5x3", Title: "100 MiB/s and 3 tail readers", Shape: large(), Connections: 8, Rate: 100, Readers: 3},
		{Name: "W5x0", Title: "100 MiB/s and no reader", Shape: large(), Connections: 8, Rate: 100},
		{Name: "W5-reread", Title: "2 readers of what is in memory, nobody writes", Shape: large(), Connections: 4, Depth: 2, Readers: 2, Reread: true},
	}
}

// RowOf returns the row of a name, with what it doesn't say filled in.
func RowOf(name string) (Row, error) {
	for _, r := range Rows() {
		if r.Name != name {
			continue
		}
		if r.Profile == "" {
			r.Profile = "zero"
		}
		if r.Warm == 0 {
			r.Warm = warmDefault
		}
		if r.Window == 0 {
			r.Window = window
		}
		return r, nil
	}
	return Row{}, fmt.Errorf("there is no row %q", name)
}
