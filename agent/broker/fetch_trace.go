package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/wire"
)

// traceFetch begins the span of a Fetch, nil unless it is sampled.
func (b *Broker) traceFetch(r *wire.Request, m *kmsg.FetchRequest) *trace.Span {
	span := b.deps.Trace.Request(spanFetch, trace.OperationRead, "", r.Arrived())
	if span == nil {
		return nil
	}
	span.Stage(spanDecode, r.Arrived()).End(b.deps.Clock())
	traceClient(span, r)
	span.Count(trace.Session, int64(m.SessionID))
	return span
}

// traceFetched tells what a Fetch came to and begins its answer; it returns what
// is called once the answer has been written.
func (b *Broker) traceFetched(span *trace.Span, res *fetch.Response) func() {
	answer := span.Stage(spanAnswer, b.deps.Clock())
	span.Count(trace.Bytes, int64(res.Bytes))
	if res.Err != nil {
		span.Fail(CodeName(codeOf(res.Err)), res.Err)
	}
	for i := range res.Partitions {
		if err := res.Partitions[i].Err; err != nil {
			span.Fail(CodeName(codeOf(err)), err)
			break
		}
	}
	return func() {
		res.Release()
		now := b.deps.Clock()
		answer.End(now)
		span.End(now)
	}
}
