package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// circles finds transactions whose information flows in a circle: each read what
// the one before it sent. Only write-read edges count: Kafka doesn't isolate
// writes, so edges from write to write would close circles in correct logs.
func (c *Checker) circles() {
	next := map[int32][]int32{} // writer to readers; only operations that also read can close a circle
	for _, f := range c.flows {
		writer := f.log.values[f.value].op
		if writer >= 0 && c.ops[writer].flows && !endsWith(next[writer], f.op) {
			next[writer] = append(next[writer], f.op)
		}
	}
	for _, part := range components(next) {
		circle := shortest(next, part)
		a := Anomaly{Kind: CircularInformation, First: -1, Last: -1}
		var said []string
		for i, op := range circle {
			from := circle[(i+len(circle)-1)%len(circle)]
			key, text := c.carried(from, op)
			a.Lines = append(a.Lines, c.ops[op].began, c.ops[op].ended)
			a.Values = append(a.Values, text)
			said = append(said, fmt.Sprintf("%s (line %d) read %q of %s, which %s (line %d) sent",
				c.ops[op].process.name, c.ops[op].line(), text, key, c.ops[from].process.name, c.ops[from].line()))
			if i == 0 {
				a.Key = key
			}
		}
		a.Says = "information flows in a circle: " + strings.Join(said, "; ")
		c.add(a)
	}
}

// endsWith finds what was added before: one operation's reads come together.
func endsWith(list []int32, op int32) bool { return len(list) > 0 && list[len(list)-1] == op }

// carried is a value that went from one operation to another.
func (c *Checker) carried(from, to int32) (key, text string) {
	for _, f := range c.flows {
		if v := &f.log.values[f.value]; f.op == to && v.op == from {
			return f.log.key, v.text
		}
	}
	return "", ""
}

// components are the strongly connected sets of at least two operations, by
// Tarjan's algorithm with a stack of its own.
func components(next map[int32][]int32) (found [][]int32) {
	type frame struct {
		node int32
		edge int
	}
	index, low, onStack := map[int32]int{}, map[int32]int{}, map[int32]bool{}
	var stack []int32
	for _, root := range slices.Sorted(maps.Keys(next)) {
		if index[root] > 0 {
			continue
		}
		var frames []frame
		enter := func(n int32) {
			index[n] = len(index) + 1
			low[n] = index[n]
			stack, onStack[n] = append(stack, n), true
			frames = append(frames, frame{node: n})
		}
		enter(root)
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			n := f.node
			if f.edge < len(next[n]) {
				to := next[n][f.edge]
				f.edge++
				if index[to] == 0 {
					enter(to)
				} else if onStack[to] {
					low[n] = min(low[n], index[to])
				}
				continue
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				above := frames[len(frames)-1].node
				low[above] = min(low[above], low[n])
			}
			if low[n] != index[n] {
				continue
			}
			at := len(stack) - 1
			for stack[at] != n {
				at--
			}
			if part := stack[at:]; len(part) > 1 {
				found = append(found, slices.Clone(part))
			}
			for _, m := range stack[at:] {
				onStack[m] = false
			}
			stack = stack[:at]
		}
	}
	return found
}

// startsMax bounds how many operations of a set are tried as a circle's start.
const startsMax = 64

// shortest is the shortest circle through one of a set's first operations.
func shortest(next map[int32][]int32, part []int32) (best []int32) {
	inside := map[int32]bool{}
	for _, n := range part {
		inside[n] = true
	}
	slices.Sort(part)
	for _, start := range part[:min(len(part), startsMax)] {
		before := map[int32]int32{}
		queue := []int32{start}
		for len(queue) > 0 {
			n := queue[0]
			queue = queue[1:]
			for _, to := range next[n] {
				if to == start {
					circle := []int32{n}
					for n != start {
						n = before[n]
						circle = append(circle, n)
					}
					slices.Reverse(circle)
					if best == nil || len(circle) < len(best) {
						best = circle
					}
					queue = nil
					break
				}
				if _, seen := before[to]; !seen && inside[to] {
					before[to] = n
					queue = append(queue, to)
				}
			}
		}
	}
	return best
}
