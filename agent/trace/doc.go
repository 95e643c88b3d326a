// Package trace makes the spans of produces and fetches.
//
// It does: begin a span for a request that the sampler takes, with a span for each of
// its stages; begin spans of work that several requests share (a flush, an append),
// tied to the requests by links both ways; name attributes, by OpenTelemetry's
// conventions for messaging where they have a name for it.
//
// It does not: export (package otlp does), sample, or read the environment; nor does
// anything depend on a span.
//
// Invariants: a nil Tracer and a nil Span are fine, do nothing and cost no allocation,
// so who makes spans asks nowhere whether they are on. Shared work is recorded if one of
// its requests is, so that no link leads to a span that was not recorded. Links are
// bounded by LinksMax (I8).
//
// On failure: a span that is never ended is never told; nothing else happens.
//
// Start reading at span.go.
package trace
