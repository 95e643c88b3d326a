package history

import (
	"fmt"
	"slices"
)

// Kind names an anomaly. Persisted in histories' headers; never rename.
type Kind string

// The anomalies. Names are those of Jepsen's jepsen.tests.kafka where it has one
// (its G1a is aborted-read here, its G1c without ww edges circular-information).
const (
	InconsistentOffsets Kind = "inconsistent-offsets"  // two values at one offset
	Duplicate           Kind = "duplicate"             // one value read at two offsets
	LostWrite           Kind = "lost-write"            // acknowledged, at or below an offset that was read, never read
	Unseen              Kind = "unseen"                // acknowledged, never read, and nothing above it was read
	AbortedRead         Kind = "aborted-read"          // read although its send or transaction failed
	PrecommittedRead    Kind = "precommitted-read"     // read before its commit, or before it was sent
	PollSkip            Kind = "poll-skip"             // two polls of one assignment leave out what is between them
	NonmonotonicPoll    Kind = "nonmonotonic-poll"     // a poll goes back behind the poll before it
	IntPollSkip         Kind = "int-poll-skip"         // one operation's polls leave something out
	IntNonmonotonicPoll Kind = "int-nonmonotonic-poll" // one operation's polls go back
	NonmonotonicSend    Kind = "nonmonotonic-send"     // a process's later send lies at a lower offset
	IntNonmonotonicSend Kind = "int-nonmonotonic-send" // the same within one operation
	IntSendSkip         Kind = "int-send-skip"         // others' values between one operation's sends: only if asked for
	CircularInformation Kind = "circular-information"  // transactions that read each other's values in a circle
	OffsetGap           Kind = "offset-gap"            // an offset that nothing explains
	AcknowledgedOffset  Kind = "acknowledged-offset"   // read elsewhere than where it was acknowledged
	PhantomValue        Kind = "phantom-value"         // read, never sent
	noKind              Kind = ""
)

// Kinds lists all anomalies, the gravest first; reports follow this order.
func Kinds() []Kind {
	return []Kind{LostWrite, InconsistentOffsets, Duplicate, AcknowledgedOffset, PhantomValue, AbortedRead, PrecommittedRead,
		CircularInformation, OffsetGap, PollSkip, NonmonotonicPoll, IntPollSkip, IntNonmonotonicPoll, NonmonotonicSend,
		IntNonmonotonicSend, IntSendSkip, Unseen}
}

// onRequest are kinds that a correct log shows too: looked for only if asked.
func onRequest() []Kind { return []Kind{IntSendSkip} }

// ParseKind reads a kind's name.
func ParseKind(name string) (Kind, error) {
	if slices.Contains(Kinds(), Kind(name)) {
		return Kind(name), nil
	}
	return noKind, fmt.Errorf("%q is no kind of anomaly (%v)", name, Kinds())
}

// Anomaly is one thing that no log may do.
type Anomaly struct {
	Kind    Kind     `json:"kind"`
	Key     string   `json:"key,omitempty"`
	Values  []string `json:"values,omitempty"`
	First   int64    `json:"first"` // the offsets that it is about; -1 if none
	Last    int64    `json:"last"`
	Process string   `json:"process,omitempty"` // whose view it is, if one's
	Lines   []int    `json:"lines,omitempty"`   // lines of the history that show it
	Says    string   `json:"says"`              // one sentence
}

// anomaliesKeptMax bounds the anomalies kept of each kind; all are counted.
const anomaliesKeptMax = 32

// Report is what a check found.
type Report struct {
	Events    int          `json:"events"`
	Keys      int          `json:"keys"`
	Sent      int          `json:"sent"`         // values sent
	Acked     int          `json:"acknowledged"` // of these, in operations that succeeded
	Read      int          `json:"read"`         // records handed to pollers, repetitions too
	Counts    map[Kind]int `json:"counts"`       // kinds that were found
	Anomalies []Anomaly    `json:"anomalies"`    // some of each kind, the gravest kind first
}

// Clean says whether nothing was found.
func (r *Report) Clean() bool { return len(r.Counts) == 0 }

// Found is the number of anomalies.
func (r *Report) Found() (n int) {
	for _, c := range r.Counts {
		n += c
	}
	return n
}
