package broker

import (
	"context"
	"strconv"
	"time"

	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/wire"
)

// The names of spans: a request's is its name.
const (
	spanProduce = "Produce"
	spanFetch   = "Fetch"
	spanDecode  = "decode" // from the request's last byte; its turn on the connection included
	spanCheck   = "check"
	spanEnter   = "enter"  // the transaction
	spanAnswer  = "answer" // until it has been written; the answers before it on the connection included
)

// closed is the error of a request whose connection closes instead of an answer.
const closed = "closed"

// produceTrace is what a produce notes for its span.
type produceTrace struct {
	began  time.Time // of the check; zero while nothing is traced
	wanted string    // the header that names the parent, until the first batch was looked at
	parent string
	topic  string // where there is one only
	span   *trace.Span
}

func (p *produce) traceBegin() {
	if p.b.deps.Trace != nil {
		p.tracing.began, p.tracing.wanted = p.b.deps.Clock(), trace.ParentHeader
	}
}

// traceChecked begins the request's span, unless it isn't sampled: only now is it known in which span
// the first record was sent. The context carries it on.
func (p *produce) traceChecked(ctx context.Context, r *wire.Request) context.Context {
	if p.tracing.began.IsZero() {
		return ctx
	}
	span := p.b.deps.Trace.Request(spanProduce, trace.OperationSend, p.tracing.parent, r.Arrived())
	if span == nil {
		return ctx
	}
	p.tracing.span = span
	span.Stage(spanDecode, r.Arrived()).End(p.tracing.began)
	span.Stage(spanCheck, p.tracing.began).End(p.b.deps.Clock())
	traceClient(span, r)
	partitions, records, bytes := 0, int64(0), int64(0)
	for i := range p.req.Topics {
		partitions += len(p.req.Topics[i].Partitions)
	}
	for i := range p.batches {
		records += int64(p.batches[i].Header.Records)
		bytes += int64(len(p.batches[i].Bytes))
	}
	span.Count(trace.Partitions, int64(partitions))
	span.Count(trace.Records, records)
	span.Count(trace.Bytes, bytes)
	if p.tracing.topic != "" {
		span.Text(trace.Destination, p.tracing.topic)
		if partitions == 1 {
			span.Text(trace.Partition, strconv.Itoa(int(p.req.Topics[0].Partitions[0].Partition)))
		}
	}
	return trace.With(ctx, span)
}

// traceEnter begins the wait for the partitions to be in the transaction.
func (p *produce) traceEnter() *trace.Span {
	if p.tracing.span == nil {
		return nil
	}
	return p.tracing.span.Stage(spanEnter, p.b.deps.Clock())
}

func (p *produce) traceEntered(stage *trace.Span, err error) {
	if stage != nil {
		stage.Fail(CodeName(p.entryCode(err)), err)
		stage.End(p.b.deps.Clock())
	}
}

// traceClient tells whose request it is.
func traceClient(span *trace.Span, r *wire.Request) {
	span.Count(trace.Version, int64(r.Version))
	span.Text(trace.Client, r.ClientID)
	span.Text(trace.PeerAddress, r.Conn.RemoteAddr().String())
}

// traceAnswer tells what became of the request and begins its answer; it returns what
// is called once the answer has been written.
func (p *produce) traceAnswer(closing error) func() {
	span, began := p.tracing.span, p.b.deps.Clock()
	if p.sub != nil && p.closeErr == nil {
		began = p.sub.Ended()
	}
	if p.refused != nil {
		span.Fail(CodeName(codeOf(p.refused)), p.refused)
	}
	span.Fail(closed, closing)
	if len(p.places) == 1 && p.places[0].ErrorCode == wire.CodeNone && closing == nil {
		span.Count(trace.Offset, p.places[0].BaseOffset)
	}
	answer := span.Stage(spanAnswer, began)
	return func() {
		now := p.b.deps.Clock()
		answer.End(now)
		span.End(now)
	}
}
