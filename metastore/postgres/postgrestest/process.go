package postgrestest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// logLinesMax bounds what is kept of a server's log.
const logLinesMax = 60

// watch runs "$@" and sends it the signal in $0 when standard input ends, be it
// by stop or because the tests died; then it also removes the folder that it runs
// in, which the dead can't. It exits when the command does.
const watch = `exec 3<&0
"$@" </dev/null & server=$!
(read -r _ <&3; : >stopped; kill -$0 $server 2>/dev/null) & watcher=$!
wait $server; code=$?
kill $watcher 2>/dev/null
if [ -e stopped ]; then dir=$PWD; cd /; rm -rf "$dir"; fi
exit $code`

// process is a server that was started.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when its log has ended
	log   struct {
		sync.Mutex
		lines []string
	}
}

// account is whom servers run as: root's place is taken by nobody.
type account struct{ cred *syscall.Credential }

func newAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return account{}, fmt.Errorf("servers refuse to run as root: %w", err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("uid of nobody: %w", err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("gid of nobody: %w", err)
	}
	return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}}, nil
}

// folder makes a temporary folder that belongs to the account.
func (a account) folder() (string, error) {
	dir, err := os.MkdirTemp("", "wadi-postgrestest-")
	if err != nil {
		return "", err
	}
	return dir, a.own(dir)
}

func (a account) own(path string) error {
	if a.cred == nil {
		return nil
	}
	return os.Chown(path, int(a.cred.Uid), int(a.cred.Gid))
}

// command prepares a command that runs in dir as the account.
func (a account) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.cred}
	return cmd
}

// start runs a server and returns once a line of its log contains ready. stop
// names the signal that ends it.
func (a account) start(dir, stop, ready string, env []string, name string, args ...string) (*process, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &process{ended: make(chan struct{})}
	p.cmd = a.command(dir, "/bin/sh", append([]string{"-c", watch, stop, name}, args...)...)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = in, in
	// A group of its own: an interrupt from the keyboard reaches the tests, which then stop it.
	p.cmd.SysProcAttr.Setpgid = true
	p.stdin, err = p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	err = p.cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("start %s: %w", filepath.Base(name), err)
	}
	up := make(chan struct{})
	go p.follow(out, ready, up)
	select {
	case <-up:
		return p, nil
	case <-p.ended:
		p.stop()
		return nil, fmt.Errorf("%s ended at once:\n%s", filepath.Base(name), p.lastLines())
	}
}

func (p *process) follow(out *os.File, ready string, up chan struct{}) {
	defer close(p.ended)
	defer out.Close()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		p.log.Lock()
		p.log.lines = append(p.log.lines, line)
		if n := len(p.log.lines); n > logLinesMax {
			p.log.lines = p.log.lines[n-logLinesMax:]
		}
		p.log.Unlock()
		if up != nil && strings.Contains(line, ready) {
			close(up)
			up = nil
		}
	}
}

func (p *process) lastLines() string {
	p.log.Lock()
	defer p.log.Unlock()
	return strings.Join(p.log.lines, "\n")
}

// stop ends the server and waits for it.
func (p *process) stop() {
	p.stdin.Close()
	<-p.ended
	p.cmd.Wait() // its exit status says only which signal ended it
}
