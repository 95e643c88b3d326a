package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
)

// buffer is a stream that a command writes while the test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// result is what one command line did.
type result struct {
	code           int
	stdout, stderr string
}

// invocation is a command line and its surroundings.
type invocation struct {
	stdin     string
	variables map[string]string
	terminal  bool
}

func (i invocation) run(ctx context.Context, args ...string) result {
	stdout, stderr := &buffer{}, &buffer{}
	p := &program{
		stdin: strings.NewReader(i.stdin), stdout: stdout, stderr: stderr,
		env:      func(name string) (string, bool) { v, ok := i.variables[name]; return v, ok },
		terminal: func(stream any) bool { _, isInput := stream.(io.Reader); return i.terminal && !isInput },
	}
	code := p.run(ctx, append([]string{"wadi"}, args...))
	return result{code, stdout.String(), stderr.String()}
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	return invocation{}.run(t.Context(), args...)
}

func (r result) want(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, stdout) || !strings.Contains(r.stderr, stderr) {
		t.Fatalf("code %d, stdout %q, stderr %q; want %d, %q and %q in them", r.code, r.stdout, r.stderr, code, stdout, stderr)
	}
}
