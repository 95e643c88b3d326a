package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/wadi-io/wadi/agent/trace"
)

// Config says which spans are sent, and how.
type Config struct {
	// Ratio is the share of requests that are recorded, above 0 and up to 1, of those
	// without a parent; one with a parent is recorded if that is.
	Ratio float64
	// SamplerOfEnvironment leaves it to OTEL_TRACES_SAMPLER instead.
	SamplerOfEnvironment bool
	Protocol             string // http/protobuf (also empty) or grpc
	Version              string // of the program
	Zone                 string // the agent's; empty: none
	Instance             string // names the process among all
	Log                  *slog.Logger
}

// Validate says in words what is wrong.
func (c Config) Validate() error {
	switch {
	case !c.SamplerOfEnvironment && !(c.Ratio > 0 && c.Ratio <= 1):
		return fmt.Errorf("a share of %v of the requests can't be traced: it is above 0 and at most 1", c.Ratio)
	case c.Protocol != "" && c.Protocol != httpProtobuf && c.Protocol != grpc:
		return fmt.Errorf("traces can't be sent by %q: there are %s and %s", c.Protocol, httpProtobuf, grpc)
	}
	return nil
}

// The protocols, by their names in OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	httpProtobuf = "http/protobuf"
	grpc         = "grpc"
)

// Exporter sends spans. Close it once the agent has ended.
type Exporter struct {
	providers [2]*sdk.TracerProvider // requests, shared
}

// Open makes an exporter. It connects to nobody yet.
func Open(ctx context.Context, cfg Config) (*Exporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var out sdk.SpanExporter
	var err error
	if cfg.Protocol == grpc {
		out, err = otlptracegrpc.New(ctx)
	} else {
		out, err = otlptracehttp.New(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	about := []attribute.KeyValue{attribute.String("service.name", "wadi"), attribute.String("service.version", cfg.Version),
		attribute.String("service.instance.id", cfg.Instance)}
	if cfg.Zone != "" {
		about = append(about, attribute.String("cloud.availability_zone", cfg.Zone))
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(about...), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("name the agent to those who read its traces: %w", err)
	}
	otel.SetErrorHandler(&failures{log: cfg.Log})
	queue := sdk.NewBatchSpanProcessor(out)
	shared := []sdk.TracerProviderOption{sdk.WithSpanProcessor(queue), sdk.WithResource(res)}
	requests := append([]sdk.TracerProviderOption(nil), shared...)
	if !cfg.SamplerOfEnvironment {
		requests = append(requests, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(cfg.Ratio))))
	}
	shared = append(shared, sdk.WithSampler(sdk.AlwaysSample()))
	return &Exporter{[2]*sdk.TracerProvider{sdk.NewTracerProvider(requests...), sdk.NewTracerProvider(shared...)}}, nil
}

// Tracer returns what makes the spans that are sent.
func (e *Exporter) Tracer() *trace.Tracer { return trace.New(e.providers[0], e.providers[1]) }

// Flush sends what waits.
func (e *Exporter) Flush(ctx context.Context) error { return e.providers[0].ForceFlush(ctx) }

// Close sends what waits, until ctx ends, and ends.
func (e *Exporter) Close(ctx context.Context) error {
	return errors.Join(e.providers[0].Shutdown(ctx), e.providers[1].Shutdown(ctx))
}

// failures tells of spans that could not be sent, now and then.
type failures struct {
	log  *slog.Logger
	told atomic.Int64 // Unix time in ns
}

// tellEvery is the time between two lines about it.
const tellEvery = time.Minute

// Handle is an otel.ErrorHandler's.
func (f *failures) Handle(err error) {
	now, told := time.Now().UnixNano(), f.told.Load()
	if now-told < int64(tellEvery) || !f.told.CompareAndSwap(told, now) {
		return
	}
	f.log.Warn("traces can't be sent; spans are dropped", "err", err)
}
