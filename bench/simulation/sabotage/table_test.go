package main

import (
	"os"
	"testing"
)

// Each sabotage must still have its place in the product.
func TestTable_EachHasItsPlace(t *testing.T) {
	t.Chdir("../../..")
	names := map[string]bool{}
	for _, s := range table() {
		if names[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		names[s.name] = true
		if _, err := os.Stat(s.file); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if _, err := s.changed(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	if len(names) < 25 {
		t.Errorf("%d sabotages", len(names))
	}
}
