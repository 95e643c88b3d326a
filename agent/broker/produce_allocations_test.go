//go:build !race

// The race detector makes pools forget.

package broker

import (
	"fmt"
	"testing"
)

// TestProduce_Allocations holds what the check of a request may allocate: nothing, with what
// the request before left.
func TestProduce_Allocations(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for _, n := range []int{1, 16, 600} {
		req := hotRequest(a.create(fmt.Sprintf("hot%d", n), int32(n), nil), n)
		allocations := testing.AllocsPerRun(100, func() {
			p := newProduce(a.broker, req)
			p.check(t.Context())
			if p.refused != nil || len(p.batches) != n {
				t.Fatal(p.refused)
			}
			p.release()
		})
		if allocations > 0 {
			t.Errorf("%d batches: %v allocations", n, allocations)
		}
	}
}
