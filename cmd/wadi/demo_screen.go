package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	screenEvery    = 150 * time.Millisecond // a terminal's picture
	plainLineEvery = time.Second            // a line where nobody watches
	screenColumns  = 78
)

// demoState is what the demo shows, written by its stages.
type demoState struct {
	began time.Time
	total int64

	mu struct {
		sync.Mutex
		acknowledged int64
		read         int64
		segments     int64
		bytes        int64
		newest       string             // key of the newest segment
		latency      time.Duration      // of a recent record, from sent to acknowledged
		ends         map[string][]int64 // by topic: each partition's next offset
		last         map[string]string  // by topic: a record that was just read
	}
}

func newDemoState(sets []dataset) *demoState {
	s := &demoState{began: time.Now()}
	s.mu.ends, s.mu.last = map[string][]int64{}, map[string]string{}
	for _, set := range sets {
		s.total += int64(len(set.records))
		s.mu.ends[set.topic] = make([]int64, set.partitions)
	}
	return s
}

func (s *demoState) acknowledge(topic string, partition int32, offset int64, latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.acknowledged++
	s.mu.latency = latency
	s.mu.ends[topic][partition] = max(s.mu.ends[topic][partition], offset+1)
}

func (s *demoState) reads(topic string, partition int32, offset int64, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.read++
	s.mu.last[topic] = fmt.Sprintf("%s/%d @ %d  %s", topic, partition, offset, value)
}

func (s *demoState) bucket(segments, bytes int64, newest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.segments, s.mu.bytes, s.mu.newest = segments, bytes, newest
}

// line is the state in one line, for where nobody watches.
func (s *demoState) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%4.1fs  %s of %s records in, %s read, %s in the bucket (%s)", time.Since(s.began).Seconds(),
		count(s.mu.acknowledged), count(s.total), count(s.mu.read), plural(s.mu.segments, "segment"), size(s.mu.bytes))
}

// picture is the state as lines of at most screenColumns.
func (s *demoState) picture(sets []dataset) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := float64(s.mu.acknowledged) / max(time.Since(s.began).Seconds(), 0.001)
	lines := []string{
		fmt.Sprintf("  records in   %s  %s of %s, %s/s", barOf(s.mu.acknowledged, s.total, 24), count(s.mu.acknowledged), count(s.total), count(int64(rate))),
		fmt.Sprintf("  reader       %s  %s read, %s behind", barOf(s.mu.read, s.total, 24), count(s.mu.read), count(max(s.mu.acknowledged-s.mu.read, 0))),
		fmt.Sprintf("  bucket       %s, %s, newest %s", plural(s.mu.segments, "segment"), size(s.mu.bytes), s.mu.newest),
		fmt.Sprintf("  durable in   %s, from sent to acknowledged: in the bucket, in order", s.mu.latency.Round(100*time.Microsecond)),
		"",
	}
	for _, set := range sets {
		var ends []string
		for partition, end := range s.mu.ends[set.topic] {
			ends = append(ends, fmt.Sprintf("%d:%d", partition, end))
		}
		lines = append(lines, fmt.Sprintf("  %-14s next offsets  %s", set.topic, strings.Join(ends, "  ")))
	}
	lines = append(lines, "")
	for _, set := range sets {
		lines = append(lines, "  "+s.mu.last[set.topic])
	}
	for i, line := range lines {
		if r := []rune(line); len(r) > screenColumns {
			lines[i] = string(r[:screenColumns-1]) + "…"
		}
	}
	return lines
}

// screen draws the state: a picture in place on a terminal, else plain lines.
type screen struct {
	w      io.Writer
	live   bool
	sets   []dataset
	height int // lines of the picture that stands on the terminal
}

func (s *screen) every() time.Duration {
	if s.live {
		return screenEvery
	}
	return plainLineEvery
}

func (s *screen) draw(state *demoState) {
	if !s.live {
		fmt.Fprintln(s.w, state.line())
		return
	}
	lines := state.picture(s.sets)
	text := "\x1b[?7l" // a narrow terminal cuts lines instead of wrapping them
	if s.height > 0 {
		text += fmt.Sprintf("\x1b[%dA", s.height)
	}
	for _, line := range lines {
		text += "\x1b[2K" + line + "\n"
	}
	s.height = len(lines)
	fmt.Fprint(s.w, text+"\x1b[?7h")
}
