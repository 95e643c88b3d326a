// Package metrics tells Prometheus what an agent does.
//
// It does: take what the parts tell as it happens (requests, stages of a produce,
// bucket requests), and ask the others for their counts when it is scraped.
//
// It does not: decide anything, keep history, or label by topic, partition or
// client, of which there is no bound.
//
// Invariants: every name begins with wadi_ and is listed in METRICS.md, which a
// test compares with what is registered; labels come from fixed sets (I8).
//
// On failure: a part that isn't there, a term's between two terms, is left out of the answer.
//
// Start reading at METRICS.md, then metrics.go and pulled.go.
package metrics
