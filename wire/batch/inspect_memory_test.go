//go:build !race

package batch

import "testing"

// Not under the race detector: pools give back less there.

// TestInspect_TakesNoMemory: but for the codecs' own, nothing is allocated for a batch.
func TestInspect_TakesNoMemory(t *testing.T) {
	for codec, b := range packed(t, Append(nil, Header{ProducerID: -1}, someRecords(200))) {
		h, err := Check(b)
		if err != nil {
			t.Fatal(err)
		}
		var in Inspector
		allocations := testing.AllocsPerRun(50, func() {
			if _, _, err := in.Inspect(b, h, anything(1<<20)); err != nil {
				t.Fatal(err)
			}
		})
		if allocations > 0 {
			t.Errorf("%s: %v allocations", codec, allocations)
		}
	}
}
