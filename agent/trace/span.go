package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	otel "go.opentelemetry.io/otel/trace"
)

// ParentHeader is the header of a record that names the span it was sent in.
// https://www.w3.org/TR/trace-context/#traceparent-header
const ParentHeader = "traceparent"

// LinksMax bounds the requests that one flush or append is linked to.
const LinksMax = 128

// Tracer begins the spans of an agent. A nil one begins none.
type Tracer struct {
	requests otel.Tracer
	shared   otel.Tracer
}

// scope names who made the spans.
const scope = "github.com/wadi-io/wadi"

// New returns a Tracer. requests samples: it says which requests are recorded. shared
// must record all that it is asked for, which is what a recorded request took part in.
func New(requests, shared otel.TracerProvider) *Tracer {
	return &Tracer{requests: requests.Tracer(scope), shared: shared.Tracer(scope)}
}

// Span is a request, a stage of it, or work that several requests share. A nil one is
// not recorded. It is safe for concurrent use.
type Span struct {
	tracer *Tracer
	ctx    context.Context // that holds span
	span   otel.Span
}

func (t *Tracer) begin(ctx context.Context, tracer otel.Tracer, name string, at time.Time, options ...otel.SpanStartOption) *Span {
	ctx, span := tracer.Start(ctx, name, append(options, otel.WithTimestamp(at))...)
	if !span.IsRecording() {
		return nil
	}
	return &Span{tracer: t, ctx: ctx, span: span}
}

// Request begins the span of a client's request that was read at a time, nil if it isn't
// sampled. parent is the value of ParentHeader of a record in it, empty if there is none.
func (t *Tracer) Request(name, operation, parent string, at time.Time) *Span {
	if t == nil {
		return nil
	}
	ctx := context.Background()
	if parent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{ParentHeader: parent})
	}
	return t.begin(ctx, t.requests, name, at, otel.WithSpanKind(otel.SpanKindServer), otel.WithAttributes(
		attribute.String(System, system), attribute.String(Operation, name), attribute.String(OperationType, operation)))
}

// Shared begins the span of work that requests have caused together, linked to them; nil
// if none of them is recorded. Nils among them are passed over.
func Shared(name string, at time.Time, requests []*Span) *Span {
	var links []otel.Link
	var t *Tracer
	for _, r := range requests {
		if r != nil && len(links) < LinksMax {
			t = r.tracer
			links = append(links, otel.Link{SpanContext: r.span.SpanContext()})
		}
	}
	if t == nil {
		return nil
	}
	return t.begin(context.Background(), t.shared, name, at, otel.WithNewRoot(), otel.WithLinks(links...))
}

// Stage begins the span of a part of s.
func (s *Span) Stage(name string, at time.Time) *Span {
	if s == nil {
		return nil
	}
	return s.tracer.begin(s.ctx, s.tracer.shared, name, at)
}

// Ask begins the span of a part of s that is a request to another system.
func (s *Span) Ask(name string, at time.Time) *Span {
	if s == nil {
		return nil
	}
	return s.tracer.begin(s.ctx, s.tracer.shared, name, at, otel.WithSpanKind(otel.SpanKindClient))
}

// Link ties s to shared work that it waited for.
func (s *Span) Link(to *Span) {
	if s != nil && to != nil {
		s.span.AddLink(otel.Link{SpanContext: to.span.SpanContext()})
	}
}

// Text sets an attribute.
func (s *Span) Text(name, value string) {
	if s != nil {
		s.span.SetAttributes(attribute.String(name, value))
	}
}

// Count sets an attribute.
func (s *Span) Count(name string, value int64) {
	if s != nil {
		s.span.SetAttributes(attribute.Int64(name, value))
	}
}

// Mark sets an attribute to true.
func (s *Span) Mark(name string) {
	if s != nil {
		s.span.SetAttributes(attribute.Bool(name, true))
	}
}

// Fail says that s did not do what it was there for: kind is one of a fixed set, why is
// for a person. An error that is nil says nothing.
func (s *Span) Fail(kind string, why error) {
	if s != nil && why != nil {
		s.span.SetAttributes(attribute.String(ErrorType, kind))
		s.span.SetStatus(codes.Error, why.Error())
	}
}

// End ends the span; what is told of it later is lost.
func (s *Span) End(at time.Time) {
	if s != nil {
		s.span.End(otel.WithTimestamp(at))
	}
}

type key struct{}

// With returns a context that carries a span; ctx itself if that is nil.
func With(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, s)
}

// Of returns the span that a context carries, else nil.
func Of(ctx context.Context) *Span {
	s, _ := ctx.Value(key{}).(*Span)
	return s
}
