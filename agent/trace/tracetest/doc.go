// Package tracetest is a collector of traces, for tests.
//
// It does: take what OpenTelemetry's exporters send by OTLP over HTTP, as a collector
// does, and give it to the test.
//
// It does not: answer with faults, or know what Wadi's spans mean.
//
// Start reading at collector.go.
package tracetest
