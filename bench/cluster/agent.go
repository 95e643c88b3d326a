package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Agent is one agent process and the links around it. Its methods may be called
// from several goroutines.
type Agent struct {
	Name     string
	Zone     string
	Kafka    string    // where clients come to
	HTTP     string    // metrics and health
	Clients  *Link     // clients to the agent; nil without links
	Peers    *Link     // other agents to the agent; nil without links
	Database *Link     // the agent to Postgres; nil without links
	Storage  *Link     // the agent to the bucket; nil without links
	Requests *Requests // behind Storage: requests to the bucket

	program, folder, listen, peer, peerAdvertised, metastore, bucket string
	more                                                             []string
	keys                                                             map[string]string

	mu struct {
		sync.Mutex
		command *exec.Cmd     // nil: not running
		ended   chan struct{} // closed when it has been waited for
		starts  int
	}
}

// LogFile is where the agent's lives write their logs, one after the other.
func (a *Agent) LogFile() string { return filepath.Join(a.folder, a.Name+".log") }

// Start starts the process unless it runs.
func (a *Agent) Start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.command != nil {
		return nil
	}
	log, err := os.OpenFile(a.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // The process has it.
	cmd := exec.Command(a.program, slices.Concat([]string{"agent", "--zone", a.Zone, "--kafka", a.listen, "--advertised", a.Kafka,
		"--http", a.HTTP, "--peer", a.peer, "--peer-advertised", a.peerAdvertised, "--metastore", a.metastore, "--bucket", a.bucket}, a.more)...)
	cmd.Dir = a.folder
	cmd.Stdout, cmd.Stderr = log, log
	for _, variable := range os.Environ() {
		name, _, _ := bytes.Cut([]byte(variable), []byte{'='})
		if _, ours := a.keys[string(name)]; !ours {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	for name, value := range a.keys {
		if value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	// A group of its own: an interrupt from the keyboard reaches only us, who stop it.
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", a.Name, err)
	}
	ended := make(chan struct{})
	a.mu.command, a.mu.ended = cmd, ended
	a.mu.starts++
	go func() {
		cmd.Wait() // its log says why it ended
		a.mu.Lock()
		a.mu.command = nil
		a.mu.Unlock()
		close(ended)
	}()
	return nil
}

// signal signals the process if it runs, and returns what is closed at its end.
func (a *Agent) signal(s syscall.Signal) (ended <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.command == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	a.mu.command.Process.Signal(s) // An error is its end, which ended tells.
	return a.mu.ended
}

// Kill ends the process as kill -9 does, and waits for it.
func (a *Agent) Kill() { <-a.signal(syscall.SIGKILL) }

// Stop asks the process to end, and waits for it; after patience it is killed.
func (a *Agent) Stop(patience time.Duration) (inTime bool) {
	select {
	case <-a.signal(syscall.SIGTERM):
		return true
	case <-time.After(patience):
		a.Kill()
		return false
	}
}

// Pause stops the process in its tracks; Resume lets it go on.
func (a *Agent) Pause() { a.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (a *Agent) Resume() { a.signal(syscall.SIGCONT) }

// Running tells whether the process lives, and how often it was started.
func (a *Agent) Running() (running bool, starts int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.command != nil, a.mu.starts
}

// PID is the process's number, 0 when it doesn't run.
func (a *Agent) PID() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.command == nil {
		return 0
	}
	return a.mu.command.Process.Pid
}

// AwaitReady waits until the agent says that it serves clients.
func (a *Agent) AwaitReady(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := a.ready(ctx)
		if err == nil {
			return nil
		}
		if running, _ := a.Running(); !running {
			return fmt.Errorf("%s has ended:\n%s", a.Name, a.LogTail())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", a.Name, err, a.LogTail())
		case <-tick.C:
		}
	}
}

func (a *Agent) ready(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ask, http.MethodGet, "http://"+a.HTTP+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// logTailBytesMax bounds what LogTail returns.
const logTailBytesMax = 4 << 10

// LogTail is the end of the agent's log.
func (a *Agent) LogTail() string {
	b, err := os.ReadFile(a.LogFile())
	if err != nil {
		return err.Error()
	}
	if len(b) > logTailBytesMax {
		b = b[len(b)-logTailBytesMax:]
		_, b, _ = bytes.Cut(b, []byte{'\n'})
	}
	return string(b)
}
