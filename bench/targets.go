package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wadi-io/wadi/bench/measure"
	"github.com/wadi-io/wadi/bench/workload"
)

// target is one of the figures that Wadi is held to. Its number is that of bench/README.md's table.
type target struct {
	number int
	what   string
	digits int
	goal   float64
	least  bool // the figure is to be at least the goal, not at most
	of     func(r results) (figure float64, measured bool)
}

// results are samples by row and system.
type results struct{ groups []*group }

// series is what a function makes of each sample of a row on a system.
func (r results) series(row, system string, of func(workload.Sample) float64) (values measure.Series) {
	for _, g := range r.groups {
		if g.row == row && g.system == system {
			for _, s := range g.samples {
				values = append(values, of(s))
			}
		}
	}
	return values
}

// median is the middle of that.
func (r results) median(row, system string, of func(workload.Sample) float64) (float64, bool) {
	values := r.series(row, system, of)
	return values.Median(), len(values) > 0
}

// ratio is the quotient of the medians of two systems.
func (r results) ratio(row, a, b string, of func(workload.Sample) float64) (float64, bool) {
	x, has := r.median(row, a, of)
	y, hasToo := r.median(row, b, of)
	if !has || !hasToo || y == 0 {
		return 0, false
	}
	return x / y, true
}

// The quantities of samples that targets are about.
func cpuPerGiB(s workload.Sample) float64     { return s.Broker / workload.GiB(s.Bytes) }
func cpuPerGiBRead(s workload.Sample) float64 { return s.Broker / workload.GiB(s.FetchBytes) }
func cpuPerRequest(s workload.Sample) float64 { return 1e6 * s.Broker / float64(s.Requests) }
func mibPerSecond(s workload.Sample) float64  { return float64(s.Bytes) / (1 << 20) / s.Seconds }
func p50(s workload.Sample) float64           { return s.P50 }
func p99(s workload.Sample) float64           { return s.P99 }
func putsPerGiB(s workload.Sample) float64    { return float64(s.Puts) / workload.GiB(s.Bytes) }

// p50OverBucket is a produce's median beside the bucket's and the commit's.
func p50OverBucket(s workload.Sample) float64 { return s.P50 / (s.PutP50 + s.CommitP50) }

// p99OverBucket is the same of the 99th percentile; a commit's share of it is small.
func p99OverBucket(s workload.Sample) float64 { return s.P99 / (s.PutP99 + s.CommitP50) }

// more is a figure that only some rows have.
func more(name string) func(workload.Sample) float64 {
	return func(s workload.Sample) float64 { return s.More[name] }
}

// Prices of S3 Standard in us-east-1, in dollars a request.
const (
	putDollars      = 0.005 / 1000
	getDollars      = 0.0004 / 1000
	secondsPerMonth = 365.25 / 12 * 86400
)

// mergedBytes is the size of what compaction reads and writes.
const mergedBytes = 64 << 20

// dollarsPerGiB is what a GiB's requests cost with three zones, counted from the PUTs that
// were measured: each segment is read once in each other zone and once by compaction, which puts
// a segment of 64 MiB for what it read, and reads that back.
func dollarsPerGiB(s workload.Sample) float64 {
	puts, merged := putsPerGiB(s), float64(1<<30)/mergedBytes
	return (puts+merged)*putDollars + (2*puts+puts+merged)*getDollars
}

const (
	onWadi  = "wadi"
	onFloor = "floor"
)

func targets() []target {
	ratio := func(row, to string, of func(workload.Sample) float64) func(results) (float64, bool) {
		return func(r results) (float64, bool) { return r.ratio(row, onWadi, to, of) }
	}
	median := func(row, system string, of func(workload.Sample) float64) func(results) (float64, bool) {
		return func(r results) (float64, bool) { return r.median(row, system, of) }
	}
	all := []target{
		{1, "W1, CPU beside floor + PUT", 2, 1.6, false, ratio("W1", onFloor, cpuPerGiB)},
		{1, "W1, CPU beside Apache Kafka", 2, 1, false, ratio("W1", "kafka", cpuPerGiB)},
		{1, "W1, CPU beside Apache Kafka with replication factor 3", 2, 0.2, false, ratio("W1", "kafka3", cpuPerGiB)},
		{2, "fetch from memory, CPU beside the floor", 2, 1.5, false, ratio("W5-reread", onFloor, cpuPerGiBRead)},
		{3, "W1, throughput beside floor + PUT", 2, 0.7, true, ratio("W1", onFloor, mibPerSecond)},
		{4, "W3, CPU of a small request beside the floor", 2, 1.8, false, ratio("W3", onFloor, cpuPerRequest)},
		{4, "W3, the same beside Apache Kafka", 2, 0.5, false, ratio("W3", "kafka", cpuPerRequest)},
	}
	for _, profile := range []string{"zero", "express", "standard"} {
		all = append(all,
			target{5, "W7, p50 beside PUT + commit, " + profile, 2, 1.15, false, median("W7-"+profile, onWadi, p50OverBucket)},
			target{5, "W7, p99 beside PUT + commit, " + profile, 2, 1.5, false, median("W7-"+profile, onWadi, p99OverBucket)},
			target{5, "W8, p50 beside PUT + commit, " + profile, 2, 1.5, false, median("W8-"+profile, onWadi, p50OverBucket)})
	}
	return append(all, []target{
		{6, "W7, p50 in ms, standard", 0, 130, false, median("W7-standard", onWadi, p50)},
		{6, "W7, p99 in ms, standard", 0, 400, false, median("W7-standard", onWadi, p99)},
		{6, "W7, p99 in ms, standard, hedged", 0, 300, false, median("W7-hedged", "wadi-hedged", p99)},
		{7, "W7, p50 in ms, express", 1, 12, false, median("W7-express", onWadi, p50)},
		{7, "W7, p99 in ms, express", 1, 30, false, median("W7-express", onWadi, p99)},
		{8, "W7, end to end beyond the produce, p50 in ms, express", 1, 10, false, median("W7-express", onWadi, beyond)},
		{8, "W7, end to end beyond the produce, p50 in ms, standard", 1, 10, false, median("W7-standard", onWadi, beyond)},
		{9, "W4, Postgres's CPU in µs a batch", 1, 20, false, median("W4", onWadi, func(s workload.Sample) float64 { return 1e6 * s.Postgres / s.Batches })},
		{9, "W4, Postgres's log in bytes a batch", 0, 200, false, median("W4", onWadi, func(s workload.Sample) float64 { return float64(s.LogBytes) / s.Batches })},
		{9, "W4, appends a flush", 2, 1, false, median("W4", onWadi, func(s workload.Sample) float64 { return s.Appends / s.Flushes })},
		{10, "W10, PUTs a GiB at 32 MiB/s", 0, 136, false, median("W10", onWadi, putsPerGiB)},
		{10, "W1, PUTs a GiB", 0, 136, false, median("W1", onWadi, putsPerGiB)},
		{10, "W10, dollars a GiB for three zones, counted from its PUTs", 5, 0.0011, false, median("W10", onWadi, dollarsPerGiB)},
		{11, "W1, RSS in MiB beside the cache of 256", 0, 64, false, median("W1", onWadi, func(s workload.Sample) float64 { return float64(s.RSS)/(1<<20) - 256 })},
		{11, "an idle partition in bytes, at 100,000", 0, 1024, false, median("W11", onWadi, more(workload.PartitionBytes))},
		{11, "an idle connection in KiB", 1, 32, false, median("W11", onWadi, more(workload.ConnectionKiB))},
		{12, "start to the first record, ms beyond PUT + commit", 0, 150, false, median("W12", onWadi, more(workload.StartMs))},
		{12, "kill -9 to the first record with 10,000 partitions, ms", 0, 2000, false, median("W12", onWadi, more(workload.RestartMs))},
		{13, "W6, MiB/s of one reader from the bucket, standard", 0, 300, true, median("W6", onWadi, func(s workload.Sample) float64 { return float64(s.FetchBytes) / (1 << 20) / s.Seconds })},
		{13, "W13, a tail reader's p99 beside one that catches up, and without", 2, 1.1, false, func(r results) (float64, bool) {
			with, has := r.median("W13", onWadi, func(s workload.Sample) float64 { return s.EndP99 })
			without, hasToo := r.median("W7-standard", onWadi, func(s workload.Sample) float64 { return s.EndP99 })
			return with / without, has && hasToo && without > 0
		}},
	}...)
}

// beyond is what end to end takes beyond the produce.
func beyond(s workload.Sample) float64 { return s.EndP50 - s.P50 }

// printTargets prints a line a target, and returns how many aren't met.
func printTargets(w io.Writer, samples []workload.Sample) (short int) {
	r := results{groups(samples)}
	for _, t := range targets() {
		goal := fmt.Sprintf("≤ %.*f", t.digits, t.goal)
		if t.least {
			goal = fmt.Sprintf("≥ %.*f", t.digits, t.goal)
		}
		value, measured := t.of(r)
		verdict := "met"
		switch {
		case !measured:
			fmt.Fprintf(w, "target %d, %s: not measured (goal %s)\n", t.number, t.what, goal)
			continue
		case t.least && value < t.goal || !t.least && value > t.goal:
			verdict = "short"
			short++
		}
		fmt.Fprintf(w, "target %d, %s: %s %.*f (goal %s)\n", t.number, t.what, verdict, t.digits, value, goal)
	}
	return short
}

// targetsCommand prints the targets of files of samples.
func targetsCommand(_ context.Context, arguments []string) error {
	flags := flag.NewFlagSet("targets", flag.ContinueOnError)
	page := flags.String("page", "", "write the results as Markdown to this file, plots beside it")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("usage: bench targets [-page FILE.md] SAMPLES.json…")
	}
	var all kept
	for _, file := range flags.Args() {
		k, err := readSamples(file)
		if err != nil {
			return err
		}
		k.Samples = append(all.Samples, k.Samples...)
		k.Commands = append(all.Commands, k.Commands...)
		all = k
	}
	printTargets(os.Stdout, all.Samples)
	if *page == "" {
		return nil
	}
	return writePage(*page, all)
}
