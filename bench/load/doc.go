// Package load makes load on anything that speaks Kafka, light enough not to be what is measured.
//
// It does: build Produce frames once and send them over many connections, in a closed loop
// (so many requests in flight) or in an open one (so many a second, whatever the broker
// does; a request's latency counts from the time it was due, so nothing is omitted that a
// stall delayed); read by Fetch frames of its own, without decoding records; keep latencies
// in histograms of 1.6 % resolution.
//
// It does not: route (all goes to one address), retry, or judge what it reads: package history
// and the chaos runs do. Topics are made by franz-go.
//
// Invariants: answers are counted only when they carry no error; the first error ends the
// load and is returned. Nothing is allocated for a request once a load runs.
//
// On failure: Stop returns what went wrong first.
//
// Start reading at shape.go and produce.go; fetch.go reads.
package load
