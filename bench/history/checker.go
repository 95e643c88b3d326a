package history

import (
	"fmt"
	"iter"
	"slices"
)

// Check judges a whole history.
func Check(h Header, events iter.Seq2[Event, error]) (*Report, error) {
	c := NewChecker(h)
	for e, err := range events {
		if err == nil {
			err = c.Add(e)
		}
		if err != nil {
			return nil, err
		}
	}
	return c.Report(), nil
}

// Checker takes a history's events one after the other. One goroutine owns it.
type Checker struct {
	ignored     map[Kind]bool
	uncommitted bool // pollers may see what isn't committed
	line        int
	report      Report
	found       map[Kind][]Anomaly
	keys        map[string]*log
	processes   map[string]*process
	ops         []operation
	flows       []flow // what transactions that send have read
}

// NewChecker begins a check; the header must be valid.
func NewChecker(h Header) *Checker {
	c := &Checker{
		ignored:     map[Kind]bool{},
		uncommitted: h.Isolation == ReadUncommitted,
		line:        1,
		report:      Report{Counts: map[Kind]int{}},
		found:       map[Kind][]Anomaly{},
		keys:        map[string]*log{},
		processes:   map[string]*process{},
	}
	for _, k := range onRequest() {
		c.ignored[k] = !slices.Contains(h.LookFor, k)
	}
	for _, k := range h.Ignore {
		c.ignored[k] = true
	}
	return c
}

// operation is what the checker keeps of an operation that sends: 40 bytes.
type operation struct {
	began     int // line of its invocation; 0 if it wasn't recorded
	committed int // line at which its commit was asked for; 0 if it wasn't recorded
	ended     int // line of its completion; 0 while there is none
	process   *process
	state     Type // Info until it completes
	txn       bool
	flows     bool // it sends and polls
}

// process is one client.
type process struct {
	name    string
	at      map[*log]int64   // the offset it read last, by key
	pending map[string]int32 // operations that were invoked, by id; -1 is one that sends nothing
}

// flow is one step of information: op read value v of a log.
type flow struct {
	log   *log
	value int32
	op    int32
}

func (c *Checker) log(key string) *log {
	l := c.keys[key]
	if l == nil {
		l = newLog(key)
		c.keys[key] = l
	}
	return l
}

func (c *Checker) process(name string) *process {
	p := c.processes[name]
	if p == nil {
		p = &process{name: name, at: map[*log]int64{}, pending: map[string]int32{}}
		c.processes[name] = p
	}
	return p
}

// add counts an anomaly, and keeps it if there aren't many of its kind.
func (c *Checker) add(a Anomaly) {
	if c.ignored[a.Kind] {
		return
	}
	c.report.Counts[a.Kind]++
	if len(c.found[a.Kind]) < anomaliesKeptMax {
		a.Lines = slices.Compact(slices.Sorted(slices.Values(a.Lines)))
		if len(a.Lines) > 0 && a.Lines[0] == 0 {
			a.Lines = a.Lines[1:]
		}
		c.found[a.Kind] = append(c.found[a.Kind], a)
	}
}

// Add takes the next event. An error is a history that contradicts the format;
// the check is over then.
func (c *Checker) Add(e Event) error {
	if e.Line > 0 {
		c.line = e.Line
	} else {
		c.line++
	}
	err := e.validate()
	if err == nil {
		c.report.Events++
		switch e.Function {
		case Hole:
			l := c.log(e.Key)
			l.holes = append(l.holes, hole{e.First, e.Last, e.Why})
		case Assign, Subscribe, Rebalance:
			c.reassign(&e)
		default:
			err = c.operate(&e)
		}
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", c.line, err)
	}
	return nil
}

// reassign says which positions still hold: those of keys that stay assigned,
// as the clients' assign keeps them.
func (c *Checker) reassign(e *Event) {
	p := c.process(e.Process)
	switch {
	case e.Type == Invoke || e.Type == Fail:
		return
	case e.Type == Info:
		clear(p.at)
		return
	case e.Function == Rebalance:
		for _, key := range e.Keys {
			delete(p.at, c.log(key))
		}
	default:
		kept := make(map[string]bool, len(e.Keys))
		for _, key := range e.Keys {
			kept[key] = true
		}
		for l := range p.at {
			if !kept[l.key] {
				delete(p.at, l)
			}
		}
	}
	for key, offset := range e.From {
		p.at[c.log(key)] = offset - 1
	}
}

// operate takes an event of a send, a poll or a transaction.
func (c *Checker) operate(e *Event) error {
	p := c.process(e.Process)
	pending, invoked := p.pending[e.ID]
	switch e.Type {
	case Invoke:
		if invoked {
			return fmt.Errorf("the process %q has an operation %q in flight: give operations in flight ids of their own", e.Process, e.ID)
		}
		op := c.begin(p, e, c.line)
		p.pending[e.ID] = op
		return c.attempt(op, e, false)
	case Commit:
		if !invoked {
			return fmt.Errorf("the process %q has no operation %q in flight to commit", e.Process, e.ID)
		}
		if pending >= 0 {
			c.ops[pending].committed = c.line
		}
		return nil
	}
	if !invoked {
		pending = c.begin(p, e, 0)
	}
	delete(p.pending, e.ID)
	if pending >= 0 {
		o := &c.ops[pending]
		if o.state = e.Type; o.txn && e.Type == Fail && c.uncommitted {
			o.state = Info // what it sent may be read
		}
		o.ended = c.line
	}
	if err := c.attempt(pending, e, true); err != nil {
		return err
	}
	c.poll(p, pending, e)
	return nil
}

// begin notes an operation; one that can't send needs no note.
func (c *Checker) begin(p *process, e *Event, line int) int32 {
	if e.Function == Poll {
		return -1
	}
	c.ops = append(c.ops, operation{began: line, process: p, state: Info, txn: e.Function == Txn})
	return int32(len(c.ops) - 1)
}

// attempt notes the values that an operation sends.
func (c *Checker) attempt(op int32, e *Event, completed bool) error {
	sends, polls := false, false
	for i := range e.Ops {
		s := &e.Ops[i]
		if s.Poll != nil {
			polls = true
			continue
		}
		if op < 0 {
			return fmt.Errorf("the operation was invoked as a poll, and sends")
		}
		sends = true
		l := c.log(s.Send)
		n := l.intern(s.Value)
		v := &l.values[n]
		switch {
		case v.op < 0:
			v.op = op
			l.sent = append(l.sent, n)
			c.report.Sent++
		case v.op != op:
			return fmt.Errorf("the value %q was sent to %q before, in the operation of line %d: a value is sent once", s.Value, s.Send, c.ops[v.op].line())
		case !completed || v.completed:
			return fmt.Errorf("the value %q is sent to %q twice: a value is sent once", s.Value, s.Send)
		}
		v.completed = completed
		if s.Offset != nil {
			v.acked = *s.Offset
		}
	}
	if completed && sends && polls {
		c.ops[op].flows = true
	}
	return nil
}

func (o *operation) line() int {
	if o.ended > 0 {
		return o.ended
	}
	return o.began
}

// poll takes the records that an operation was handed. They count whatever
// became of the operation: a log hands out only what is in it.
func (c *Checker) poll(p *process, op int32, e *Event) {
	var rebalanced map[string]bool
	for _, key := range e.Rebalanced {
		if rebalanced == nil {
			rebalanced = map[string]bool{}
		}
		rebalanced[key] = true
		delete(p.at, c.log(key))
	}
	var within map[*log]int64 // the last offset read in this operation
	for i := range e.Ops {
		for _, key := range keysOf(e.Ops[i].Poll) {
			records := e.Ops[i].Poll[key]
			if len(records) == 0 {
				continue
			}
			l := c.log(key)
			last, internal := within[l]
			known := internal
			if !internal {
				last, known = p.at[l]
			}
			for _, r := range records {
				if known && !(internal && rebalanced[key]) {
					c.step(l, p, last, r.Offset, internal)
				}
				c.read(l, op, r)
				last, known, internal = r.Offset, true, true
			}
			if within == nil {
				within = make(map[*log]int64, 1)
			}
			within[l] = last
		}
	}
	switch e.Type {
	case OK:
		for l, last := range within {
			p.at[l] = last
		}
	case Info: // The client may have gone past records that it never showed.
		if e.Function != Send {
			clear(p.at)
		}
	}
}

// keysOf are a poll's keys, in an order that is the same every time.
func keysOf(poll map[string][]Record) []string {
	keys := make([]string, 0, 8)
	for key := range poll {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// step checks that a poll at offset next goes on from last.
func (c *Checker) step(l *log, p *process, last, next int64, internal bool) {
	switch {
	case next <= last:
		a := Anomaly{Kind: NonmonotonicPoll, Key: l.key, First: next, Last: last, Process: p.name, Lines: []int{c.line},
			Says: fmt.Sprintf("%s read offset %d of %s after offset %d", p.name, next, l.key, last)}
		if internal {
			a.Kind = IntNonmonotonicPoll
			a.Says += ", in one operation"
		}
		c.add(a)
	case next > last+1: // Whether something lay between is known at the end.
		l.leaps = append(l.leaps, leap{first: last + 1, last: next - 1, process: p, line: c.line, internal: internal})
	}
}

// read takes one record.
func (c *Checker) read(l *log, op int32, r Record) {
	c.report.Read++
	n := l.intern(r.Value)
	v := &l.values[n]
	if v.read < 0 {
		v.read, v.firstRead = r.Offset, c.line
	} else if v.read != r.Offset {
		l.moved(n, r.Offset, c.line)
	}
	if at, ok := l.at[r.Offset]; !ok {
		l.at[r.Offset] = n
	} else if at != n {
		l.disagreed(r.Offset, at, n, c.line)
	}
	if op < 0 || c.uncommitted {
		return
	}
	o := &c.ops[op]
	if v.op == op {
		if !v.own {
			v.own = true
			c.add(Anomaly{Kind: PrecommittedRead, Key: l.key, Values: []string{r.Value}, First: r.Offset, Last: r.Offset, Process: o.process.name,
				Lines: []int{o.began, c.line}, Says: fmt.Sprintf("the transaction of %s read %q of %s, which it sent itself", o.process.name, r.Value, l.key)})
		}
	} else if o.flows {
		c.flows = append(c.flows, flow{l, n, op})
	}
}
