package otlp

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/agent/trace/tracetest"
)

func config() Config {
	return Config{Ratio: 1, Instance: "me", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func open(t *testing.T, cfg Config) *Exporter {
	t.Helper()
	e, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		e.Close(ctx)
	})
	return e
}

// TestOpen_Ratio: a share of the requests is recorded, and what they share always is.
func TestOpen_Ratio(t *testing.T) {
	c := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	cfg := config()
	cfg.Ratio = 0.25
	e := open(t, cfg)
	tracer, now := e.Tracer(), time.Now()
	recorded := 0
	for range 1000 {
		r := tracer.Request("Produce", trace.OperationSend, "", now)
		if r == nil {
			continue
		}
		recorded++
		trace.Shared("flush", now, []*trace.Span{nil, r}).End(now)
		r.End(now)
	}
	if err := e.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := c.Spans()
	if recorded < 150 || recorded > 350 || len(spans.Named("Produce")) != recorded || len(spans.Named("flush")) != recorded {
		t.Errorf("%d of 1000 recorded; %d and %d were sent", recorded, len(spans.Named("Produce")), len(spans.Named("flush")))
	}
}

// TestOpen_SamplerOfEnvironment: OTEL_TRACES_SAMPLER is what counts where it is told to.
func TestOpen_SamplerOfEnvironment(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	cfg := config()
	cfg.SamplerOfEnvironment = true
	if r := open(t, cfg).Tracer().Request("Produce", trace.OperationSend, "", time.Now()); r != nil {
		t.Error("a request was recorded")
	}
}

// lines is a log whose lines the test gets.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestExporter_CollectorRefuses: spans are lost, and the log says it once.
func TestExporter_CollectorRefuses(t *testing.T) {
	refused := make(chan struct{}, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
		refused <- struct{}{}
	}))
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1") // ms
	log := make(lines, 10)
	cfg := config()
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	e := open(t, cfg)
	for range 3 {
		e.Tracer().Request("Produce", trace.OperationSend, "", time.Now()).End(time.Now())
		<-refused
	}
	e.Close(t.Context())
	if line := <-log; !strings.Contains(line, "traces can't be sent") || !strings.Contains(line, "403") || len(log) > 0 {
		t.Errorf("%d more lines after %s", len(log), line)
	}
}

func TestConfig_Refuses(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Ratio = 0 },
		func(c *Config) { c.Ratio = 1.5 },
		func(c *Config) { c.Protocol = "http/json" },
	} {
		cfg := config()
		change(&cfg)
		if _, err := Open(t.Context(), cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// TestOpen_GRPC: an exporter over gRPC opens without its collector.
func TestOpen_GRPC(t *testing.T) {
	cfg := config()
	cfg.Protocol = "grpc"
	if open(t, cfg).Tracer() == nil {
		t.Error("no tracer")
	}
}
