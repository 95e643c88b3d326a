package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// Report ends the check: what needs the whole history is judged now. Add must
// not be called after it.
func (c *Checker) Report() *Report {
	proven := c.proven()
	keys := slices.Sorted(maps.Keys(c.keys))
	for _, key := range keys {
		j := judge{Checker: c, log: c.keys[key], proven: proven}
		j.settle()
		j.offsets()
		j.reads()
		j.writes()
		j.gaps()
		j.skips()
		j.order()
	}
	if !c.uncommitted {
		c.circles()
	}
	c.report.Keys = len(keys)
	for _, k := range Kinds() {
		c.report.Anomalies = append(c.report.Anomalies, c.found[k]...)
	}
	return &c.report
}

// proven are operations of unknown outcome of which something was read: all
// of what they sent was committed.
func (c *Checker) proven() map[int32]bool {
	proven := map[int32]bool{}
	for _, l := range c.keys {
		for _, n := range l.sent {
			if v := &l.values[n]; v.read >= 0 && c.ops[v.op].state == Info {
				proven[v.op] = true
			}
		}
	}
	return proven
}

// judge is one key at the end of the history.
type judge struct {
	*Checker
	log    *log
	proven map[int32]bool
	bound  int64          // the highest offset that was read; -1: none
	merged map[Why][]hole // disjoint and rising
	known  []int64        // offsets at which something was seen or acknowledged, rising
	void   []int64        // offsets acknowledged to senders that failed, rising
}

func (j *judge) committed(v *value) bool {
	if v.op < 0 {
		return false
	}
	// A read_uncommitted history's failed transactions count as unknown.
	return j.ops[v.op].state == OK || j.ops[v.op].state == Info && j.proven[v.op]
}

// settle orders what was gathered, with the acknowledged offsets among it.
func (j *judge) settle() {
	l := j.log
	slices.SortFunc(l.holes, func(a, b hole) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last)) })
	j.merged = merge(l.holes)
	j.bound = -1
	for offset := range l.at {
		j.bound = max(j.bound, offset)
	}
	for _, n := range l.sent {
		v := &l.values[n]
		if j.ops[v.op].state == OK {
			j.report.Acked++
		}
		switch {
		case v.acked < 0:
		case !j.committed(v):
			j.void = append(j.void, v.acked)
		default:
			if at, ok := l.at[v.acked]; !ok {
				l.at[v.acked] = n
			} else if at != n {
				l.disagreed(v.acked, at, n, j.ops[v.op].line())
			}
		}
	}
	j.known = slices.Sorted(maps.Keys(l.at))
	slices.Sort(j.void)
}

// merge joins the holes of each kind that touch, so that one search finds an offset.
func merge(holes []hole) map[Why][]hole {
	merged := map[Why][]hole{}
	for _, h := range holes {
		list := merged[h.why]
		if n := len(list); n > 0 && h.first <= list[n-1].last+1 {
			list[n-1].last = max(list[n-1].last, h.last)
			continue
		}
		merged[h.why] = append(list, h)
	}
	return merged
}

// in returns the hole of one of these kinds that covers an offset.
func (j *judge) in(offset int64, whys ...Why) (hole, bool) {
	for _, why := range whys {
		list := j.merged[why]
		i := sort.Search(len(list), func(i int) bool { return list[i].last >= offset })
		if i < len(list) && list[i].first <= offset {
			return list[i], true
		}
	}
	return hole{}, false
}

func (j *judge) gone(offset int64) bool {
	_, ok := j.in(offset, Compacted, Trimmed)
	return ok
}

// offsets: each has one value, each value one offset, and it is the acknowledged one.
func (j *judge) offsets() {
	l := j.log
	for _, offset := range slices.Sorted(maps.Keys(l.odd)) {
		a := Anomaly{Kind: InconsistentOffsets, Key: l.key, First: offset, Last: offset}
		for _, n := range slices.Sorted(maps.Keys(l.odd[offset])) {
			a.Values = append(a.Values, l.values[n].text)
			a.Lines = append(a.Lines, l.odd[offset][n])
			if op := l.values[n].op; op >= 0 && l.values[n].acked == offset {
				a.Lines = append(a.Lines, j.ops[op].line())
			}
		}
		a.Says = fmt.Sprintf("offset %d of %s is %s", offset, l.key, words(a.Values, " and "))
		j.add(a)
	}
	for _, n := range slices.Sorted(maps.Keys(l.twice)) {
		v, p := &l.values[n], l.twice[n]
		j.add(Anomaly{Kind: Duplicate, Key: l.key, Values: []string{v.text}, First: slices.Min(p.offsets), Last: slices.Max(p.offsets), Lines: p.lines,
			Says: fmt.Sprintf("%q was sent to %s once and read at offsets %s", v.text, l.key, numbers(p.offsets))})
	}
	for _, n := range l.sent {
		v := &l.values[n]
		if v.acked < 0 || v.read < 0 || v.acked == v.read || slices.Contains(l.twice[n].offsets, v.acked) {
			continue
		}
		j.add(Anomaly{Kind: AcknowledgedOffset, Key: l.key, Values: []string{v.text}, First: min(v.acked, v.read), Last: max(v.acked, v.read),
			Lines: []int{j.ops[v.op].line(), v.firstRead},
			Says:  fmt.Sprintf("%q was acknowledged at offset %d of %s and read at %d", v.text, v.acked, l.key, v.read)})
	}
}

// reads: what was read was sent, before, by an operation that didn't fail.
func (j *judge) reads() {
	l := j.log
	for n := range l.values {
		v := &l.values[n]
		if v.read < 0 {
			continue
		}
		a := Anomaly{Key: l.key, Values: []string{v.text}, First: v.read, Last: v.read, Lines: []int{v.firstRead}}
		if v.op < 0 {
			if _, earlier := j.in(v.read, Earlier); !earlier {
				a.Kind, a.Says = PhantomValue, fmt.Sprintf("%q was read at offset %d of %s and nobody sent it there", v.text, v.read, l.key)
				j.add(a)
			}
			continue
		}
		op := &j.ops[v.op]
		a.Lines = append(a.Lines, op.began, op.committed, op.ended)
		if h, ok := j.in(v.read, Control); ok {
			a.Kind, a.Says = InconsistentOffsets, fmt.Sprintf("%q was read at offset %d of %s, in the hole %d–%d of control records", v.text, v.read, l.key, h.first, h.last)
			j.add(a)
		}
		switch h, aborted := j.in(v.read, Aborted); {
		case op.state == Fail:
			a.Kind, a.Says = AbortedRead, fmt.Sprintf("%q was read at offset %d of %s, and %s's %s failed", v.text, v.read, l.key, op.process.name, op.kind())
			j.add(a)
		case aborted && !j.uncommitted:
			a.Kind, a.Says = AbortedRead, fmt.Sprintf("%q was read at offset %d of %s, in the hole %d–%d of aborted records", v.text, v.read, l.key, h.first, h.last)
			j.add(a)
		case v.own: // It was told when it was met.
		case v.firstRead < op.began:
			a.Kind, a.Says = PrecommittedRead, fmt.Sprintf("%q was read at offset %d of %s before %s sent it", v.text, v.read, l.key, op.process.name)
			j.add(a)
		case v.firstRead < op.committed && !j.uncommitted:
			a.Kind, a.Says = PrecommittedRead, fmt.Sprintf("%q was read at offset %d of %s before the transaction of %s asked for its commit", v.text, v.read, l.key, op.process.name)
			j.add(a)
		}
	}
}

func (o *operation) kind() string {
	if o.txn {
		return "transaction"
	}
	return "send"
}

// writes: what was acknowledged was read, unless it was removed since.
func (j *judge) writes() {
	l := j.log
	for _, n := range l.sent {
		v := &l.values[n]
		if v.read >= 0 || !j.committed(v) || v.acked >= 0 && j.gone(v.acked) {
			continue
		}
		op := &j.ops[v.op]
		a := Anomaly{Kind: Unseen, Key: l.key, Values: []string{v.text}, First: v.acked, Last: v.acked, Lines: []int{op.began, op.ended}}
		what := fmt.Sprintf("%q was acknowledged to %s", v.text, op.process.name)
		if v.acked >= 0 {
			what += fmt.Sprintf(" at offset %d", v.acked)
		}
		what += fmt.Sprintf(" of %s and never read", l.key)
		h, void := j.in(v.acked, Control, Aborted)
		switch {
		case v.acked >= 0 && void:
			a.Kind, a.Says = LostWrite, fmt.Sprintf("%s; offsets %d–%d are said to be %s", what, h.first, h.last, h.why)
		case v.acked >= 0 && v.acked <= j.bound:
			a.Kind, a.Says = LostWrite, fmt.Sprintf("%s, though offset %d was", what, j.bound)
			if at := l.values[l.at[j.bound]]; at.firstRead > 0 {
				a.Lines = append(a.Lines, at.firstRead)
			}
		default:
			a.Says = what
		}
		j.add(a)
	}
}

// gaps: every offset up to the highest that was read is accounted for.
func (j *judge) gaps() {
	next := int64(0)
	known, void, holes := j.known, j.void, j.log.holes
	for next <= j.bound {
		for len(void) > 0 && void[0] < next {
			void = void[1:]
		}
		for len(known) > 0 && known[0] < next {
			known = known[1:]
		}
		for len(holes) > 0 && holes[0].last < next {
			holes = holes[1:]
		}
		first := j.bound + 1 // of what is accounted for, at or after next
		after := first
		for _, list := range [][]int64{known, void} {
			if len(list) > 0 && list[0] < first {
				first, after = list[0], list[0]+1
			}
		}
		if len(holes) > 0 && holes[0].first <= first {
			first, after = max(holes[0].first, next), holes[0].last+1
		}
		if first > next {
			j.add(Anomaly{Kind: OffsetGap, Key: j.log.key, First: next, Last: first - 1,
				Says: fmt.Sprintf("nothing explains %s of %s: no value, no control record, no aborted or compacted batch", span(next, first-1), j.log.key)})
		}
		next = after
	}
}

// skips: what a poll left out wasn't there, or was removed.
func (j *judge) skips() {
	l := j.log
	for _, leap := range l.leaps {
		i, _ := slices.BinarySearch(j.known, leap.first)
		var left []string
		var first, last int64
		n := 0
		for ; i < len(j.known) && j.known[i] <= leap.last; i++ {
			offset := j.known[i]
			if v := &l.values[l.at[offset]]; j.gone(offset) || v.op >= 0 && j.ops[v.op].state == Fail {
				continue
			}
			if last = offset; n == 0 {
				first = offset
			}
			if n++; n <= 4 {
				left = append(left, l.values[l.at[offset]].text)
			}
		}
		if n == 0 {
			continue
		}
		a := Anomaly{Kind: PollSkip, Key: l.key, Values: left, First: first, Last: last, Process: leap.process.name, Lines: []int{leap.line},
			Says: fmt.Sprintf("%s read offset %d of %s and then %d, past %d that others know", leap.process.name, leap.first-1, l.key, leap.last+1, n)}
		if leap.first == 0 {
			a.Says = fmt.Sprintf("%s read %s from offset 0 and was given %d, past %d that others know", leap.process.name, l.key, leap.last+1, n)
		}
		if leap.internal {
			a.Kind = IntPollSkip
			a.Says += ", in one operation"
		}
		j.add(a)
	}
}

// order: a process's sends stand in the order in which it made them. One of
// unknown outcome may land late; it must not land before its predecessors.
func (j *judge) order() {
	l := j.log
	last := map[*process]int32{}
	for _, n := range l.sent {
		v := &l.values[n]
		if v.offset() < 0 || !j.committed(v) {
			continue
		}
		op := &j.ops[v.op]
		if before, ok := last[op.process]; ok {
			j.follow(&l.values[before], v)
		}
		if op.state == OK {
			last[op.process] = n
		}
	}
}

func (j *judge) follow(a, b *value) {
	l, op := j.log, &j.ops[b.op]
	from, to := a.offset(), b.offset()
	found := Anomaly{Key: l.key, Values: []string{a.text, b.text}, First: min(from, to), Last: max(from, to), Process: op.process.name,
		Lines: []int{j.ops[a.op].line(), op.line()}}
	same := a.op == b.op
	switch {
	case to <= from:
		found.Kind, found.Says = NonmonotonicSend, fmt.Sprintf("%s sent %q to %s and then %q, which stand at offsets %d and %d", op.process.name, a.text, l.key, b.text, from, to)
		if same {
			found.Kind = IntNonmonotonicSend
			found.Says += ", in one operation"
		}
	case same && to > from+1:
		i, _ := slices.BinarySearch(j.known, from+1)
		if i == len(j.known) || j.known[i] >= to {
			return
		}
		found.Kind, found.Says = IntSendSkip, fmt.Sprintf("%s sent %q and %q to %s in one operation, and other values stand between offsets %d and %d", op.process.name, a.text, b.text, l.key, from, to)
	default:
		return
	}
	j.add(found)
}

func words(values []string, between string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quoted, between)
}

func numbers(offsets []int64) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(slices.Sorted(slices.Values(offsets))), " ", ", "), "[]")
}

func span(first, last int64) string {
	if first == last {
		return fmt.Sprintf("offset %d", first)
	}
	return fmt.Sprintf("offsets %d–%d", first, last)
}
