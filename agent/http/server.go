package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config bounds a Server.
type Config struct {
	ConnectionsMax int           // open at once; more wait to be accepted
	HeaderBytesMax int           // of a request
	ReadTimeout    time.Duration // of a request
	WriteTimeout   time.Duration // of an answer; bounds the seconds of a profile
	IdleTimeout    time.Duration // of a kept connection
	StopTimeout    time.Duration // for answers under way when Run ends
	GathersMax     int           // answers of /metrics under way at once; more get 503
	Log            *slog.Logger
}

// DefaultConfig allows profiles of a minute.
func DefaultConfig() Config {
	return Config{
		ConnectionsMax: 64,
		HeaderBytesMax: 64 << 10,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   90 * time.Second,
		IdleTimeout:    2 * time.Minute,
		StopTimeout:    3 * time.Second,
		GathersMax:     4,
		Log:            slog.Default(),
	}
}

// Validate says what is wrong with the config.
func (c Config) Validate() error {
	if c.ConnectionsMax < 1 || c.HeaderBytesMax < 1 || c.GathersMax < 1 || c.Log == nil ||
		c.ReadTimeout <= 0 || c.WriteTimeout <= 0 || c.IdleTimeout <= 0 || c.StopTimeout <= 0 {
		return errors.New("http: every limit must be positive, and Log set")
	}
	return nil
}

// Server serves the operators' pages.
type Server struct {
	cfg     Config
	handler http.Handler
}

// New returns a server of what metrics gathers. ready says why the agent can't
// serve clients now, nil if it can; it must not block.
func New(cfg Config, metrics prometheus.Gatherer, ready func() error) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", front)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: cfg.GathersMax,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			say(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the named profiles below it
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &Server{cfg: cfg, handler: mux}, nil
}

// Handler returns what the server answers with.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen opens the port that Run serves; a taken one is an error in words.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("HTTP address %s is taken by another process: %w", address, err)
	}
	if err != nil {
		return nil, fmt.Errorf("HTTP address %s: %w", address, err)
	}
	return l, nil
}

// Run serves l until ctx ends, then lets answers under way finish, for
// Config.StopTimeout at most. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:        s.handler,
		MaxHeaderBytes: s.cfg.HeaderBytesMax,
		ReadTimeout:    s.cfg.ReadTimeout,
		WriteTimeout:   s.cfg.WriteTimeout,
		IdleTimeout:    s.cfg.IdleTimeout,
		ErrorLog:       slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(newLimited(l, s.cfg.ConnectionsMax)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.StopTimeout)
	defer cancel()
	err := server.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) { // A profile, or a reader that is gone.
		err = server.Close()
	}
	<-served
	return err
}

// pages is what the front page lists.
func pages() [][2]string {
	return [][2]string{
		{"/metrics", "counts and times, for Prometheus"},
		{"/healthz", "does the process answer?"},
		{"/readyz", "can it serve clients, and if not, why?"},
		{"/debug/pprof/", "profiles of the running process"},
	}
}

func front(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, "<!doctype html>\n<title>Wadi agent</title>\n<h1>Wadi agent</h1>\n<ul>\n")
	for _, p := range pages() {
		fmt.Fprintf(w, "<li><a href=%q>%s</a>: %s</li>\n", p[0], p[0], p[1])
	}
	io.WriteString(w, "</ul>\n")
}

func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	io.WriteString(w, text+"\n")
}
