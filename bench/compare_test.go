package main

import (
	"strings"
	"testing"

	"github.com/wadi-io/wadi/bench/workload"
)

func of(system string, cpu ...float64) (samples []workload.Sample) {
	for _, c := range cpu {
		samples = append(samples, workload.Sample{System: system, Row: "W1", Seconds: 10, Broker: c, Bytes: 1 << 30, Records: 1 << 20, Requests: 1 << 10})
	}
	return samples
}

func TestCompare_SaysWhatBecameWorse(t *testing.T) {
	before := kept{Samples: append(of("wadi", 1.0, 1.1, 0.9), of("floor", 0.5)...)}
	for _, row := range []struct {
		is    []workload.Sample
		worse int
	}{
		{of("wadi", 1.05), 0},        // within the range
		{of("wadi", 0.5, 0.5), 0},    // better
		{of("wadi", 1.5, 1.4), 1},    // beyond the range
		{of("floor", 0.53, 0.53), 0}, // by less than a tenth
		{of("other", 9), 0},          // wasn't there
	} {
		if got := compare(before, kept{Samples: row.is}, 0.10); got != row.worse {
			t.Errorf("%v: %d became worse", row.is[0].Broker, got)
		}
	}
}

func TestPrint_HasMediansAndRanges(t *testing.T) {
	var text strings.Builder
	printSamples(&text, of("wadi", 1, 3, 2), 0.1)
	if !strings.Contains(text.String(), "2.000   (1.000 … 3.000)") {
		t.Error(text.String())
	}
}

func TestRows_AreFound(t *testing.T) {
	for _, r := range workload.Rows() {
		if got, err := workload.RowOf(r.Name); err != nil || got.Window == 0 || got.Profile == "" {
			t.Errorf("%s: %+v, %v", r.Name, got, err)
		}
	}
	if _, err := workload.RowOf("W99"); err == nil {
		t.Error("a row that isn't there was found")
	}
}
