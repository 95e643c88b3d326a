package history

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds of what Tell prints.
const (
	toldMax   = 3  // anomalies of a kind
	eventsMax = 24 // events of an anomaly
	aroundMax = 2  // offsets beside the offending ones
)

// story is an anomaly with the events about it.
type story struct {
	Anomaly
	lines   []string
	omitted int
	told    map[[2]string]bool // operations whose invocation was told: process and id
}

// Tell writes the report for people: the counts, and of the first anomalies of
// each kind the events about the offending key. It walks the history again.
func (r *Report) Tell(w io.Writer, again iter.Seq2[Event, error]) error {
	stories := r.choose()
	line := 1
	for e, err := range again {
		if err != nil {
			return err
		}
		if line++; e.Line > 0 {
			line = e.Line
		}
		for _, s := range stories {
			s.hear(line, &e)
		}
	}
	var b strings.Builder
	for i, s := range stories {
		if i == 0 || stories[i-1].Kind != s.Kind {
			fmt.Fprintf(&b, "%s: %d\n", s.Kind, r.Counts[s.Kind])
		}
		fmt.Fprintf(&b, "  %s\n", s.Says)
		for _, l := range s.lines {
			fmt.Fprintf(&b, "    %s\n", l)
		}
		if s.omitted > 0 {
			fmt.Fprintf(&b, "    … and %d more about it\n", s.omitted)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) choose() (stories []*story) {
	told := map[Kind]int{}
	for _, a := range r.Anomalies {
		if told[a.Kind]++; told[a.Kind] <= toldMax {
			stories = append(stories, &story{Anomaly: a, told: map[[2]string]bool{}})
		}
	}
	return stories
}

// hear keeps an event if it is about the story.
func (s *story) hear(line int, e *Event) {
	what, about := s.about(line, e)
	operation := [2]string{e.Process, e.ID}
	switch e.Type {
	case Invoke:
		if about {
			s.told[operation] = true
		}
	case OK, Fail, Info:
		about = about || s.told[operation] && len(e.Ops) == 0
		delete(s.told, operation)
	}
	if !about {
		return
	}
	if len(s.lines) >= eventsMax && !slices.Contains(s.Lines, line) {
		s.omitted++
		return
	}
	s.lines = append(s.lines, describe(line, e, what))
}

// about is the part of an event that the story is about, in words.
func (s *story) about(line int, e *Event) (what []string, about bool) {
	about = slices.Contains(s.Lines, line)
	switch e.Function {
	case Hole:
		return []string{fmt.Sprintf("%s %s is %s", e.Key, span(e.First, e.Last), e.Why)},
			about || e.Key == s.Key && s.First >= 0 && e.First <= s.Last+aroundMax && e.Last >= s.First-aroundMax
	case Assign, Subscribe, Rebalance:
		what = []string{strings.Join(e.Keys, " ")}
		for _, key := range slices.Sorted(maps.Keys(e.From)) {
			what = append(what, fmt.Sprintf("%s from %d", key, e.From[key]))
		}
		return what, about || s.Process != "" && e.Process == s.Process && (e.Function != Rebalance || slices.Contains(e.Keys, s.Key))
	}
	whole := s.Kind == CircularInformation && about
	for i := range e.Ops {
		op := &e.Ops[i]
		if op.Poll == nil {
			offset := int64(-1)
			text := fmt.Sprintf("%s ← %q", op.Send, op.Value)
			if op.Offset != nil {
				offset = *op.Offset
				text += fmt.Sprintf(" at %d", offset)
			}
			if whole || op.Send == s.Key && s.concerns(offset, op.Value) {
				what, about = append(what, text), true
			}
			continue
		}
		for _, key := range keysOf(op.Poll) {
			if key != s.Key && !whole {
				continue
			}
			records, some := s.trim(op.Poll[key])
			if some {
				what, about = append(what, key+" → "+records), true
			}
		}
	}
	if about && len(e.Rebalanced) > 0 {
		what = append(what, "rebalanced "+strings.Join(e.Rebalanced, " "))
	}
	return what, about
}

func (s *story) concerns(offset int64, text string) bool {
	near := func(to int64) bool {
		return to >= 0 && offset >= 0 && offset >= to-aroundMax && offset <= to+aroundMax
	}
	return near(s.First) || near(s.Last) || slices.Contains(s.Values, text)
}

// trim shows the records that the story is about, and dots for the others.
func (s *story) trim(records []Record) (text string, some bool) {
	var parts []string
	dots := false
	for _, r := range records {
		if !s.concerns(r.Offset, r.Value) || len(parts) > 4*aroundMax {
			dots = true
			continue
		}
		if dots {
			parts, dots = append(parts, "…"), false
		}
		parts, some = append(parts, fmt.Sprintf("%d %q", r.Offset, r.Value)), true
	}
	if dots {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", "), some
}

func describe(line int, e *Event, what []string) string {
	parts := []string{fmt.Sprintf("line %d:", line)}
	if e.Time != 0 {
		parts = append(parts, time.Duration(e.Time).String())
	}
	parts = append(parts, e.Process, string(e.Type), string(e.Function))
	if e.ID != "" {
		parts = append(parts, "["+e.ID+"]")
	}
	if len(what) > 0 {
		parts = append(parts, strings.Join(what, "; "))
	}
	for _, extra := range []string{e.Error, e.Note} {
		if extra != "" {
			parts = append(parts, "("+extra+")")
		}
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " ")
}
