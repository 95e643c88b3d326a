package trace

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestOff: a Tracer and Spans that are nil do nothing and cost nothing.
func TestOff(t *testing.T) {
	var tracer *Tracer
	ctx, now, err := context.Background(), time.Now(), errors.New("an error")
	requests := make([]*Span, 3)
	allocations := testing.AllocsPerRun(100, func() {
		s := tracer.Request("Produce", OperationSend, "", now)
		ctx := With(ctx, s)
		s = Of(ctx)
		s.Text(Client, "client")
		s.Count(Bytes, 1<<40)
		s.Mark(Waited)
		stage := s.Stage("wait", now)
		stage.Link(Shared("flush", now, requests))
		stage.Ask("put", now).Fail("upload", err)
		stage.End(now)
		s.End(now)
		if s != nil || stage != nil {
			t.Error("a span of nothing")
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
