package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/measure"
	"github.com/wadi-io/wadi/bench/workload"
)

// options are what run is told.
type options struct {
	rows, systems []string
	pairs         int
	window        time.Duration
	foreignMax    float64
	gate          time.Duration
	touch         int64
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
	flags.Var(list{&o.rows}, "rows", "the workloads, with commas")
	flags.Var(list{&o.systems}, "systems", "floor, wadi, with commas, in the order in which each pair begins")
	flags.IntVar(&o.pairs, "pairs", 5, "how often each system is measured twice")
	flags.DurationVar(&o.window, "window", 0, "of a run; 0: as the row says")
	flags.Float64Var(&o.foreignMax, "foreign", 0.10, "a run is thrown away when others had more than this share of the machine; on a shared machine say more, and print it with the figures")
	flags.DurationVar(&o.gate, "gate", 20*time.Second, "wait at most so long for a quiet machine before a run")
	touch := flags.Float64("touch", 4, "GiB of memory to touch before each run, at most half of what is free")
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
	o.touch, o.keep, o.arguments = int64(*touch*(1<<30)), *keep<<20, flags.Args()
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return o, fmt.Errorf("-pid %q: %w", text, err)
		}
		o.pids = append(o.pids, pid)
	}
	if o.pairs < 1 {
		return o, errors.New("-pairs: at least one")
	}
	if (o.target == "") != (len(o.pids) == 0) {
		return o, errors.New("-target and -pid go together")
	}
	return o, nil
}

func runCommand(ctx context.Context, arguments []string) error {
	o, err := parseRun(arguments)
	if err != nil {
		return err
	}
	samples, err := measureAll(ctx, o)
	if err != nil {
		return err
	}
	printSamples(os.Stdout, samples, o.foreignMax)
	if o.out == "" {
		return nil
	}
	return writeSamples(o.out, samples)
}

// measureAll measures all rows on all systems.
func measureAll(ctx context.Context, o options) (samples []workload.Sample, err error) {
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
	var systems []*workload.System
	defer func() {
		for _, s := range systems {
			s.Close()
		}
	}()
	for _, name := range o.systems {
		s, err := workload.Start(ctx, name, workload.Options{Wadi: o.wadi, Folder: folder, KeepBytes: o.keep, Arguments: o.arguments})
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		systems = append(systems, s)
	}
	if o.target != "" {
		systems = append(systems, workload.Running(o.target, o.pids))
	}
	m := &meter{options: o}
	for _, name := range o.rows {
		row, err := workload.RowOf(name)
		if err != nil {
			return nil, err
		}
		if o.window > 0 {
			row.Window = o.window
		}
		of, err := m.row(ctx, row, systems)
		samples = append(samples, of...)
		if err != nil {
			return samples, err
		}
	}
	return samples, nil
}

// meter runs rows in pairs.
type meter struct {
	options
	runner workload.Runner
}

func (m *meter) row(ctx context.Context, row workload.Row, systems []*workload.System) (samples []workload.Sample, err error) {
	var on []*workload.System
	for _, s := range systems {
		if !s.Floor || row.Readers == 0 || row.Reread {
			on = append(on, s)
		}
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", row.Name, row.Title)
	for i, which := range measure.Order(len(on), m.pairs) {
		s, err := m.one(ctx, row, on[which], i < len(on))
		if err != nil {
			return samples, fmt.Errorf("%s on %s: %w", row.Name, on[which].Name, err)
		}
		samples = append(samples, s)
	}
	return samples, nil
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

// profileBytesMax bounds a profile.
const profileBytesMax = 64 << 20

// saveProfile keeps a CPU profile of an agent.
func saveProfile(ctx context.Context, address, file string, window time.Duration) error {
	seconds := max(1, int(window.Seconds()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, seconds), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, profileBytesMax))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o644)
}

// kept is a file of samples.
type kept struct {
	Commit, Machine string
	When            time.Time
	Samples         []workload.Sample
}

func writeSamples(file string, samples []workload.Sample) error {
	k := kept{Commit: commit(), Machine: machine(), When: time.Now().UTC(), Samples: samples}
	content, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

// commit is the checked out commit, with a mark if files differ from it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine says what it was measured on.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version())
}
