package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progressEvery bounds how often a terminal is redrawn.
const progressEvery = 100 * time.Millisecond

// progress is a bar on a terminal, and nothing elsewhere.
type progress struct {
	w          io.Writer // nil: nobody watches
	bytesTotal int64     // 0: unknown
	began      time.Time
	drawn      time.Time
}

// newProgress watches where the standard error is a terminal and nobody types
// the input.
func newProgress(p *program, bytesTotal int64) *progress {
	bar := &progress{bytesTotal: bytesTotal, began: time.Now()}
	if p.terminal(p.stderr) && (bytesTotal > 0 || !p.terminal(p.stdin)) {
		bar.w = p.stderr
	}
	return bar
}

func (b *progress) at(bytes, records int64) {
	if b.w == nil || time.Since(b.drawn) < progressEvery {
		return
	}
	b.drawn = time.Now()
	rate := float64(records) / max(time.Since(b.began).Seconds(), 0.001)
	if b.bytesTotal > 0 {
		fmt.Fprintf(b.w, "\r\x1b[K%s %3d%%  %s, %s/s", barOf(bytes, b.bytesTotal, 30), 100*bytes/b.bytesTotal, plural(records, "record"), count(int64(rate+0.5)))
		return
	}
	fmt.Fprintf(b.w, "\r\x1b[K%s, %s, %s/s", plural(records, "record"), size(bytes), count(int64(rate+0.5)))
}

// finish clears the line for what comes after.
func (b *progress) finish() {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// barOf draws done of total in so many cells.
func barOf(done, total int64, cells int) string {
	full := cells
	if total > 0 {
		full = int(min(done, total) * int64(cells) / total)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full)
}
