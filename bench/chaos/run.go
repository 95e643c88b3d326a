package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wadi-io/wadi/bench/cluster"
)

// run is one run's state.
type run struct {
	settings
	cluster   *cluster.Cluster
	since     time.Time
	faultLog  *os.File
	workloads []*workload

	mu struct {
		sync.Mutex
		findings []string
		vitals   map[string]*vitals // by agent
	}
}

// found notes something that no run may show.
func (r *run) found(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	r.note("FOUND: %s", text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.findings = append(r.mu.findings, text)
}

func (r *run) findings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.findings
}

// note prints a line and writes it to the log of faults.
func (r *run) note(format string, arguments ...any) {
	line := fmt.Sprintf("%8.3f %s", time.Since(r.since).Seconds(), fmt.Sprintf(format, arguments...))
	fmt.Println(line)
	fmt.Fprintln(r.faultLog, line)
}

// historyFile is one of the histories of a run.
func (r *run) historyFile(name string) string { return r.folder + "/" + name + ".history" }

// readLogs looks for what an agent's log must not hold.
func (r *run) readLogs() {
	for _, a := range r.cluster.Agents {
		b, err := os.ReadFile(a.LogFile())
		if err != nil {
			r.found("%v", err)
			continue
		}
		told := 0
		for line := range strings.Lines(string(b)) {
			for _, bug := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", "a request's handler panicked", `"level":"ERROR"`} {
				if strings.Contains(line, bug) && !expected(line) {
					if told++; told <= 3 {
						r.found("%s logged: %.400s", a.Name, strings.TrimSpace(line))
					}
				}
			}
		}
	}
}

// expected are errors that an operator must be told of under these faults.
func expected(line string) bool {
	return strings.Contains(line, "a segment could not be uploaded")
}
