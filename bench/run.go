package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/measure"
	"github.com/wadi-io/wadi/bench/workload"
)

// options are what run is told.
type options struct {
	rows, systems []string
	quick         bool
	jars          string
	pairs         int
	window        time.Duration
	foreignMax    float64
	gate          time.Duration
	touch, warm   int64 // bytes
	triesMax      int
	out           string
	profiles      string
	wadi          string
	target        string
	pids          []int
	keep          int64
	arguments     []string
}

// list is a flag of names with commas.
type list struct{ to *[]string }

func (l list) Set(text string) error { *l.to = strings.Split(text, ","); return nil }
func (l list) String() string {
	if l.to == nil {
		return ""
	}
	return strings.Join(*l.to, ",")
}

func parseRun(arguments []string) (o options, err error) {
	o.rows, o.systems = []string{"W1", "W3", "W5-reread"}, []string{"floor", "wadi"}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.Var(list{&o.rows}, "rows", "the workloads, with commas; all: those of the targets")
	flags.Var(list{&o.systems}, "systems", "floor, wadi, kafka, kafka3, with commas, in the order in which each pair begins")
	flags.BoolVar(&o.quick, "quick", false, "one pair, short windows: coarse")
	flags.StringVar(&o.jars, "jars", ".cache/kafka-4.2.0", "Apache Kafka's jars, for the systems kafka and kafka3")
	flags.IntVar(&o.pairs, "pairs", 5, "how often each system is measured twice")
	flags.DurationVar(&o.window, "window", 0, "of a run; 0: as the row says")
	flags.Float64Var(&o.foreignMax, "foreign", 0.10, "a run is thrown away when others had more than this share of the machine; on a shared machine say more, and print it with the figures")
	flags.DurationVar(&o.gate, "gate", 20*time.Second, "wait at most so long for a quiet machine before a run")
	touch := flags.Float64("touch", 4, "GiB of memory to touch before each run, at most half of what is free")
	warm := flags.Float64("warm", 0, "GiB that each system takes before its first run; 0: 3, Apache Kafka 10")
	flags.IntVar(&o.triesMax, "tries", 3, "runs for each that is needed, before a disturbed one is taken")
	flags.StringVar(&o.out, "out", "", "keep the samples in this file, for compare")
	flags.StringVar(&o.profiles, "pprof", "", "keep a CPU profile of the agent of each row's first run in this folder")
	flags.StringVar(&o.wadi, "wadi", "", "the wadi binary; without, it is built")
	flags.StringVar(&o.target, "target", "", "a broker that runs at HOST:PORT, as one more system")
	var pids []string
	flags.Var(list{&pids}, "pid", "its processes, with commas")
	keep := flags.Int64("keep", 512, "MiB of segments that the fake S3 keeps")
	if err = flags.Parse(arguments); err != nil {
		return o, err
	}
	o.touch, o.warm, o.keep, o.arguments = int64(*touch*(1<<30)), int64(*warm*(1<<30)), *keep<<20, flags.Args()
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return o, fmt.Errorf("-pid %q: %w", text, err)
		}
		o.pids = append(o.pids, pid)
	}
	if len(o.rows) == 1 && o.rows[0] == "all" {
		o.rows = nil
		for _, r := range workload.Rows() {
			o.rows = append(o.rows, r.Name)
		}
	}
	if o.quick {
		o.pairs, o.triesMax = 1, 1
		if o.window == 0 {
			o.window = quickWindow
		}
	}
	if o.pairs < 1 {
		return o, errors.New("-pairs: at least one")
	}
	if (o.target == "") != (len(o.pids) == 0) {
		return o, errors.New("-target and -pid go together")
	}
	return o, nil
}

// quickWindow is that of a coarse run.
const quickWindow = 2 * time.Second

func runCommand(ctx context.Context, arguments []string) error {
	o, err := parseRun(arguments)
	if err != nil {
		return err
	}
	save := func([]workload.Sample) error { return nil }
	if o.out != "" {
		save = func(samples []workload.Sample) error { return writeSamples(o.out, samples, arguments) }
	}
	samples, err := measureAll(ctx, o, save)
	if len(samples) > 0 {
		// What was measured is told whatever failed beside it.
		printSamples(os.Stdout, samples, o.foreignMax)
		printTargets(os.Stdout, samples)
	}
	return err
}

// measureAll measures all rows on all systems. It has all samples saved after each, so that who is
// interrupted loses none, and goes on where a row fails.
func measureAll(ctx context.Context, o options, save func([]workload.Sample) error) (samples []workload.Sample, err error) {
	folder, err := os.MkdirTemp("", "wadi-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	if o.wadi == "" {
		o.wadi = filepath.Join(folder, "wadi")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.wadi, "./cmd/wadi")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build wadi (in the repository's folder?): %w\n%s", err, out)
		}
	}
	if o.wadi, err = filepath.Abs(o.wadi); err != nil {
		return nil, err
	}
	if o.jars, err = filepath.Abs(o.jars); err != nil { // nodes run in folders of their own
		return nil, err
	}
	m := &meter{options: o, save: save, start: func(name string) (*workload.System, error) {
		return workload.Start(ctx, name, workload.Options{Wadi: o.wadi, Folder: folder, Jars: o.jars, KeepBytes: o.keep, Arguments: o.arguments})
	}}
	defer m.close()
	for _, name := range o.systems {
		if err := m.add(ctx, name); err != nil {
			return nil, err
		}
	}
	if o.target != "" {
		m.systems = append(m.systems, workload.Running(o.target, o.pids))
	}
	for _, name := range o.rows {
		row, unknown := workload.RowOf(name)
		if unknown != nil {
			return m.samples, errors.Join(err, unknown)
		}
		if o.quick {
			row.Warm = time.Second
		}
		if o.window > 0 {
			row.Window = o.window
		}
		if failed := m.row(ctx, row); failed != nil {
			fmt.Fprintln(os.Stderr, failed)
			err = errors.Join(err, failed)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return m.samples, err
}

// meter runs rows in pairs.
type meter struct {
	options
	save    func([]workload.Sample) error
	start   func(name string) (*workload.System, error)
	systems []*workload.System
	runner  workload.Runner
	samples []workload.Sample
}

func (m *meter) add(ctx context.Context, name string) error {
	s, err := m.start(name)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	m.systems = append(m.systems, s)
	fmt.Fprintf(os.Stderr, "%s is warmed up\n", s.Name)
	if err := m.runner.WarmUp(ctx, s, m.warm); err != nil {
		return fmt.Errorf("warm up %s: %w", name, err)
	}
	return nil
}

func (m *meter) close() {
	for _, s := range m.systems {
		s.Close()
	}
}

// on are the systems that a row runs on. The floor has no tail; without a bucket there are no latencies.
func (m *meter) on(row workload.Row) (on []*workload.System) {
	for _, s := range m.systems {
		switch {
		case s.Floor && (row.Readers > 0 && !row.Reread || row.Franz || row.Kind != workload.Load):
		case s.Bucket == nil && (row.Profile != "zero" || row.Kind != workload.Load):
		case s.Hedged != row.Hedged:
		default:
			on = append(on, s)
		}
	}
	return on
}

// row measures a row on the systems in pairs.
func (m *meter) row(ctx context.Context, row workload.Row) error {
	if row.Hedged && len(m.on(row)) == 0 && slices.Contains(m.options.systems, "wadi") {
		if err := m.add(ctx, "wadi-hedged"); err != nil {
			return err
		}
	}
	on := m.on(row)
	fmt.Fprintf(os.Stderr, "%s: %s\n", row.Name, row.Title)
	for i, which := range measure.Order(len(on), m.pairs) {
		s, of := on[which], row
		if row.HalfOf != "" {
			full, measured := results{groups(m.samples)}.median(row.HalfOf, s.Name, mibPerSecond)
			if !measured {
				return fmt.Errorf("%s needs %s before it", row.Name, row.HalfOf)
			}
			of.Rate = full * (1 << 20) / 2 / float64(row.Shape.RequestBytes())
		}
		sample, err := m.one(ctx, of, s, i < len(on))
		if err != nil {
			return fmt.Errorf("%s on %s: %w", row.Name, s.Name, err)
		}
		m.samples = append(m.samples, sample)
		if err := m.save(m.samples); err != nil {
			return err
		}
	}
	return nil
}

// one runs a row once more on a system, again if others disturbed it.
func (m *meter) one(ctx context.Context, row workload.Row, s *workload.System, first bool) (sample workload.Sample, err error) {
	for try := range m.triesMax {
		if _, err := measure.AwaitQuiet(ctx, m.foreignMax, m.gate); err != nil {
			return sample, err
		}
		touched, perGiB, err := measure.Touch(m.touch)
		if err != nil {
			return sample, err
		}
		var during func(context.Context)
		if first && m.profiles != "" && s.HTTP != "" {
			during = func(ctx context.Context) {
				if err := saveProfile(ctx, s.HTTP, filepath.Join(m.profiles, row.Name+".pprof"), row.Window); err != nil {
					fmt.Fprintln(os.Stderr, "  no profile:", err)
				}
			}
		}
		if sample, err = m.runner.Run(ctx, s, row, during); err != nil {
			return sample, err
		}
		disturbed := sample.Foreign > m.foreignMax
		fmt.Fprintf(os.Stderr, "  %-8s %s  (others had %.0f %%; touched %.1f GiB at %.2f s/GiB)", s.Name, figures(sample), 100*sample.Foreign, workload.GiB(touched), perGiB.Seconds())
		if !disturbed {
			fmt.Fprintln(os.Stderr)
			return sample, nil
		}
		if try < m.triesMax-1 {
			fmt.Fprintln(os.Stderr, " thrown away")
		}
	}
	fmt.Fprintln(os.Stderr, " taken although disturbed")
	return sample, nil
}
