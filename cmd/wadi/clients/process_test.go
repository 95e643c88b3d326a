package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds what should take a moment, on a machine that has much to do.
const patience = time.Minute

// binaryVariable names the built binary to this package's tests.
const binaryVariable = "WADI_TEST_BINARY"

var buildFlag = flag.String("build", "", "build wadi with `ARGUMENTS` more, such as -race")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

// buildAndRun builds wadi from the main module into a temporary folder.
func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "wadi-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary := filepath.Join(folder, "wadi")
	build := exec.Command("go", slices.Concat([]string{"build", "-o", binary}, strings.Fields(*buildFlag), []string{"./cmd/wadi"})...)
	build.Dir = filepath.Join("..", "..", "..")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build wadi:", err)
		return 1
	}
	os.Setenv(binaryVariable, binary)
	return m.Run()
}

// process is the wadi binary, running.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	log *lockedBuffer
	// mayLogErrors is for a test that makes trouble which an operator must be told of.
	mayLogErrors bool
	ready        chan string   // the Kafka address, from the log's "ready"
	ended        chan struct{} // closed once the process is gone
	code         int           // valid then
}

// lockedBuffer is a log that one goroutine writes and others read.
type lockedBuffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.String()
}

// start runs wadi. It is gone when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{
		t: t, cmd: exec.Command(os.Getenv(binaryVariable), args...), log: &lockedBuffer{},
		ready: make(chan string, 1), ended: make(chan struct{}),
	}
	p.cmd.Dir = t.TempDir()
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
		p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		for _, bug := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", `"level":"ERROR"`} {
			if strings.Contains(p.log.String(), bug) && !(bug[0] == '"' && p.mayLogErrors) {
				t.Errorf("wadi's log has %q", bug)
			}
		}
		if t.Failed() {
			t.Logf("wadi %v:\n%s", args, tail(p.log.String(), 8000))
		}
	})
	return p
}

// follow keeps the log and looks for the line that says ready.
func (p *process) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.log.Write(append(lines.Bytes(), '\n'))
		var line struct{ Msg, Kafka string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			p.ready <- line.Kafka
		}
	}
}

// startDev starts `wadi dev` on a folder and returns its address once it is ready.
func startDev(t *testing.T, dir, kafka string, more ...string) (*process, string) {
	t.Helper()
	p := start(t, append([]string{"dev", "--dir", dir, "--kafka", kafka, "--http", ""}, more...)...)
	return p, p.awaitReady()
}

// awaitReady returns the process's Kafka address once it serves clients.
func (p *process) awaitReady() string {
	p.t.Helper()
	select {
	case address := <-p.ready:
		return address
	case <-p.ended:
		p.t.Fatalf("wadi ended with code %d", p.code)
	case <-time.After(patience):
		p.t.Fatal("wadi is not ready")
	}
	return ""
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the process's end and returns its code.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("wadi does not end")
	}
	return p.code
}

// kill is kill -9.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	if code := p.end(); code != -1 {
		p.t.Fatalf("wadi ended with code %d before it was killed", code)
	}
}

// freeAddress is one that a process may come back to: below the ports that the
// system gives to outgoing connections, which a client of the dead process might
// take meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		if err != nil {
			continue
		}
		defer l.Close()
		return l.Addr().String()
	}
	t.Fatal("no free port")
	return ""
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// metric is the sum of a process's metric over its labels. It begins at 0, before it is there.
func metric(t *testing.T, address, name string) (sum float64) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if family, _, _ := strings.Cut(lines.Text(), "{"); family != name && !strings.HasPrefix(lines.Text(), name+" ") {
			continue
		}
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return sum
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
