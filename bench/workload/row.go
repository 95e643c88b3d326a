package workload

import (
	"fmt"
	"slices"
	"time"

	"github.com/wadi-io/wadi/bench/load"
	"github.com/wadi-io/wadi/wire/batch"
)

// Kind says how a row is run.
type Kind int

// The kinds of rows.
const (
	Load    Kind = iota // load on what runs, a window of it
	Cold                // readers go over what was written before and is in the bucket only
	Scale               // many partitions and connections that do nothing
	Restart             // the agent ends and begins
)

// Row is one workload as it is measured: a line of the results.
type Row struct {
	Name  string // W1, W1-lz4
	Title string
	Kind  Kind

	Shape       load.Shape // without a topic: no producers
	Connections int
	Depth       int     // closed loop
	Rate        float64 // requests a second, open loop
	Readers     int     // of the tail, or of what was written before
	Reread      bool    // nobody writes during the window: readers go over the newest data again and again
	Profile     string  // latency of the bucket
	Hedged      bool    // the agent sends slow PUTs again
	Franz       bool    // by franz-go instead of the bench's own frames
	HalfOf      string  // open loop at half the throughput that this row had on the system in this session

	Catchup bool // of Load: a reader goes over old data in the bucket meanwhile

	Warm, Window time.Duration
}

// The shapes that rows share.
const (
	partitions  = 16
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
	idempotent := large()
	idempotent.Idempotent = true
	return slices.Concat([]Row{
		{Name: "W1", Title: "1 KiB × 16 partitions, uncompressed, closed loop", Shape: large(), Connections: 8, Depth: 8},
		{Name: "W1-lz4", Title: "the same, lz4", Shape: lz4, Connections: 8, Depth: 8},
		{Name: "W1-franz", Title: "W1 by two clients of franz-go, as a check of the load", Shape: large(), Connections: 2, Franz: true},
		{Name: "W2", Title: "records of 100 B, 160 in a batch, closed loop", Connections: 8, Depth: 8,
			Shape: load.Shape{Partitions: partitions, PerRequest: partitions, BatchRecords: 160, RecordBytes: 100}},
		{Name: "W3", Title: "one record of 100 B a request, 10,000 requests/s, open loop", Connections: 64, Rate: 10_000,
			Shape: load.Shape{Partitions: partitions, PerRequest: 1, BatchRecords: 1, RecordBytes: 100}},
		{Name: "W4", Title: "1,000 partitions, 5,000 batches/s of one record of 100 B", Connections: 16, Rate: 200,
			Shape: load.Shape{Partitions: 1000, PerRequest: 25, BatchRecords: 1, RecordBytes: 100}},
		{Name: "W5x0", Title: "100 MiB/s and no reader", Shape: large(), Connections: 8, Rate: 100},
		{Name: "W5", Title: "100 MiB/s and 1 tail reader", Shape: large(), Connections: 8, Rate: 100, Readers: 1},
		{Name: "W5x3", Title: "100 MiB/s and 3 tail readers", Shape: large(), Connections: 8, Rate: 100, Readers: 3},
		{Name: "W5-reread", Title: "2 readers of what is in memory, nobody writes", Shape: large(), Connections: 4, Depth: 2, Readers: 2, Reread: true},
		{Name: "W9", Title: "W1, idempotent", Shape: idempotent, Connections: 8, Depth: 8},
		{Name: "W10", Title: "34 MiB/s, so that chance doesn't take it below 32", Shape: large(), Connections: 8, Rate: 34},
	}, lowRows(), halfRows(), coldRows(), []Row{
		{Name: "W11", Title: "100,000 partitions and 1,000 connections that do nothing", Kind: Scale, Shape: load.Shape{Partitions: 1000}, Profile: "zero"},
		{Name: "W12", Title: "start, and kill -9 with 10,000 partitions, until a record is acknowledged", Kind: Restart,
			Shape: load.Shape{Partitions: 1000, PerRequest: 1, BatchRecords: 1, RecordBytes: 100}, Profile: "zero"},
	})
}

// coldRows read what is in the bucket only.
func coldRows() []Row {
	low := lowRows()[2]
	low.Name, low.Title, low.Catchup = "W13", "W7-standard beside a reader that catches up from the bucket", true
	// The old data was written just before: for some five seconds after such a load an agent saves PUTs.
	low.Warm = 8 * time.Second
	return []Row{
		{Name: "W6", Title: "one reader catches up from the bucket, standard", Kind: Cold, Shape: large(), Connections: 8, Depth: 8, Readers: 1, Profile: "standard"},
		low,
	}
}

// lowRows are 100 records a second, within the floor of the PUT budget: 20 requests a second of 5 records.
func lowRows() (rows []Row) {
	shape := load.Shape{Partitions: partitions, PerRequest: 1, BatchRecords: 5, RecordBytes: 100, Stamped: true}
	// As from 20 clients: the requests of a connection are answered in order, so with 4 connections a broker that
	// takes no time itself would come to 1.11 times the PUT of the profile standard, with 20 to 1.04.
	low := Row{Shape: shape, Connections: 20, Rate: 20, Readers: 1, Window: 30 * time.Second}
	for _, profile := range []string{"zero", "express", "standard"} {
		low.Name, low.Profile, low.Title = "W7-"+profile, profile, "100 records/s in 20 requests, a tail reader, bucket "+profile
		rows = append(rows, low)
	}
	low.Name, low.Title, low.Hedged = "W7-hedged", "the same, bucket standard, with hedged PUTs", true
	rows = append(rows, low)
	low.Name, low.Title, low.Hedged = "W7-single", "100 records/s in as many requests, beyond the budget, bucket standard", false
	low.Shape.BatchRecords, low.Rate = 1, 100
	return append(rows, low)
}

// halfRows are an open loop at half of what a closed one came to with the same bucket.
func halfRows() (rows []Row) {
	for _, profile := range []string{"zero", "express", "standard"} {
		full := "W1"
		if profile != "zero" {
			full += "-" + profile
			rows = append(rows, Row{Name: full, Title: "W1, bucket " + profile, Shape: large(), Connections: 8, Depth: 16, Profile: profile})
		}
		rows = append(rows, Row{Name: "W8-" + profile, Title: "half the throughput of " + full + ", open loop, bucket " + profile,
			Shape: large(), Connections: 16, HalfOf: full, Profile: profile})
	}
	return rows
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
