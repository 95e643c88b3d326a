package main

import (
	"testing"
)

func TestMatches(t *testing.T) {
	rows := []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"a*", "abc", true},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"a*c*e", "abcde", true},
		{"a*c*e", "abde", false},
		{"a*a", "a", false},
		{"*.Code", "Topics[a].Code", true},
		{"*.Code", "Topics[a].Codes", false},
	}
	for _, row := range rows {
		if got := matches(row.pattern, row.text); got != row.want {
			t.Errorf("matches(%q, %q) = %v", row.pattern, row.text, got)
		}
	}
}

func TestParseDifferences_TheList(t *testing.T) {
	all, err := parseDifferences(listed)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("the list is empty")
	}
	seen := map[string]bool{}
	for _, d := range all {
		if key := d.call + " | " + d.field + " | " + d.kafka + " | " + d.wadi; seen[key] {
			t.Errorf("listed twice: %s", key)
		} else {
			seen[key] = true
		}
	}
}

func TestParseDifferences_Bad(t *testing.T) {
	for _, line := range []string{"| a | b | c | d |", "| a | b | | d | e |", "| a | b | c | d | e | f |"} {
		if _, err := parseDifferences(line); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

func TestParseDifferences_Alternatives(t *testing.T) {
	all, err := parseDifferences("| call | field | x | y | z |\n|---|---|---|---|---|\n| c | F[{1,2}].G | k | w | because |\n")
	if err != nil || len(all) != 2 || all[0].field != "F[1].G" || all[1].field != "F[2].G" {
		t.Fatalf("%v, %v", all, err)
	}
}

func TestCompare(t *testing.T) {
	call := func(name string, fields ...string) answer {
		a := answer{call: name, fields: map[string]string{}}
		for i := 0; i+1 < len(fields); i += 2 {
			a.fields[fields[i]] = fields[i+1]
		}
		return a
	}
	rows := []struct {
		name        string
		kafka, wadi []answer
		want        []difference
	}{
		{"the same", []answer{call("c", "F", "1")}, []answer{call("c", "F", "1")}, nil},
		{"another value", []answer{call("c", "F", "1", "G", "2")}, []answer{call("c", "F", "3", "G", "2")},
			[]difference{{call: "c", field: "F", kafka: "1", wadi: "3"}}},
		{"a field more", []answer{call("c")}, []answer{call("c", "F", "3")},
			[]difference{{call: "c", field: "F", kafka: absent, wadi: "3"}}},
		{"no answer hides the fields", []answer{call("c", "F", "1")}, []answer{call("c", "outcome", "connection closed")},
			[]difference{{call: "c", field: "outcome", kafka: "answered", wadi: "connection closed"}}},
		{"closed by both", []answer{call("c", "outcome", "connection closed")}, []answer{call("c", "outcome", "connection closed")}, nil},
		{"a call more", []answer{call("c")}, nil,
			[]difference{{call: "(the scripts themselves)", field: "call 0", kafka: "c", wadi: absent}}},
	}
	for _, row := range rows {
		got := compare(row.kafka, row.wadi)
		if len(got) != len(row.want) {
			t.Errorf("%s: %v", row.name, got)
			continue
		}
		for i := range got {
			if got[i] != row.want[i] {
				t.Errorf("%s: %v, want %v", row.name, got[i], row.want[i])
			}
		}
	}
}
