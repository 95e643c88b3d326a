package buckettest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds a server's start on a busy machine.
	startTimeout = 60 * time.Second
	// logBytesMax bounds what is told of a server's log.
	logBytesMax = 4 << 10
)

// watch runs "$@" and ends it when standard input ends, be it by the test's end or
// because the tests died.
const watch = `exec 3<&0
"$@" </dev/null & server=$!
(read -r _ <&3; kill -9 $server 2>/dev/null) & watcher=$!
wait $server; code=$?
kill $watcher 2>/dev/null
exit $code`

// launch runs a server in dir until stop is called, and returns the line of its
// log that contains ready.
func launch(dir, ready string, env []string, name string, args ...string) (line string, stop func(), err error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", watch, "sh", name}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // An interrupt reaches the tests only.
	out, in, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	cmd.Stdout, cmd.Stderr = in, in
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	err = cmd.Start()
	in.Close()
	if err != nil {
		return "", nil, fmt.Errorf("start %s: %w", name, err)
	}
	lines, followed := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(followed)
		follow(out, ready, lines)
	}()
	stop = func() {
		stdin.Close()
		cmd.Wait()
		out.Close() // Children that outlive it may hold the other end.
		<-followed
	}
	select {
	case line, ok := <-lines:
		if !ok || !strings.Contains(line, ready) {
			stop()
			return "", nil, fmt.Errorf("%s ended at once:\n%s", name, line)
		}
		return line, stop, nil
	case <-time.After(startTimeout):
		stop()
		return "", nil, fmt.Errorf("%s didn't start within %v", name, startTimeout)
	}
}

// follow reads a log to its end. It sends the first line with ready, or all of a log without one.
func follow(out io.Reader, ready string, lines chan<- string) {
	defer close(lines)
	var log strings.Builder
	r := bufio.NewReader(out)
	for sent := false; ; {
		line, err := r.ReadString('\n')
		if !sent && strings.Contains(line, ready) {
			lines <- line
			sent = true
		}
		if !sent && log.Len() < logBytesMax {
			log.WriteString(line)
		}
		if err != nil {
			if !sent {
				lines <- log.String()
			}
			return
		}
	}
}

// findAddress is an address that nothing listens at; another program may be faster.
func findAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// after cuts what stands between begin and the next space in a line.
func after(line, begin string) (string, error) {
	_, rest, ok := strings.Cut(line, begin)
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return "", fmt.Errorf("no %q in %q", begin, line)
	}
	return strings.Trim(fields[0], `"`), nil
}
