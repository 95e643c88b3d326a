package main

import (
	"testing"

	"github.com/wadi-io/wadi/bench/simulation/faketime"
)

// Each sabotage must still have its place in the product, and in the written table.
func TestTable_EachHasItsPlace(t *testing.T) {
	found, err := readTable("../SABOTAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range table() {
		if names[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		names[s.name] = true
		if err := faketime.Check(t.Context(), s.edits()...); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if _, ok := found[s.name]; !ok {
			t.Logf("%s has not been found yet: make sabotage", s.name)
		}
	}
}
