package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// entering is an agent that is not ready yet.
type entering struct {
	*Agent
	log  *lockedLog
	stop func() error
	done chan error
}

func startEntering(t *testing.T, change func(*Config)) *entering {
	t.Helper()
	cfg := Default()
	cfg.Kafka, cfg.Bucket, cfg.Metastore = "127.0.0.1:0", "mem://", "memory://"
	e := &entering{log: &lockedLog{}, done: make(chan error, 1)}
	cfg.Log = slog.New(slog.NewTextHandler(e.log, nil))
	change(&cfg)
	var err error
	if e.Agent, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { e.done <- e.Run(ctx) }()
	e.stop = sync.OnceValue(func() error { cancel(); return <-e.done })
	t.Cleanup(func() { e.stop() })
	return e
}

// awaitTold waits for a line of the log, and returns how often the words stand there.
func (e *entering) awaitTold(t *testing.T, words string) int {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if n := strings.Count(e.log.String(), words); n > 0 {
			return n
		}
	}
	t.Fatalf("the log never has %q:\n%s", words, e.log)
	return 0
}

const unreached = "metastore or bucket can't be reached; trying again"

// TestAgent_WaitsForPostgres: an agent may be started before its Postgres.
func TestAgent_WaitsForPostgres(t *testing.T) {
	real := postgresServer.Database(t)
	u, err := url.Parse(real)
	if err != nil {
		t.Fatal(err)
	}
	address, open := relay(t, u.Host)
	u.Host = address
	e := startEntering(t, func(c *Config) { c.Metastore = u.String() })
	e.awaitTold(t, unreached)
	if err := e.readiness(); err == nil || !strings.Contains(err.Error(), "connect to Postgres") {
		t.Errorf("it is ready: %v", err)
	}
	// A client is sent away after a moment, not left without an answer.
	conn, err := net.Dial("tcp", e.KafkaAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a client: %v", err)
	}
	open()
	select {
	case <-e.Ready():
	case err := <-e.done:
		e.done <- err
		t.Fatalf("it has ended: %v\n%s", err, e.log)
	case <-time.After(time.Minute):
		t.Fatalf("it is not ready:\n%s", e.log)
	}
	if err := e.readiness(); err != nil {
		t.Error(err)
	}
	if n := e.awaitTold(t, unreached); n != 1 {
		t.Errorf("told %d times:\n%s", n, e.log)
	}
	e.awaitTold(t, "metastore and bucket are reached")
	if err := e.stop(); err != nil {
		t.Error(err)
	}
}

// TestAgent_WaitsForTheBucket, and ends when it is told to.
func TestAgent_WaitsForTheBucket(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "key")
	}
	e := startEntering(t, func(c *Config) {
		c.Metastore = "sqlite://" + filepath.Join(t.TempDir(), "metastore.db")
		c.Bucket = "s3://wadi?region=us-east-1&s3ForcePathStyle=true&endpoint=http://127.0.0.1:1" // nobody listens there
	})
	e.awaitTold(t, unreached)
	if err := e.readiness(); err == nil || !strings.Contains(err.Error(), "read whose bucket it is") {
		t.Errorf("it is ready: %v", err)
	}
	if err := e.stop(); err != nil {
		t.Error(err)
	}
}

// TestAgent_EndsAtMistakes: what somebody has to put right ends it, with words.
func TestAgent_EndsAtMistakes(t *testing.T) {
	real := postgresServer.Database(t)
	u, err := url.Parse(real)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := *u
	nowhere.Path = "/nowhere"
	unsafe := *u
	unsafe.RawQuery += "&synchronous_commit=off"
	claimed := "file://" + t.TempDir()
	first := startEntering(t, func(c *Config) { c.Bucket, c.Metastore = claimed, real })
	select {
	case <-first.Ready():
	case err := <-first.done:
		first.done <- err
		t.Fatal(err)
	}
	for words, change := range map[string]func(*Config){
		`database "nowhere" does not exist`: func(c *Config) { c.Metastore = nowhere.String() },
		"synchronous_commit=off":            func(c *Config) { c.Metastore = unsafe.String() },
		"belongs to the cluster": func(c *Config) {
			c.Metastore, c.Bucket = "sqlite://"+filepath.Join(t.TempDir(), "metastore.db"), claimed
		},
	} {
		e := startEntering(t, change)
		select {
		case err := <-e.done:
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%v; want %q", err, words)
			}
			e.done <- nil
		case <-time.After(time.Minute):
			t.Errorf("%q: it has not ended:\n%s", words, e.log)
		}
	}
}

// relay takes connections at an address: those that come before open is called are closed,
// later ones are led on to another address, until the test ends.
func relay(t *testing.T, to string) (address string, open func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var isOpen atomic.Bool
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			if !isOpen.Load() {
				in.Close()
				continue
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			context.AfterFunc(ctx, func() { in.Close(); out.Close() })
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				all.Go(func() {
					io.Copy(way[0], way[1])
					way[0].Close()
				})
			}
		}
	})
	return l.Addr().String(), func() { isOpen.Store(true) }
}
