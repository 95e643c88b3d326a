package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// event is a line of a history, as bench/history/FORMAT.md says.
type event struct {
	Time     int64            `json:"time"`
	Process  string           `json:"process"`
	Type     string           `json:"type"`
	Function string           `json:"f"`
	ID       string           `json:"id,omitempty"`
	Ops      []op             `json:"ops,omitempty"`
	Keys     []string         `json:"keys,omitempty"`
	From     map[string]int64 `json:"from,omitempty"`
	Error    string           `json:"error,omitempty"`
	Note     string           `json:"note,omitempty"`
}

type op struct {
	Send   string              `json:"send,omitempty"`
	Value  string              `json:"value,omitempty"`
	Offset *int64              `json:"offset,omitempty"`
	Poll   map[string][]record `json:"poll,omitempty"`
}

// record is [offset, value].
type record struct {
	offset int64
	value  string
}

func (r record) MarshalJSON() ([]byte, error) { return json.Marshal([]any{r.offset, r.value}) }

const (
	stallMin    = 2 * time.Second // a silence that is told of
	stallsMax   = 64              // of these; the longest are kept
	troublesMax = 200             // kinds of errors that are told of
)

// stall is a time in which a client got nothing that it waited for.
type stall struct {
	Process string `json:"process"`
	From    int64  `json:"from"` // ns since the run began
	To      int64  `json:"to"`
}

// summary is what the process tells at its end.
type summary struct {
	Invoked      int             `json:"invoked"`
	Acknowledged int             `json:"acknowledged"`
	Unknown      int             `json:"unknown"`
	Read         int             `json:"read"`
	Commits      int             `json:"commits"`
	Rebalances   int             `json:"rebalances"`
	Transactions map[outcome]int `json:"transactions,omitempty"`
	OutOfRange   int             `json:"out_of_range"` // nothing is ever deleted: each is an anomaly
	Troubles     map[string]int  `json:"troubles"`
	Stalls       []stall         `json:"stalls"`
	NeverClosed  []string        `json:"never_closed,omitempty"` // clients that were left behind, and what their library calls them
}

// recorder writes the history and counts.
type recorder struct {
	file  *os.File
	since time.Time
	mu    struct {
		sync.Mutex
		summary
		err     error
		waiting map[string]*waiting // by process
		behind  map[string]bool     // clients that are left behind
	}
}

// waiting is what a client waits for.
type waiting struct {
	since   time.Time // the last success, or when it began to wait
	pending int
	reads   bool // it waits for records all the time
}

func newRecorder(file *os.File, since time.Time) *recorder {
	r := &recorder{file: file, since: since}
	r.mu.Troubles = map[string]int{}
	r.mu.Transactions = map[outcome]int{}
	r.mu.waiting = map[string]*waiting{}
	r.mu.behind = map[string]bool{}
	return r
}

// write appends a line. The caller holds no lock that a client's callback needs.
func (r *recorder) write(e event) {
	e.Time = int64(time.Since(r.since))
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.file.Write(append(line, '\n')) // one write: whole, whoever else appends
	}
	if err != nil {
		r.mu.Lock()
		r.mu.err = err
		r.mu.Unlock()
	}
}

func (r *recorder) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.err
}

// sends writes that a value is about to be sent.
func (r *recorder) sends(process string, id int, k key, value string) {
	r.invokes(process, 1)
	r.write(event{Process: process, Type: "invoke", Function: "send", ID: strconv.Itoa(id), Ops: []op{{Send: k.String(), Value: value}}})
}

// invokes counts sends that are about to be made.
func (r *recorder) invokes(process string, sends int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.Invoked += sends
	w := r.mu.waiting[process]
	if w == nil {
		w = &waiting{}
		r.mu.waiting[process] = w
	}
	if w.pending++; w.pending == 1 && !w.reads {
		w.since = time.Now()
	}
}

// outcome is what became of a transaction.
type outcome string

const (
	done    outcome = "ok"
	undone  outcome = "fail" // nobody asked for its commit, or that was refused
	unknown outcome = "info"
)

// begins writes that a transaction is about to send.
func (r *recorder) begins(process string, id int, sends []send) {
	r.invokes(process, len(sends))
	r.write(event{Process: process, Type: "invoke", Function: "txn", ID: strconv.Itoa(id), Ops: opsOf(nil, sends)})
}

// asks writes that the commit of a transaction is about to be asked for.
func (r *recorder) asks(process string, id int) {
	r.write(event{Process: process, Type: "commit", Function: "txn", ID: strconv.Itoa(id)})
}

// ended writes what became of a transaction, and what it was handed.
func (r *recorder) ended(process string, id int, result outcome, polls map[key][]record, sends []send, err error) {
	e := event{Process: process, Type: string(result), Function: "txn", ID: strconv.Itoa(id), Ops: opsOf(polls, sends)}
	if err != nil {
		e.Error = err.Error()
	}
	r.write(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.Transactions[result]++
	w := r.mu.waiting[process]
	w.pending--
	for _, list := range polls {
		r.mu.Read += len(list)
	}
	switch result {
	case done:
		r.mu.Acknowledged += len(sends)
		r.stalledLocked(process, w.since)
		w.since = time.Now()
	case unknown:
		r.mu.Unknown += len(sends)
	}
}

func opsOf(polls map[key][]record, sends []send) (ops []op) {
	if len(polls) > 0 {
		ops = append(ops, op{Poll: byName(polls)})
	}
	for _, s := range sends {
		o := op{Send: s.key.String(), Value: s.value}
		if s.offset >= 0 {
			o.Offset = &s.offset
		}
		ops = append(ops, o)
	}
	return ops
}

func byName(records map[key][]record) map[string][]record {
	named := make(map[string][]record, len(records))
	for k, list := range records {
		named[k.String()] = list
	}
	return named
}

// sent writes what became of a value: acknowledged at an offset, or nobody knows.
func (r *recorder) sent(process string, id int, k key, value string, offset int64, err error) {
	e := event{Process: process, Type: "info", Function: "send", ID: strconv.Itoa(id)}
	if err == nil {
		e.Type, e.Ops = "ok", []op{{Send: k.String(), Value: value, Offset: &offset}}
		if offset < 0 {
			e.Ops[0].Offset = nil
		}
	} else {
		e.Error = err.Error()
	}
	r.write(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.mu.waiting[process]
	if w.pending--; err == nil {
		r.mu.Acknowledged++
		r.stalledLocked(process, w.since)
		w.since = time.Now()
	} else {
		r.mu.Unknown++
		r.mu.Troubles["send: "+err.Error()]++
	}
}

func (r *recorder) stalledLocked(process string, from time.Time) {
	now := time.Now()
	if now.Sub(from) < stallMin {
		return
	}
	r.mu.Stalls = append(r.mu.Stalls, stall{process, int64(from.Sub(r.since)), int64(now.Sub(r.since))})
	if len(r.mu.Stalls) > stallsMax {
		slices.SortFunc(r.mu.Stalls, func(a, b stall) int { return int((b.To - b.From) - (a.To - a.From)) })
		r.mu.Stalls = r.mu.Stalls[:stallsMax]
	}
}

// assigned writes where a reader begins.
func (r *recorder) assigned(process string, places map[key]int64) {
	e := event{Process: process, Type: "ok", Function: "assign", From: map[string]int64{}}
	for k, offset := range places {
		e.Keys = append(e.Keys, k.String())
		e.From[k.String()] = offset
	}
	slices.Sort(e.Keys)
	r.write(e)
}

// subscribed writes which topics a member of a group asks for.
func (r *recorder) subscribed(process string, keys []key) {
	r.write(event{Process: process, Type: "ok", Function: "subscribe", Keys: names(keys)})
}

// What a rebalance does to keys.
const (
	given = "given"
	taken = "taken"
	lost  = "lost"
)

// rebalanced writes which keys were given to or taken from a member.
func (r *recorder) rebalanced(process, what string, keys []key) {
	if len(keys) == 0 {
		return
	}
	r.mu.Lock()
	r.mu.Rebalances++
	r.mu.Unlock()
	r.write(event{Process: process, Type: "ok", Function: "rebalance", Keys: names(keys), Note: what})
}

func names(keys []key) []string {
	list := make([]string, 0, len(keys))
	for _, k := range keys {
		list = append(list, k.String())
	}
	slices.Sort(list)
	return list
}

// polled writes what a poll handed over.
func (r *recorder) polled(process string, records map[key][]record) {
	n := 0
	for _, list := range records {
		n += len(list)
	}
	r.write(event{Process: process, Type: "ok", Function: "poll", Ops: []op{{Poll: byName(records)}}})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.Read += n
	if w := r.mu.waiting[process]; w != nil {
		r.stalledLocked(process, w.since)
		w.since = time.Now()
	}
}

// reads says that a reader begins to wait for records; done, that it stops.
func (r *recorder) reads(process string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.waiting[process] = &waiting{since: time.Now(), reads: true}
}

func (r *recorder) done(process string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.waiting, process)
}

func (r *recorder) committed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.Commits++
}

// outOfRange counts a reader that was told that its place doesn't exist.
func (r *recorder) outOfRange(process string, k key, offset int64) {
	r.mu.Lock()
	r.mu.OutOfRange++
	r.mu.Unlock()
	r.trouble("read", fmt.Errorf("%s: offset %d of %v is out of range", process, offset, k))
}

// trouble counts an error that a client met.
func (r *recorder) trouble(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := what + ": " + err.Error()
	if _, known := r.mu.Troubles[name]; !known && len(r.mu.Troubles) >= troublesMax {
		name = what + ": others"
	}
	r.mu.Troubles[name]++
}

func (r *recorder) summary() summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.mu.summary
	told.NeverClosed = slices.Sorted(maps.Keys(r.mu.behind))
	return told
}
