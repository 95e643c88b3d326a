// Package history reads histories of what clients of a Kafka-protocol log did
// and saw, and finds what no log may do.
//
// It does: define a file format (FORMAT.md), read and write it, look for the
// anomalies that Jepsen's Kafka workload looks for and for some more (the table
// in kind.go), and tell the events about the offending key.
//
// It does not: know anything of Wadi. It imports nothing of ours, so that a
// mistake in the log can't hide in the judge. It does not run clients; whoever
// runs them records.
//
// Invariants: a report depends on the events alone, in their order. Memory grows
// with the values that were sent and the offsets that were seen, not with how
// often they were polled; at most anomaliesKeptMax anomalies of a kind are kept,
// all are counted.
//
// On failure: a history that contradicts the format ends the check with the line
// that does. Anything else is judged.
//
// Start reading at FORMAT.md, then checker.go (one event after the other), then
// judge.go (what can be said only at the end).
package history
