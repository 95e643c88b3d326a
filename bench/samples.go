package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/workload"
)

// kept is a file of samples.
type kept struct {
	Commit, Machine string
	Commands        []string
	When            time.Time
	Samples         []workload.Sample
}

func writeSamples(file string, samples []workload.Sample, arguments []string) error {
	k := kept{Commands: []string{"go run ./bench run " + strings.Join(told(arguments), " ")}, Commit: commit(), Machine: machine(), When: time.Now().UTC(), Samples: samples}
	content, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

// told are the arguments without those that say where something is on this machine.
func told(arguments []string) (rest []string) {
	for i := 0; i < len(arguments); i++ {
		name, _, whole := strings.Cut(strings.TrimLeft(arguments[i], "-"), "=")
		switch {
		case arguments[i] == "--":
			return append(rest, arguments[i:]...)
		case !strings.HasPrefix(arguments[i], "-") || !slices.Contains([]string{"wadi", "out", "pprof", "jars"}, name):
			rest = append(rest, arguments[i])
		case !whole:
			i++ // its value
		}
	}
	return rest
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

func readSamples(file string) (k kept, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(content, &k); err != nil {
		return k, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}
