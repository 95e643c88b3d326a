package fetch

import (
	"context"
	"strconv"
	"time"

	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/metastore/shard"
)

// The stages of a fetch, by the names of their spans.
const (
	spanPlan = "plan" // refreshes of replicas and statements to the tables included
	spanWait = "wait" // for bytes
	spanRead = "read" // of the planned extents
	spanLoad = "load" // of an extent that was not in memory as a whole, from the disk or the bucket
)

// failedRead is what the errors of loads are called in spans.
const failedRead = "read"

// traceBegin takes the request's span, if it is recorded.
func (rd *reading) traceBegin(ctx context.Context) {
	if rd.span = trace.Of(ctx); rd.span == nil {
		return
	}
	rd.span.Count(trace.Partitions, int64(len(rd.asks)))
	for i := range rd.parts {
		if name := rd.parts[i].place.Topic; name == "" || name != rd.parts[0].place.Topic {
			return
		}
	}
	if len(rd.parts) > 0 {
		rd.span.Text(trace.Destination, rd.parts[0].place.Topic)
	}
	if len(rd.asks) == 1 {
		rd.span.Text(trace.Partition, strconv.Itoa(int(rd.asks[0].Partition)))
		rd.span.Count(trace.Offset, rd.asks[0].Offset)
	}
}

// tracePlanned ends the first look at the partitions.
func (rd *reading) tracePlanned(began time.Time) {
	if rd.span == nil {
		return
	}
	stage := rd.span.Stage(spanPlan, began)
	stage.Count(trace.Extents, int64(len(rd.extents)))
	stage.End(rd.f.deps.Clock())
}

func (rd *reading) traceWait() *trace.Span {
	if rd.span == nil {
		return nil
	}
	rd.span.Mark(trace.Waited)
	return rd.span.Stage(spanWait, rd.f.deps.Clock())
}

func (rd *reading) traceWaited(stage *trace.Span) {
	if stage != nil {
		stage.End(rd.f.deps.Clock())
	}
}

func (rd *reading) traceRead() *trace.Span {
	if rd.span == nil || len(rd.extents) == 0 {
		return nil
	}
	return rd.span.Stage(spanRead, rd.f.deps.Clock())
}

// traceHas ends the reading of what was planned.
func (rd *reading) traceHas(stage *trace.Span, loads []loaded) {
	if stage == nil {
		return
	}
	hits, misses := 0, 0
	for i := range loads {
		stage.Fail(failedRead, loads[i].err)
		if p := loads[i].pinned; p != nil {
			misses += p.Missed
			hits += max(0, len(p.Slices)-p.Missed)
		}
	}
	stage.Count(trace.Extents, int64(len(loads)))
	stage.Count(trace.Hits, int64(hits))
	stage.Count(trace.Misses, int64(misses))
	stage.End(rd.f.deps.Clock())
}

// loading is one extent that is read for a request that is recorded.
type loading struct {
	stage  *trace.Span
	began  time.Time
	extent shard.Extent
}

func (rd *reading) traceLoad(stage *trace.Span, e shard.Extent) loading {
	if stage == nil {
		return loading{}
	}
	return loading{stage, rd.f.deps.Clock(), e}
}

// traceLoaded tells of an extent's load, unless its bytes were in memory.
func (rd *reading) traceLoaded(l loading, got loaded) {
	if l.stage == nil || got.pinned != nil && got.pinned.Missed == 0 {
		return
	}
	load := l.stage.Ask(spanLoad, l.began)
	load.Text(trace.Segment, l.extent.Segment.Key())
	load.Count(trace.Position, l.extent.Position)
	load.Count(trace.Bytes, l.extent.Length)
	load.Fail(failedRead, got.err)
	load.End(rd.f.deps.Clock())
}
