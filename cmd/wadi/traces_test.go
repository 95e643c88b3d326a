package main

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wadi-io/wadi/agent/trace/tracetest"
)

// TestDev_Traces: what was produced and fetched is told to the collector that OpenTelemetry's
// variable names, by the end of the process at the latest.
func TestDev_Traces(t *testing.T) {
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_SERVICE_NAME", "the-log")
	p, kafka := startDev(t, filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "--traces", "1")
	on(t, kafka, "a\n", "produce", "t")
	if got := on(t, kafka, "", "consume", "t", "--until-end", "--format", "%v\n"); got != "a\n" {
		t.Errorf("consumed %q", got)
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitDone {
		t.Fatalf("code %d", code)
	}
	spans := collector.Spans()
	if len(spans.Named("Produce")) != 1 || len(spans.Named("flush")) != 1 || len(spans.Named("Fetch")) == 0 {
		t.Fatalf("spans: %v", spans.Names())
	}
	if name := spans[0].Resource["service.name"]; name != "the-log" {
		t.Errorf("the service is called %v", name)
	}
}

// TestDev_TracesOff: nothing is sent unless it is asked for.
func TestDev_TracesOff(t *testing.T) {
	for _, row := range []struct {
		arguments []string
		variables map[string]string
	}{
		{nil, nil},
		{[]string{"--traces", "1"}, map[string]string{"OTEL_SDK_DISABLED": "true"}},
		{[]string{"--traces", "1"}, map[string]string{"OTEL_TRACES_EXPORTER": "none"}},
		{[]string{"--traces", "1"}, map[string]string{"OTEL_TRACES_SAMPLER": "always_off"}},
	} {
		collector := tracetest.New(t)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
		for name, value := range row.variables {
			t.Setenv(name, value)
		}
		p, kafka := startDev(t, filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", row.arguments...)
		on(t, kafka, "a\n", "produce", "t")
		p.signal(syscall.SIGTERM)
		p.end()
		if spans := collector.Spans(); len(spans) > 0 {
			t.Errorf("%+v: %v", row, spans.Names())
		}
		for name := range row.variables {
			t.Setenv(name, "")
		}
	}
}

func TestDev_TracesThatMakeNoSense(t *testing.T) {
	run(t, "dev", "--traces", "2").want(t, exitUsage, "", `--traces: "2" is not a share from 0 to 1`)
	run(t, "dev", "--traces", "some").want(t, exitUsage, "", `--traces: "some" is not a share from 0 to 1`)
	for name, value := range map[string]string{"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"} {
		i := invocation{variables: map[string]string{name: value}}
		i.run(t.Context(), "dev", "--traces", "1").want(t, exitUsage, "", `traces can't be sent by "`+value+`"`)
	}
}
