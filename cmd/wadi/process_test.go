package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// patience bounds what should take a moment, on a machine that has much to do.
const patience = time.Minute

// asProgram makes this test binary behave as wadi itself, so that tests have a
// real process to signal and to kill.
const asProgram = "WADI_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is wadi in a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *buffer
	ready  chan string   // the address in the log's "ready"
	ended  chan struct{} // closed once the process is gone
	code   int           // valid then
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startOn(t, nil, args...)
}

// startOn is start with a standard input, which it closes in this process.
func startOn(t *testing.T, stdin *os.File, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), stderr: &buffer{}, ready: make(chan string, 1), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	if stdin != nil {
		p.cmd.Stdin = stdin
		defer stdin.Close()
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.follow(log)
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.stderr.Write([]byte(err.Error()))
		}
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("wadi %v:\n%s", args, p.stderr)
		}
	})
	return p
}

// follow keeps the log and looks for the line that says ready.
func (p *process) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.stderr.Write(append(lines.Bytes(), '\n'))
		var line struct{ Msg, Kafka string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			p.ready <- line.Kafka
		}
	}
}

// startDev starts an agent on a folder and returns its Kafka address once it is ready.
func startDev(t *testing.T, dir, kafka string, more ...string) (*process, string) {
	t.Helper()
	p := start(t, append([]string{"dev", "--dir", dir, "--kafka", kafka, "--http", ""}, more...)...)
	select {
	case address := <-p.ready:
		return p, address
	case <-p.ended:
		t.Fatalf("the agent ended with code %d: %s", p.code, p.stderr)
	case <-time.After(patience):
		t.Fatalf("the agent is not ready: %s", p.stderr)
	}
	return nil, ""
}

// end waits for the process's end and returns its code.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.code
	case <-time.After(patience):
		p.t.Fatalf("the process does not end: %s", p.stderr)
		return -1
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}
