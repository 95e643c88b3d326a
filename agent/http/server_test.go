package http

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func newServer(t *testing.T, cfg Config, ready func() error) *Server {
	t.Helper()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "wadi_things_total", Help: "Things."})
	counter.Add(3)
	registry.MustRegister(counter)
	s, err := New(cfg, registry, ready)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func quiet() Config {
	cfg := DefaultConfig()
	cfg.Log = slog.New(slog.DiscardHandler)
	return cfg
}

func TestPages(t *testing.T) {
	var notReady error
	s := newServer(t, quiet(), func() error { return notReady })
	for _, c := range []struct {
		method, path string
		notReady     error
		code         int
		words        string
	}{
		{"GET", "/metrics", nil, 200, "wadi_things_total 3"},
		{"GET", "/healthz", errors.New("x"), 200, "ok"},
		{"GET", "/readyz", nil, 200, "ready"},
		{"GET", "/readyz", errors.New("no metastore answers"), 503, "not ready: no metastore answers"},
		{"HEAD", "/readyz", errors.New("x"), 503, ""},
		{"GET", "/debug/pprof/", nil, 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", nil, 200, "TestPages"},
		{"GET", "/debug/pprof/cmdline", nil, 200, ""},
		{"GET", "/nothing", nil, 404, ""},
		{"POST", "/readyz", nil, 405, ""},
	} {
		notReady = c.notReady
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.words) {
			t.Errorf("%s %s: %d %.200s; want %d and words %q", c.method, c.path, w.Code, w.Body, c.code, c.words)
		}
	}
}

// TestFront_LinksWork: each link that the front page lists is answered.
func TestFront_LinksWork(t *testing.T) {
	s := newServer(t, quiet(), func() error { return nil })
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, p := range pages() {
		if !strings.Contains(w.Body.String(), `href="`+p[0]+`"`) {
			t.Errorf("%s is not listed", p[0])
		}
		page := httptest.NewRecorder()
		s.Handler().ServeHTTP(page, httptest.NewRequest("GET", p[0], nil))
		if page.Code != 200 {
			t.Errorf("%s: %d", p[0], page.Code)
		}
	}
}

// run serves on a free port until the test or stop ends it.
func run(t *testing.T, s *Server) (url string, stop func() error) {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { stop() })
	return "http://" + l.Addr().String(), stop
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestRun_AnswersUnderWayFinish: a stop lets an answer finish, and takes nothing new.
func TestRun_AnswersUnderWayFinish(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s := newServer(t, quiet(), func() error {
		close(asked)
		<-answer
		return nil
	})
	url, stop := run(t, s)
	got := make(chan string, 1)
	go func() { got <- get(t, url+"/readyz") }()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // until the listener is closed
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
	}
	close(answer)
	if body := <-got; body != "ready\n" {
		t.Errorf("the answer under way: %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestRun_StopIsBounded: an answer that doesn't end doesn't keep Run.
func TestRun_StopIsBounded(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	defer close(answer)
	cfg := quiet()
	cfg.StopTimeout = time.Millisecond
	s := newServer(t, cfg, func() error {
		close(asked)
		<-answer
		return nil
	})
	url, stop := run(t, s)
	go http.Get(url + "/readyz")
	<-asked
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// pipes is a listener whose connections are always there.
type pipes struct{ accepted chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.accepted <- theirs
	return ours, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return nil }

// TestLimited: at the limit a connection waits until another is closed, however often that one is.
func TestLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipes{make(chan net.Conn, 10)}
		l := newLimited(p, 2)
		conns := make(chan net.Conn, 10)
		ended := make(chan error, 1)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				conns <- conn
			}
		}()
		synctest.Wait()
		if n := len(p.accepted); n != 2 {
			t.Errorf("%d connections were accepted", n)
		}
		first := <-conns
		first.Close()
		first.Close()
		synctest.Wait()
		if n := len(p.accepted); n != 3 {
			t.Errorf("after one was closed twice, %d connections were accepted", n)
		}
		l.Close()
		l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
	})
}

func TestRun_ListenerBreaks(t *testing.T) {
	s := newServer(t, quiet(), func() error { return nil })
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Run(t.Context(), l); err == nil {
		t.Error("Run returned no error")
	}
}

func TestListen_PortTaken(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(t.Context(), l.Addr().String()); err == nil || !strings.Contains(err.Error(), "is taken by another process") {
		t.Errorf("listen: %v", err)
	}
	if _, err := Listen(t.Context(), "nonsense"); err == nil {
		t.Error("nonsense was taken")
	}
}

func TestConfig_Validate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{}, nil, nil); err == nil {
		t.Error("an empty config was taken")
	}
}
