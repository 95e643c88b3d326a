//go:build !race

// The race detector makes pools forget.

package agent

import (
	"fmt"
	"testing"
)

// socketToSegment are the goroutines' roots and steps between a request's first
// byte and its records' place in a segment.
var socketToSegment = []string{
	"wire.(*Conn).readRequests",
	"wire.(*Conn).handleRequests",
	"ingest.(*Ingest).begin",
	"ingest.(*Ingest).seal",
}

func TestAgent_AllocationsOfProduce(t *testing.T) {
	s := start(t, nil)
	s.create("t", 600)
	conn, err := s.pipes.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 1<<20)
	for _, batches := range []int{1, 16, 600} {
		t.Run(fmt.Sprint(batches), func(t *testing.T) {
			f := s.produceFrame("t", batches, 1, 1000)
			run := func(n int) {
				for range n {
					if _, err := call(conn, f, buf); err != nil {
						t.Fatal(err)
					}
				}
			}
			run(20) // pools fill
			const requests = 100
			before := allocations(socketToSegment)
			run(requests)
			n := float64(allocations(socketToSegment)-before) / requests
			t.Logf("%.1f allocations a request, %.2f a batch", n, n/float64(batches))
			// A flush of its own is counted to each request.
			if n > 20+float64(batches)/16 || n < 3 {
				t.Errorf("%d batches: %.1f allocations between socket and segment, want at most 20 a request and one for 16 batches", batches, n)
			}
		})
	}
}
