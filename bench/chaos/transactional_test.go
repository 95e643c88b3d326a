package main

import (
	"strings"
	"testing"
)

// A partition's copies are its values, each once, in their order.
func TestSameCopies(t *testing.T) {
	values := strings.Fields("a b c")
	for _, row := range []struct{ copies, says string }{
		{"x/0.0 of a,x/0.1 of b,y/4.0 of c", ""},
		{"x/0.0 of a,x/0.1 of b", `"c" was not`},
		{"", `"a" was not`},
		{"x/0.0 of a,x/1.0 of a,x/1.1 of b,x/1.2 of c", `a copy of "b" is due`},
		{"x/0.0 of b,x/0.1 of a,x/0.2 of c", `a copy of "a" is due`},
		{"x/0.0 of a,x/0.1 of b,x/0.2 of c,x/1.0 of c", "one too many"},
		{"x/0.0 of a,b", "is no copy"},
	} {
		var copies []string
		if row.copies != "" {
			copies = strings.Split(row.copies, ",")
		}
		n, err := sameCopies(values, copies)
		if row.says == "" {
			if n != len(values) || err != nil {
				t.Errorf("%s: %d, %v", row.copies, n, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, not %q", row.copies, err, row.says)
		}
	}
}

// Each sort of producers is named once, by its own name.
func TestParseProducers(t *testing.T) {
	for text, n := range map[string]int{"idempotent,plain": 2, "transactional": 1, "plain,transactional,idempotent": 3, "plain,plain": 0, "": 0, "other": 0} {
		if names, err := parseProducers(text); len(names) != n || (err == nil) != (n > 0) {
			t.Errorf("%q: %q, %v", text, names, err)
		}
	}
}
