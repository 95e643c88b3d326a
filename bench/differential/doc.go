// Command differential asks Apache Kafka and Wadi the same questions and compares
// the answers.
//
// Does: starts the broker of Maven's kafka_2.13 (pom.xml names the version) and
// `wadi dev`, each on free loopback ports in a temporary folder; sends both the
// same scripted requests (scripts*.go), bad ones included; makes alike what must
// differ (normal.go: ids, ports, times, throttling, the wording of messages); and
// compares every field of every answer. DIFFERENCES.md lists the differences that
// are meant, each with its reason. A difference that isn't in the list fails, and so
// does one in the list that no longer shows.
//
// Does not: measure, inject faults, use a client library's protocol logic.
//
// Invariants: a script sends the same bytes to both, but for what a server itself
// handed out (ids, epochs); both brokers run the same script from an empty start; a
// server that answers is the one that was started here (its cluster id is checked).
//
// On failure: every difference is printed with the call, the field and both values.
// `-self` compares Apache Kafka with itself, which shows what a script leaves to
// chance; `-only` runs some scripts, `-v` prints every answer.
//
// Start reading in main.go, then script.go.
package main
