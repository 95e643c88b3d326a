package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/workload"
)

// plot is a figure of some rows as a picture.
type plot struct {
	file, title string
	figure      string // its name in figuresTable
	rows        []string
}

func plots() []plot {
	return []plot{
		{"cpu.svg", "CPU-seconds a GiB produced, less is better", "CPU-s/GiB", []string{"W1", "W1-lz4", "W2", "W9"}},
		{"read.svg", "CPU-seconds a GiB read from memory, less is better", "CPU-s/GiB read", []string{"W5-reread"}},
		{"small.svg", "µs of CPU for a small request, less is better", "µs/request", []string{"W3"}},
		{"latency.svg", "produce latency at 100 records/s, p50 in ms", "p50 ms", []string{"W7-zero", "W7-express", "W7-standard"}},
		{"tail.svg", "the same, p99 in ms", "p99 ms", []string{"W7-zero", "W7-express", "W7-standard", "W7-hedged"}},
	}
}

// plotsFolder is where the plots are, beside the page.
const plotsFolder = "results"

// writePage writes the results as Markdown, and its plots in a folder beside it.
func writePage(file string, k kept) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results\n\nWritten by `go run ./bench targets -page`; how it is measured, and how far to trust it, is in [README.md](README.md).\n\n")
	fmt.Fprintf(&b, "- machine: %s\n- commit: %s\n- time: %s\n", k.Machine, k.Commit, k.When.Format(time.RFC3339))
	for _, command := range k.Commands {
		fmt.Fprintf(&b, "- command: `%s`\n", command)
	}
	least, most := 1.0, 0.0
	for _, s := range k.Samples {
		if s.Seconds > 0 && s.Broker > 0 {
			least, most = min(least, s.Foreign), max(most, s.Foreign)
		}
	}
	fmt.Fprintf(&b, "- foreign CPU in the runs: %.0f to %.0f %% of the machine\n", 100*least, 100*most)
	var lines strings.Builder
	printTargets(&lines, k.Samples)
	fmt.Fprintf(&b, "\n## Targets\n\n```\n%s```\n\n## Plots\n", lines.String())
	folder := filepath.Join(filepath.Dir(file), plotsFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, p := range plots() {
		svg := p.draw(k.Samples)
		if svg == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, p.file), []byte(svg), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n![%s](%s/%s)\n", p.title, plotsFolder, p.file)
	}
	fmt.Fprintf(&b, "\n## Rows\n\nMedians, with the range in brackets.\n")
	last := ""
	for _, g := range groups(k.Samples) {
		if g.row != last {
			row, err := workload.RowOf(g.row)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "\n### %s: %s\n", g.row, row.Title)
			last = g.row
		}
		fmt.Fprintf(&b, "\n%s, %d runs: ", g.system, len(g.samples))
		var parts []string
		for _, f := range figuresTable() {
			if values := g.series(f); len(values) > 0 {
				least, most := values.Range()
				parts = append(parts, fmt.Sprintf("%s **%.*f** (%.*f … %.*f)", f.name, f.digits, values.Median(), f.digits, least, f.digits, most))
			}
		}
		fmt.Fprintf(&b, "%s\n", strings.Join(parts, ", "))
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// The measures of a plot, in pixels.
const (
	plotWidth, plotLeft, plotRight = 720, 190, 90
	barHeight, barGap, plotTop     = 18, 8, 34
)

// bar is a median with its range.
type bar struct {
	label             string
	least, most, mean float64
}

// draw is the picture, "" without samples.
func (p plot) draw(samples []workload.Sample) string {
	var bars []bar
	var top float64
	var digits int
	for _, row := range p.rows {
		for _, g := range groups(samples) {
			if g.row != row {
				continue
			}
			for _, f := range figuresTable() {
				values := g.series(f)
				if f.name != p.figure || len(values) == 0 {
					continue
				}
				least, most := values.Range()
				bars = append(bars, bar{row + " " + g.system, least, most, values.Median()})
				top, digits = max(top, most), f.digits
			}
		}
	}
	if len(bars) == 0 || top == 0 {
		return ""
	}
	height := plotTop + len(bars)*(barHeight+barGap) + barGap
	x := func(v float64) float64 { return plotLeft + v/top*(plotWidth-plotLeft-plotRight) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/><text x="8" y="20" font-size="14">%s</text>`+"\n", plotWidth, height, p.title)
	for i, bar := range bars {
		y := plotTop + i*(barHeight+barGap)
		middle := float64(y) + barHeight/2
		color := "#3b6ea5"
		if !strings.Contains(bar.label, "wadi") {
			color = "#a9a9a9"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%s</text>`, plotLeft-8, middle+4, bar.label)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, plotLeft, y, x(bar.mean)-plotLeft, barHeight, color)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="black"/>`, x(bar.least), x(bar.most), middle, middle)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.0f">%.*f</text>`+"\n", x(bar.most)+6, middle+4, digits, bar.mean)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
