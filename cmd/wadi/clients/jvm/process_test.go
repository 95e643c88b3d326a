//go:build jvm

package jvm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds what should take seconds, on a machine that has much to do.
const patience = 2 * time.Minute

// process is a program that runs; it is gone when the test ends.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   *lockedBuffer
}

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

func (b *lockedBuffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.mu.String()
	return text[max(0, len(text)-6000):]
}

func start(t *testing.T, name, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{}), log: &lockedBuffer{}}
	p.cmd.Dir = t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.log.tail())
		}
	})
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// java runs a class or source file with the jars.
func java(t *testing.T, name string, args ...string) *process {
	t.Helper()
	jars := os.Getenv("WADI_JVM_JARS")
	if jars == "" {
		t.Fatal("WADI_JVM_JARS names no folder: run make clients-jvm")
	}
	return start(t, name, "java", append([]string{
		"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars + "/*",
	}, args...)...)
}

// wadi runs `wadi dev` on a folder and waits until its port is open.
func wadi(t *testing.T, folder, address string, flags ...string) *process {
	t.Helper()
	p := start(t, "wadi", os.Getenv("WADI_TEST_BINARY"), append([]string{"dev", "--dir", folder, "--kafka", address, "--http", ""}, flags...)...)
	eventually(t, "wadi serves", func() bool {
		select {
		case <-p.ended:
			t.Fatal("wadi ended")
		default:
		}
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

// freeAddress is below the ports that the system gives to outgoing connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
