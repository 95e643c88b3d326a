// Package otlp sends the spans of an agent to a collector.
//
// It does: make a Tracer whose spans go out in batches by OTLP over HTTP or gRPC, with
// the agent's name, version and zone.
//
// It does not: make spans; nor is it linked into programs that export none. The
// libraries that it stands on read OpenTelemetry's variables (OTEL_EXPORTER_OTLP_*,
// OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES and so on); what this package itself goes by is told it.
//
// Invariants: spans that wait are bounded (2048, OTEL_BSP_MAX_QUEUE_SIZE); beyond that
// they are dropped, and no request waits for them (I8).
//
// On failure: a collector that can't be reached costs spans, and one line of the log a minute.
//
// Start reading at exporter.go.
package otlp
