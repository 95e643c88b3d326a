package agent

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/trace/otlp"
	"github.com/wadi-io/wadi/agent/trace/tracetest"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// traced starts an exporter to a collector, which gets what ended once flush returns.
func traced(t *testing.T, ratio float64) (c *tracetest.Collector, change func(*Config), flush func()) {
	t.Helper()
	c = tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	e, err := otlp.Open(t.Context(), otlp.Config{Ratio: ratio, Version: "1.2.3", Zone: "a", Instance: "me", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return c, func(cfg *Config) { cfg.Trace = e.Tracer() }, func() {
		t.Helper()
		if err := e.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// within tells whether a span lies in another one's time.
func within(inner, outer tracetest.Span) bool {
	return !inner.Begin.Before(outer.Begin) && !inner.End.After(outer.End)
}

// TestTrace_ProducesShareAFlush: each request has a span with its stages; the upload and
// the append that several were in are one span each, linked to all of them and from them.
func TestTrace_ProducesShareAFlush(t *testing.T) {
	collector, change, flush := traced(t, 1)
	s := start(t, func(cfg *Config) {
		change(cfg)
		cfg.Ingest.PutsPerSecondMax, cfg.Ingest.BatchesMax, cfg.Ingest.Linger = 1e-9, 2, time.Hour
	})
	s.create("t", 3)
	const parent, caller = "00-0123456789abcdef0123456789abcdef-00f067aa0ba902b7-01", "0123456789abcdef0123456789abcdef"
	send := func(i int32) <-chan error {
		c := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ClientID("client"))
		done := make(chan error, 1)
		r := record("t", i, "value")
		r.Headers = []kgo.RecordHeader{{Key: "other", Value: []byte("x")}, {Key: "traceparent", Value: []byte(parent)}}
		c.Produce(t.Context(), r, func(_ *kgo.Record, err error) { done <- err })
		return done
	}
	// The budget is of one PUT: the first goes at once, the next flush waits for two batches.
	if err := <-send(0); err != nil {
		t.Fatal(err)
	}
	for _, done := range []<-chan error{send(1), send(2)} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.stop(); err != nil { // all answers are written, all spans ended
		t.Fatal(err)
	}
	flush()

	spans := collector.Spans()
	produces, flushes, appends := spans.Named("Produce"), spans.Named("flush"), spans.Named("append")
	if len(produces) != 3 || len(flushes) != 2 || len(appends) != 2 {
		t.Fatalf("%d produces, %d flushes, %d appends of %v", len(produces), len(flushes), len(appends), spans.Names())
	}
	for i, p := range produces {
		if p.Trace != caller || p.Parent != parent[36:52] || p.Kind.String() != "SPAN_KIND_SERVER" {
			t.Errorf("a produce is %s of %s in %s; want %s", p.Kind, p.Parent, p.Trace, parent)
		}
		for name, want := range map[string]any{
			"messaging.system": "kafka", "messaging.operation.name": "Produce", "messaging.operation.type": "send", "messaging.client.id": "client",
			"messaging.destination.name": "t", "messaging.batch.message_count": int64(1), "messaging.kafka.offset": int64(0), "wadi.partitions": int64(1),
		} {
			if p.Attributes[name] != want {
				t.Errorf("%s is %v; want %v", name, p.Attributes[name], want)
			}
		}
		if p.Resource["service.name"] != "wadi" || p.Resource["service.version"] != "1.2.3" || p.Resource["cloud.availability_zone"] != "a" {
			t.Errorf("the resource is %v", p.Resource)
		}
		stages := spans.Under(p)
		if got, want := stages.Names(), []string{"decode", "check", "wait", "upload", "commit", "answer"}; !slices.Equal(got, want) {
			t.Fatalf("the stages are %v; want %v", got, want)
		}
		for _, stage := range stages {
			if !within(stage, p) {
				t.Errorf("%s is outside of its request", stage.Name)
			}
		}
		of := min(i, 1) // the first had a flush of its own
		if got := stages.Named("upload")[0].Links; !slices.Equal(got, []string{flushes[of].ID}) {
			t.Errorf("produce %d: its upload is linked to %v", i, got)
		}
		if got := stages.Named("commit")[0].Links; !slices.Equal(got, []string{appends[of].ID}) {
			t.Errorf("produce %d: its commit is linked to %v", i, got)
		}
	}
	for i, want := range [][]string{{produces[0].ID}, {produces[1].ID, produces[2].ID}} {
		slices.Sort(want)
		for _, shared := range []tracetest.Span{flushes[i], appends[i]} {
			got := slices.Sorted(slices.Values(shared.Links))
			if !slices.Equal(got, want) || shared.Parent != "" {
				t.Errorf("%s %d is linked to %v under %q; want %v", shared.Name, i, got, shared.Parent, want)
			}
		}
		if got := spans.Under(flushes[i]).Names(); !slices.Equal(got, []string{"seal", "put"}) {
			t.Errorf("under a flush are %v", got)
		}
	}
	if f := flushes[1].Attributes; f["wadi.requests"] != int64(2) || f["wadi.segment"] != "segments/0000000001/000000000002" || f["wadi.flush.reason"] != "size" {
		t.Errorf("the shared flush: %v", f)
	}
}

// TestTrace_Fetch: what was written by another agent is loaded, what isn't there is waited for.
func TestTrace_Fetch(t *testing.T) {
	b, _, err := bucket.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New(time.Now, metastore.Cluster{ID: "test", Shards: 4, Groups: 1, Transactions: 1})
	given := func(cfg *Config) { cfg.Given.Bucket, cfg.Given.Store = b, store }
	before := start(t, given)
	before.create("t", 1)
	if err := before.client().ProduceSync(t.Context(), record("t", 0, "old")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := before.stop(); err != nil {
		t.Fatal(err)
	}

	collector, change, flush := traced(t, 1)
	s := start(t, func(cfg *Config) { given(cfg); change(cfg) })
	reader := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}), kgo.FetchMaxWait(10*time.Second))
	if got := values(t, reader, 1); got != "old" {
		t.Fatalf("read %q", got)
	}
	if err := s.client().ProduceSync(t.Context(), record("t", 0, "new")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := values(t, reader, 1); got != "new" {
		t.Fatalf("read %q", got)
	}
	reader.Close()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	flush()

	spans := collector.Spans()
	fetches := spans.Named("Fetch")
	var stages []string
	for _, f := range fetches {
		if f.Parent != "" || f.Kind.String() != "SPAN_KIND_SERVER" || f.Attributes["messaging.system"] != "kafka" || f.Attributes["messaging.operation.type"] != "receive" {
			t.Errorf("a fetch under %q: %v", f.Parent, f.Attributes)
		}
		if n, _ := f.Attributes["wadi.bytes"].(int64); n > 0 {
			if f.Attributes["messaging.destination.name"] != "t" || f.Attributes["messaging.destination.partition.id"] != "0" {
				t.Errorf("a fetch with records: %v", f.Attributes)
			}
			stages = append(stages, strings.Join(spans.Under(f).Names(), " "))
		}
	}
	if want := []string{"decode plan read answer", "decode plan wait read answer"}; !slices.Equal(stages, want) {
		t.Fatalf("the stages are %q; want %q", stages, want)
	}
	loads, reads := spans.Named("load"), spans.Named("read")
	if len(loads) != 1 || loads[0].Parent != reads[0].ID || loads[0].Attributes["wadi.segment"] != "segments/0000000001/000000000001" {
		t.Errorf("loads: %+v", loads)
	}
	if reads[0].Attributes["wadi.cache.misses"] != int64(1) || reads[1].Attributes["wadi.cache.misses"] != int64(0) || reads[1].Attributes["wadi.cache.hits"] != int64(1) {
		t.Errorf("reads: %v, %v", reads[0].Attributes, reads[1].Attributes)
	}
}

// TestTrace_Sampling: who sends records decides by the parent; else hardly anything is traced.
func TestTrace_Sampling(t *testing.T) {
	collector, change, flush := traced(t, 1e-9)
	s := start(t, change)
	s.create("t", 1)
	c := s.client()
	for _, parent := range []string{"", "00-0123456789abcdef0123456789abcdef-00f067aa0ba902b7-00", "nonsense",
		"00-0123456789abcdef0123456789abcdef-00f067aa0ba902b7-01"} {
		r := record("t", 0, "value")
		r.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: []byte(parent)}}
		if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	flush()
	spans := collector.Spans()
	if p := spans.Named("Produce"); len(p) != 1 || p[0].Parent != "00f067aa0ba902b7" || len(spans.Named("flush")) != 1 || len(spans.Named("append")) != 1 {
		t.Errorf("spans: %v", spans.Names())
	}
}

// tracing are the functions that make spans.
var tracing = []string{"/agent/trace.", ".(*produce).trace", ".(*Broker).trace", ".(*Ingest).trace", ".(*flush).trace", ".(*committer).trace", ".(*reading).trace"}

// TestTrace_Off: what makes spans allocates nothing while it is off, and the test would see it.
func TestTrace_Off(t *testing.T) {
	for _, on := range []bool{false, true} {
		change := func(*Config) {}
		if on {
			_, change, _ = traced(t, 1)
		}
		s := start(t, change)
		s.create("t", 16)
		conn, err := s.pipes.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1<<20)
		f := s.produceFrame("t", 16, 1, 1000)
		reader := s.client(kgo.ConsumeTopics("t"))
		run := func(n int) {
			for range n {
				if _, err := call(conn, f, buf); err != nil {
					t.Fatal(err)
				}
				values(t, reader, 16)
			}
		}
		run(5)
		before := allocations(tracing)
		run(20)
		if n := allocations(tracing) - before; (n > 0) != on {
			t.Errorf("traced: %v; %d allocations", on, n)
		}
		conn.Close()
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
}
