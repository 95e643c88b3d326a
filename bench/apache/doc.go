// Package apache prepares nodes of Apache Kafka from Maven's jars, for what compares Wadi with it.
//
// It does: find ports that nobody listens on, write a node's properties, format its folder, and
// tell what java is to be told.
//
// It does not: start or end processes. Who does has its own wishes of the JVM, of logs and of an end.
//
// Invariants: nothing outside the node's folder is written.
//
// On failure: the error has what Kafka's own tool said.
//
// Start reading at apache.go.
package apache
