package faketime

import (
	"bytes"
	"strings"
	"testing"
)

// The lines of the runtime that are changed must be in the Go that builds this.
func TestRuntimeEdits_HaveTheirPlaces(t *testing.T) {
	if err := Check(t.Context(), runtimeEdits()...); err != nil {
		t.Fatal(err)
	}
}

// The same seed must be the same story, event by event; another one another.
func TestRun_SeedReplays(t *testing.T) {
	program, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	ran, _, err := Run(t.Context(), Options{Program: program, First: 1, Count: 3, Workers: 2, Twice: true, Args: []string{"-length=20s"}}, &out)
	if err != nil || ran != 3 {
		t.Fatalf("%d seeds ran: %v\n%s", ran, err, &out)
	}
	traces := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		if _, trace, ok := strings.Cut(line, ", trace "); ok {
			traces[trace] = true
		}
	}
	if len(traces) != 3 {
		t.Errorf("three seeds left %d different traces:\n%s", len(traces), &out)
	}
}
