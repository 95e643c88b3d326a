package tracetest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it came. Ids are in hexadecimal digits.
type Span struct {
	Name              string
	Trace, ID, Parent string
	Kind              otlp.Span_SpanKind
	Links             []string // ids of spans
	Attributes        map[string]any
	Resource          map[string]any
	Begin, End        time.Time
	Failed            bool
}

// Collector takes spans at URL.
type Collector struct {
	URL string
	mu  struct {
		sync.Mutex
		spans []Span
	}
}

// New starts a collector that ends with the test.
func New(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			t.Errorf("what was exported can't be read: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

func (c *Collector) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var m collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &m); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range m.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.mu.spans = append(c.mu.spans, read(s, of.Resource.Attributes))
			}
		}
	}
	return nil
}

func read(s *otlp.Span, resource []*common.KeyValue) Span {
	span := Span{
		Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId), Kind: s.Kind,
		Attributes: values(s.Attributes), Resource: values(resource), Failed: s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR,
		Begin: time.Unix(0, int64(s.StartTimeUnixNano)), End: time.Unix(0, int64(s.EndTimeUnixNano)),
	}
	for _, l := range s.Links {
		span.Links = append(span.Links, hex.EncodeToString(l.SpanId))
	}
	return span
}

func values(attributes []*common.KeyValue) map[string]any {
	m := map[string]any{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[a.Key] = v.IntValue
		case *common.AnyValue_BoolValue:
			m[a.Key] = v.BoolValue
		}
	}
	return m
}

// Spans returns what came so far, by the time at which the spans began.
func (c *Collector) Spans() Spans {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := slices.Clone(c.mu.spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Begin.Compare(b.Begin) })
	return spans
}

// Spans are some spans.
type Spans []Span

// Named returns those with a name.
func (ss Spans) Named(name string) Spans {
	return ss.where(func(s Span) bool { return s.Name == name })
}

// Under returns the children of a span.
func (ss Spans) Under(parent Span) Spans {
	return ss.where(func(s Span) bool { return s.Parent == parent.ID })
}

func (ss Spans) where(fits func(Span) bool) (some Spans) {
	for _, s := range ss {
		if fits(s) {
			some = append(some, s)
		}
	}
	return some
}

// Names returns their names.
func (ss Spans) Names() []string {
	names := make([]string, len(ss))
	for i, s := range ss {
		names[i] = s.Name
	}
	return names
}
