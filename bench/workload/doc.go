// Package workload holds the workloads of the bench, the systems that they run on, and how
// one run becomes one sample.
//
// It does: start systems as processes (the floor, a Wadi agent with Postgres and the fake S3,
// Apache Kafka) or take one that runs; run a workload on one of them, with warm-up and a
// window; read what every process cost in the window.
//
// It does not: repeat, compare or print: the command above it does.
//
// Invariants: all figures of a sample are of its window. What one run leaves behind (its topic)
// is deleted before the next.
//
// On failure: a run with any error of the system gives no sample.
//
// Start reading at row.go, then run.go; the systems are in system.go and beside it.
package workload
