package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/wadi-io/wadi/bench/measure"
	"github.com/wadi-io/wadi/bench/workload"
)

// figure is something that a sample says.
type figure struct {
	name   string
	digits int
	worse  int // +1: more is worse, −1: less is
	of     func(s workload.Sample) (value float64, has bool)
}

// share is a quotient that is there if its divisor is.
func share(a, b float64) (float64, bool) {
	if b == 0 {
		return 0, false
	}
	return a / b, true
}

func figuresTable() []figure {
	gib := workload.GiB
	return []figure{
		{"CPU-s/GiB", 3, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(s.Broker, gib(s.Bytes))
			return v, ok && s.FetchBytes == 0 && s.Bytes > s.Records*500
		}},
		{"CPU-s/GiB read", 3, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(s.Broker, gib(s.FetchBytes))
			return v, ok && s.Bytes == 0
		}},
		{"CPU-s/s", 3, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(s.Broker, s.Seconds)
			return v, ok && s.FetchBytes > 0 && s.Bytes > 0
		}},
		{"µs/request", 1, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(s.Broker*1e6, float64(s.Requests))
			return v, ok && s.Records == s.Requests
		}},
		{"MiB/s", 0, -1, func(s workload.Sample) (float64, bool) {
			v, ok := share(float64(s.Bytes)/(1<<20), s.Seconds)
			return v, ok && s.Bytes > 0
		}},
		{"MiB/s read", 0, -1, func(s workload.Sample) (float64, bool) {
			v, ok := share(float64(s.FetchBytes)/(1<<20), s.Seconds)
			return v, ok && s.FetchBytes > 0
		}},
		{"p50 ms", 2, 1, func(s workload.Sample) (float64, bool) { return s.P50, s.P50 > 0 }},
		{"p99 ms", 2, 1, func(s workload.Sample) (float64, bool) { return s.P99, s.P99 > 0 }},
		{"end p50 ms", 2, 1, func(s workload.Sample) (float64, bool) { return s.EndP50, s.EndP50 > 0 }},
		{"end p99 ms", 2, 1, func(s workload.Sample) (float64, bool) { return s.EndP99, s.EndP99 > 0 }},
		{"PUT/s", 1, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(float64(s.Puts), s.Seconds)
			return v, ok && s.Puts > 0
		}},
		{"PUT/GiB", 0, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(float64(s.Puts), gib(s.Bytes))
			return v, ok && s.Puts > 0 && gib(s.Bytes) > 0.1
		}},
		{"$/month of PUTs", 0, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(float64(s.Puts)*putDollars*secondsPerMonth, s.Seconds)
			return v, ok && s.Puts > 0
		}},
		{"PUT p50 ms", 2, 1, func(s workload.Sample) (float64, bool) { return s.PutP50, s.PutP50 > 0 }},
		{"PUT p99 ms", 2, 1, func(s workload.Sample) (float64, bool) { return s.PutP99, s.PutP99 > 0 }},
		{"commit p50 ms", 2, 1, func(s workload.Sample) (float64, bool) { return s.CommitP50, s.CommitP50 > 0 }},
		{"GET/s", 2, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(float64(s.Gets), s.Seconds)
			return v, ok && s.Gets > 0
		}},
		{"Postgres %", 2, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(100*s.Postgres, s.Seconds)
			return v, ok && s.Postgres > 0
		}},
		{"bucket %", 1, 1, func(s workload.Sample) (float64, bool) {
			v, ok := share(100*s.Bucket, s.Seconds)
			return v, ok && s.Bucket > 0
		}},
		{"load %", 1, 1, func(s workload.Sample) (float64, bool) { return share(100*s.Generator, s.Seconds) }},
		moreFigure(workload.StartMs), moreFigure(workload.RestartMs), moreFigure(workload.StartCPUMs), moreFigure(workload.RestartCPUMs), moreFigure(workload.PartitionBytes), moreFigure(workload.ConnectionKiB), moreFigure(workload.MetadataMs),
		{"RSS MiB", 0, 1, func(s workload.Sample) (float64, bool) { return float64(s.RSS) / (1 << 20), s.RSS > 0 }},
	}
}

// moreFigure is one that only some rows have.
func moreFigure(name string) figure {
	return figure{name, 1, 1, func(s workload.Sample) (float64, bool) { v, has := s.More[name]; return v, has }}
}

// figures is a sample on one line.
func figures(s workload.Sample) string {
	var text []string
	for _, f := range figuresTable() {
		if v, has := f.of(s); has {
			text = append(text, fmt.Sprintf("%.*f %s", f.digits, v, f.name))
		}
	}
	return strings.Join(text, ", ")
}

// group is all samples of a row on a system.
type group struct {
	row, system string
	samples     []workload.Sample
}

// groups puts samples together, in the order in which they came.
func groups(samples []workload.Sample) (all []*group) {
	for _, s := range samples {
		var to *group
		for _, g := range all {
			if g.row == s.Row && g.system == s.System {
				to = g
			}
		}
		if to == nil {
			to = &group{row: s.Row, system: s.System}
			all = append(all, to)
		}
		to.samples = append(to.samples, s)
	}
	return all
}

// series is a figure of a group.
func (g *group) series(f figure) (values measure.Series) {
	for _, s := range g.samples {
		if v, has := f.of(s); has {
			values = append(values, v)
		}
	}
	return values
}

// printSamples prints medians and ranges.
func printSamples(w io.Writer, samples []workload.Sample, foreignMax float64) {
	fmt.Fprintf(w, "%s\ncommit %s; runs with more than %.0f %% of foreign CPU are thrown away\n", machine(), commit(), 100*foreignMax)
	for _, g := range groups(samples) {
		fmt.Fprintf(w, "\n%s on %s, %d runs\n", g.row, g.system, len(g.samples))
		for _, f := range figuresTable() {
			if values := g.series(f); len(values) > 0 {
				least, most := values.Range()
				fmt.Fprintf(w, "  %-16s %12.*f   (%.*f … %.*f)\n", f.name, f.digits, values.Median(), f.digits, least, f.digits, most)
			}
		}
	}
}
