// Package http serves what operators look at: metrics, health, readiness, profiles.
//
// It does: GET /metrics (Prometheus), /healthz (the process answers), /readyz (503
// and the reason in words while the agent can't serve clients), /debug/pprof/, and
// a front page that lists them.
//
// It does not: choose where it listens (the caller does, and keeps it on loopback
// unless told otherwise), ask who calls, or change anything.
//
// Invariants: connections, header bytes and times are bounded (I8).
//
// On failure: a listener that breaks ends Run with its error; a metric that can't
// be gathered is reported in the answer of that request only.
//
// Start reading at server.go.
package http
