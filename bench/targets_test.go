package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/bench/workload"
)

func TestTargets_AreOfRowsThatExist(t *testing.T) {
	seen := map[int]bool{}
	for _, target := range targets() {
		seen[target.number] = true
		if name, _, ok := strings.Cut(target.what, ","); ok && strings.HasPrefix(name, "W") && !strings.Contains(name, " ") && name != "W7" && name != "W8" {
			if _, err := workload.RowOf(name); err != nil {
				t.Error(err)
			}
		}
	}
	for n := 1; n <= 13; n++ {
		if !seen[n] {
			t.Errorf("there is no target %d", n)
		}
	}
}

func TestTargets_MetAndShort(t *testing.T) {
	samples := append(of("wadi", 0.9, 1.0), of("floor", 0.5)...)
	var text strings.Builder
	short := printTargets(&text, samples)
	for _, line := range []string{
		"target 1, W1, CPU beside floor + PUT: short 1.90 (goal ≤ 1.60)\n",
		"target 3, W1, throughput beside floor + PUT: met 1.00 (goal ≥ 0.70)\n",
		"target 10, W1, PUTs a GiB: met 0 (goal ≤ 136)\n",
		"target 12, start to the first record, ms beyond PUT + commit: not measured (goal ≤ 150)\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("%q is not in\n%s", line, text.String())
		}
	}
	if short != 1 {
		t.Errorf("%d are short", short)
	}
}

func TestPage_HasPlotsAndRows(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := writePage(file, kept{Commit: "c", Machine: "m", Commands: []string{"x"}, Samples: of("wadi", 1, 2)}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(page), "CPU-s/GiB **1.500** (1.000 … 2.000)") {
		t.Errorf("%v\n%s", err, page)
	}
	svg, err := os.ReadFile(filepath.Join(filepath.Dir(file), plotsFolder, "cpu.svg"))
	if err != nil || !strings.HasSuffix(string(svg), "</svg>\n") {
		t.Errorf("%v\n%s", err, svg)
	}
}
