package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Version is the format's version. Persisted in headers.
const Version = 1

// Isolation is what the pollers of a history may see of transactions.
type Isolation string

// Persisted; never rename.
const (
	ReadCommitted   Isolation = "read_committed"
	ReadUncommitted Isolation = "read_uncommitted"
)

// Header is a history's first line.
type Header struct {
	Version   int       `json:"history"`
	Isolation Isolation `json:"isolation,omitempty"` // "" is read_committed
	Ignore    []Kind    `json:"ignore,omitempty"`
	LookFor   []Kind    `json:"look_for,omitempty"` // kinds that are looked for only if asked
	Note      string    `json:"note,omitempty"`
}

func (h Header) validate() error {
	if h.Version != Version {
		return fmt.Errorf("the history's version is %d; this checker reads version %d", h.Version, Version)
	}
	switch h.Isolation {
	case "", ReadCommitted, ReadUncommitted:
	default:
		return fmt.Errorf("isolation is %q, neither %s nor %s", h.Isolation, ReadCommitted, ReadUncommitted)
	}
	for _, k := range slices.Concat(h.Ignore, h.LookFor) {
		if _, err := ParseKind(string(k)); err != nil {
			return err
		}
	}
	return nil
}

// offsetMax is the highest offset that a history may name.
const offsetMax = 1 << 62

func validateOffset(offset int64) error {
	if offset < 0 || offset > offsetMax {
		return fmt.Errorf("offset %d is not from 0 to 2^62; leave out one that isn't known", offset)
	}
	return nil
}

// Type is what an event says of its operation.
type Type string

// Persisted; never rename.
const (
	Invoke Type = "invoke" // it begins
	Commit Type = "commit" // its commit is about to be asked for
	OK     Type = "ok"     // it is done
	Fail   Type = "fail"   // it was definitely not done
	Info   Type = "info"   // nobody knows
)

// Function is what an operation does.
type Function string

// Persisted; never rename.
const (
	Send      Function = "send"
	Poll      Function = "poll"
	Txn       Function = "txn"
	Assign    Function = "assign"
	Subscribe Function = "subscribe"
	Rebalance Function = "rebalance"
	Hole      Function = "hole"
)

// Why is what a hole in the offsets is there for.
type Why string

// Persisted; never rename.
const (
	Control   Why = "control"   // control records
	Aborted   Why = "aborted"   // records of aborted transactions
	Compacted Why = "compacted" // removed by key compaction
	Trimmed   Why = "trimmed"   // below the log's start: retention, DeleteRecords
	Earlier   Why = "earlier"   // written before the history began
)

// Event is one line of a history.
type Event struct {
	Line       int              `json:"-"`              // where it stands; the header is line 1
	Time       int64            `json:"time,omitempty"` // nanoseconds since any beginning; only shown
	Process    string           `json:"process,omitempty"`
	Type       Type             `json:"type,omitempty"`
	Function   Function         `json:"f"`
	ID         string           `json:"id,omitempty"` // which operation of the process, when it has several in flight
	Ops        []Op             `json:"ops,omitempty"`
	Keys       []string         `json:"keys,omitempty"`
	From       map[string]int64 `json:"from,omitempty"`
	Rebalanced []string         `json:"rebalanced,omitempty"`
	Key        string           `json:"key,omitempty"`
	First      int64            `json:"first,omitempty"`
	Last       int64            `json:"last,omitempty"`
	Why        Why              `json:"why,omitempty"`
	Error      string           `json:"error,omitempty"`
	Note       string           `json:"note,omitempty"`
}

// Op is one send or one poll of an operation.
type Op struct {
	Send   string              `json:"send,omitempty"` // the key
	Value  string              `json:"value,omitempty"`
	Offset *int64              `json:"offset,omitempty"` // nil: not known
	Poll   map[string][]Record `json:"poll,omitzero"`    // by key, in the order they were handed over
}

// Record is what a poll returned. In JSON it is [offset, value].
type Record struct {
	Offset int64
	Value  string
}

// MarshalJSON writes [offset, value].
func (r Record) MarshalJSON() ([]byte, error) {
	value, err := json.Marshal(r.Value)
	if err != nil {
		return nil, err
	}
	b := append(strconv.AppendInt([]byte{'['}, r.Offset, 10), ',')
	return append(append(b, value...), ']'), nil
}

// UnmarshalJSON reads [offset, value].
func (r *Record) UnmarshalJSON(b []byte) error {
	errShape := fmt.Errorf("%.60q is not [offset, value]", b)
	inner, ok := bytes.CutPrefix(b, []byte{'['})
	if !ok {
		return errShape
	}
	offset, value, ok := bytes.Cut(bytes.TrimSuffix(inner, []byte{']'}), []byte{','})
	if !ok {
		return errShape
	}
	var err error
	if r.Offset, err = strconv.ParseInt(string(bytes.TrimSpace(offset)), 10, 64); err != nil {
		return errShape
	}
	value = bytes.TrimSpace(value)
	if plain(value) {
		r.Value = string(value[1 : len(value)-1])
		return nil
	}
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &r.Value) != nil {
		return errShape
	}
	return nil
}

// plain says whether b is a JSON string of printable ASCII without escapes.
func plain(b []byte) bool {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return false
	}
	for _, c := range b[1 : len(b)-1] {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// SendOp is a send; offset < 0 is not known.
func SendOp(key, value string, offset int64) Op {
	if offset < 0 {
		return Op{Send: key, Value: value}
	}
	return Op{Send: key, Value: value, Offset: &offset}
}

// PollOp is a poll of one key; no records is an empty poll.
func PollOp(key string, records ...Record) Op {
	if len(records) == 0 {
		return Op{Poll: map[string][]Record{}}
	}
	return Op{Poll: map[string][]Record{key: records}}
}

// validate refuses an event that the format doesn't allow.
func (e *Event) validate() error {
	switch e.Type {
	case "", Invoke, OK, Fail, Info:
	case Commit:
		if e.Function != Txn {
			return errors.New("only a txn has a commit")
		}
	default:
		return fmt.Errorf("type is %q", e.Type)
	}
	if e.Process == "" && e.Function != Hole {
		return errors.New("the process is missing")
	}
	switch e.Function {
	case Send, Poll, Txn:
		if e.Type == "" {
			return errors.New("the type is missing")
		}
		if e.Function == Send && (e.Type == OK || e.Type == Invoke) && len(e.Ops) == 0 {
			return errors.New("a send needs ops")
		}
		return e.validateOps()
	case Assign, Subscribe, Rebalance:
		if e.Function == Rebalance && len(e.Keys) == 0 {
			return errors.New("a rebalance needs keys")
		}
		for _, offset := range e.From {
			if err := validateOffset(offset); err != nil {
				return err
			}
		}
	case Hole:
		if e.Key == "" || e.First < 0 || e.Last < e.First || e.Last > offsetMax {
			return errors.New("a hole needs a key, and 0 ≤ first ≤ last ≤ 2^62")
		}
		switch e.Why {
		case Control, Aborted, Compacted, Trimmed, Earlier:
		default:
			return fmt.Errorf("why is %q", e.Why)
		}
		return nil
	default:
		return fmt.Errorf("f is %q", e.Function)
	}
	if len(e.Ops) > 0 {
		return fmt.Errorf("%s has no ops", e.Function)
	}
	return nil
}

func (e *Event) validateOps() error {
	for _, op := range e.Ops {
		switch {
		case op.Poll != nil && (op.Send != "" || op.Value != "" || op.Offset != nil):
			return errors.New("an op is a send or a poll, not both")
		case op.Poll != nil && e.Function == Send:
			return errors.New("a send has no polls: call it txn")
		case op.Poll == nil && e.Function == Poll:
			return errors.New("a poll has no sends: call it txn")
		case op.Poll == nil && (op.Send == "" || op.Value == ""):
			return errors.New("a send needs a key and a value")
		}
		if op.Offset != nil {
			if err := validateOffset(*op.Offset); err != nil {
				return err
			}
		}
		for _, records := range op.Poll {
			for _, r := range records {
				if err := validateOffset(r.Offset); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
