package fleet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bounds of what up is asked for.
const (
	startMax = 5 * time.Minute // its servers may have to be fetched first
	orderMax = 3 * time.Minute
)

// Agent is one of the fleet, as up tells it.
type Agent struct{ Name, Zone, Kafka, HTTP, Log string }

// Fleet is a cluster of agents that run.
type Fleet struct {
	Agents []Agent
	t      testing.TB
	in     io.WriteCloser
	lines  chan []byte // of up's output
	log    logBuffer
	orders sync.Mutex // one at a time
}

// logBuffer is a log that one goroutine writes and others read.
type logBuffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.String()
}

// Start starts a fleet of agents of a binary, which ends with the test. repository is the
// folder of the main module; more are arguments of each agent.
func Start(t testing.TB, repository, binary string, more ...string) *Fleet {
	t.Helper()
	up := filepath.Join(t.TempDir(), "up")
	build := exec.Command("go", "build", "-o", up, "./bench/cluster/up")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build up: %v\n%s", err, out)
	}
	f := &Fleet{t: t, lines: make(chan []byte)}
	cmd := exec.Command(up, append([]string{"-json", "-wadi", binary, "-bucket", "folder", "-kafka", "0", "-http", "0", "--"}, more...)...)
	cmd.Stderr = &f.log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.in = in
	go f.follow(out)
	t.Cleanup(func() {
		f.checkLogs()
		in.Close() // It ends all that it started, then itself.
		for range f.lines {
			continue
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the cluster: %v\n%s", err, &f.log)
		}
	})
	text, err := f.line(startMax)
	if err != nil {
		t.Fatalf("the cluster is not up: %v\n%s", err, &f.log)
	}
	if err := json.Unmarshal(text, &f.Agents); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return f
}

// follow hands on up's lines, until it ends.
func (f *Fleet) follow(out io.Reader) {
	defer close(f.lines)
	for lines := bufio.NewReader(out); ; {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		f.lines <- text
	}
}

func (f *Fleet) line(patience time.Duration) ([]byte, error) {
	select {
	case text, open := <-f.lines:
		if !open {
			return nil, io.ErrUnexpectedEOF
		}
		return text, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("nothing within %v", patience)
	}
}

// Bootstrap is where clients find the fleet.
func (f *Fleet) Bootstrap() string {
	var all []string
	for _, a := range f.Agents {
		all = append(all, a.Kafka)
	}
	return strings.Join(all, ",")
}

// order has up do something with an agent.
func (f *Fleet) order(verb, agent string) error {
	f.orders.Lock()
	defer f.orders.Unlock()
	if _, err := fmt.Fprintf(f.in, "%s %s\n", verb, agent); err != nil {
		return err
	}
	text, err := f.line(orderMax)
	if err != nil {
		return err
	}
	var answer struct{ Error string }
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return fmt.Errorf("%s %s: %s", verb, agent, answer.Error)
	}
	return nil
}

// checkLogs fails the test if an agent tells of a bug, and shows its log if it has failed.
func (f *Fleet) checkLogs() {
	for _, a := range f.Agents {
		log, err := os.ReadFile(a.Log)
		if err != nil {
			f.t.Error(err)
		}
		for _, bug := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", `"level":"ERROR"`} {
			if bytes.Contains(log, []byte(bug)) {
				f.t.Errorf("the log of %s has %q", a.Name, bug)
			}
		}
		if f.t.Failed() {
			f.t.Logf("%s in zone %s, %s:\n%s", a.Name, a.Zone, a.Kafka, log[max(0, len(log)-logTailBytesMax):])
		}
	}
}

// logTailBytesMax bounds what is shown of a log.
const logTailBytesMax = 8 << 10
