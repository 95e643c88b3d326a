package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// absent is the value of a field that only the other broker's answer has.
const absent = "(absent)"

// difference is a field that differs. In the list, call, field and values may hold
// "*", which stands for anything.
type difference struct {
	call, field, kafka, wadi string
	reason                   string // of a listed one
	seen                     bool   // of a listed one
}

// compare returns the fields in which two runs of the same scripts differ.
func compare(kafka, wadi []answer) (found []difference) {
	for i := range max(len(kafka), len(wadi)) {
		if i >= len(kafka) || i >= len(wadi) || kafka[i].call != wadi[i].call {
			return append(found, difference{call: "(the scripts themselves)", field: fmt.Sprintf("call %d", i), kafka: callAt(kafka, i), wadi: callAt(wadi, i)})
		}
		if whole, one := kafka[i].fields["outcome"], wadi[i].fields["outcome"]; whole != one && (whole != "" || one != "") {
			found = append(found, difference{call: kafka[i].call, field: "outcome", kafka: orAnswered(whole), wadi: orAnswered(one)})
			continue
		}
		fields := maps.Clone(kafka[i].fields)
		maps.Copy(fields, wadi[i].fields)
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			a, b := valueOf(kafka[i], field), valueOf(wadi[i], field)
			if a != b {
				found = append(found, difference{call: kafka[i].call, field: field, kafka: a, wadi: b})
			}
		}
	}
	return found
}

func callAt(answers []answer, i int) string {
	if i < len(answers) {
		return answers[i].call
	}
	return absent
}

func orAnswered(outcome string) string {
	if outcome == "" {
		return "answered"
	}
	return outcome
}

func valueOf(a answer, field string) string {
	if value, ok := a.fields[field]; ok {
		return value
	}
	return absent
}

// explain looks for a difference in the list and marks what explains it.
func explain(listed []*difference, d difference) bool {
	for _, l := range listed {
		if matches(l.call, d.call) && matches(l.field, d.field) && matches(l.kafka, d.kafka) && matches(l.wadi, d.wadi) {
			l.seen = true
			return true
		}
	}
	return false
}

// matches: "*" in a pattern stands for anything.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

// alternatives are what a field with {a,b} in it stands for.
func alternatives(field string) (fields []string) {
	head, rest, _ := strings.Cut(field, "{")
	inner, tail, found := strings.Cut(rest, "}")
	if !found {
		return []string{field}
	}
	for one := range strings.SplitSeq(inner, ",") {
		fields = append(fields, head+one+tail)
	}
	return fields
}

// parseDifferences reads the tables of DIFFERENCES.md: call, field, Apache Kafka,
// Wadi, reason.
func parseDifferences(text string) (listed []*difference, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| call ") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		if len(cells) != 5 {
			return nil, fmt.Errorf("a line of DIFFERENCES.md has %d cells instead of 5: %s", len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		if slices.Contains(cells, "") {
			return nil, fmt.Errorf("a line of DIFFERENCES.md has an empty cell: %s", line)
		}
		for _, field := range alternatives(cells[1]) {
			listed = append(listed, &difference{call: cells[0], field: field, kafka: cells[2], wadi: cells[3], reason: cells[4]})
		}
	}
	return listed, nil
}
