package ingest

import (
	"time"

	"github.com/wadi-io/wadi/agent/trace"
)

// The stages of a request, and what requests share, by the names of their spans.
const (
	spanWait   = "wait" // in the buffer
	spanUpload = "upload"
	spanCommit = "commit" // from the end of the upload to the last answer
	spanFlush  = "flush"
	spanSeal   = "seal"
	spanPut    = "put"
	spanAppend = "append"
)

// What errors are called in spans.
const (
	failedUpload = "upload"
	failedAppend = "append"
)

// traceFlush begins the flush's span and ends the wait of the requests in it, those
// that are recorded. The items are as they were buffered: a request's stand together.
func (in *Ingest) traceFlush(f *flush, at time.Time, reason reason) {
	var last *Submission
	requests := 0
	for _, it := range f.items {
		if it.sub == last {
			continue
		}
		last = it.sub
		requests++
		if span := it.sub.span; span != nil {
			span.Stage(spanWait, it.at).End(at)
			f.requests = append(f.requests, span)
		}
	}
	if f.requests == nil {
		return
	}
	f.span = trace.Shared(spanFlush, at, f.requests)
	f.span.Text(trace.Segment, f.id.Key())
	f.span.Text(trace.Reason, reason.String())
	f.span.Count(trace.Requests, int64(requests))
	f.span.Count(trace.Batches, int64(len(f.items)))
}

// tracePut ends the sealing of a segment and begins its PUT.
func (in *Ingest) tracePut(f *flush, began time.Time, size int) *trace.Span {
	if f.span == nil {
		return nil
	}
	at := in.cfg.Clock()
	f.span.Stage(spanSeal, began).End(at)
	put := f.span.Ask(spanPut, at)
	put.Text(trace.Segment, f.id.Key())
	put.Count(trace.Bytes, int64(size))
	return put
}

// traceUploaded ends the PUT, the flush, and the upload of the requests in it.
func (f *flush) traceUploaded(put *trace.Span, began, ended time.Time) {
	if f.span == nil {
		return
	}
	put.Fail(failedUpload, f.err)
	put.End(ended)
	f.span.Fail(failedUpload, f.err)
	f.span.End(ended)
	for _, r := range f.requests {
		stage := r.Stage(spanUpload, began)
		stage.Link(f.span)
		stage.Fail(failedUpload, f.err)
		stage.End(ended)
	}
}

// traceAppend begins the span of the round's append.
func (c *committer) traceAppend(journals int) *trace.Span {
	var subs map[*Submission]bool // of requests that are recorded
	var requests []*trace.Span
	for _, it := range c.placed {
		if it.sub.span == nil || subs[it.sub] {
			continue
		}
		if subs == nil {
			subs = map[*Submission]bool{}
		}
		subs[it.sub] = true
		requests = append(requests, it.sub.span)
	}
	if requests == nil {
		return nil
	}
	span := trace.Shared(spanAppend, c.in.cfg.Clock(), requests)
	span.Count(trace.Journals, int64(journals))
	span.Count(trace.Batches, int64(len(c.placed)))
	span.Count(trace.Fences, int64(len(c.fences)))
	for s := range subs {
		s.append = span
	}
	return span
}

// traceAppended ends the span of the round's append.
func (c *committer) traceAppended(span *trace.Span, err error) {
	if span == nil {
		return
	}
	span.Fail(failedAppend, err)
	if err == nil {
		span.Count(trace.Void, int64(len(c.void)))
	}
	span.End(c.in.cfg.Clock())
}

// traceEnd ends the commit of a request, whose last batch is it.
func (in *Ingest) traceEnd(it *item) {
	s := it.sub
	s.ended = in.cfg.Clock()
	if it.stored.IsZero() {
		return
	}
	stage := s.span.Stage(spanCommit, it.stored)
	stage.Link(s.append)
	stage.End(s.ended)
}
