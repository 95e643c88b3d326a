// Package fakes3 is a small S3 server for measurements, run in a process of its own so
// that its CPU is nobody else's.
//
// It does: PUT (create-only with If-None-Match, CRC-32C compared, bodies in chunks with a
// trailer), GET with ranges, HEAD, DELETE of one and of many, LIST version 2; take as long
// as a latency profile says; refuse a share of requests with 503; count requests and bytes.
//
// It does not: check signatures, keep anything on disk, or speak multipart, versions,
// delimiters, access control. What it doesn't speak it answers with 501.
//
// Invariants: memory is bounded by KeepBytes of bodies below DropPrefix and what is
// under way; all other objects are kept whole. A body that was dropped is never answered
// with other bytes: its GET fails and is counted, so a workload that reads it is noticed.
//
// On failure: it answers as S3 does, with a code in XML.
//
// Start reading at server.go; the bodies are in store.go, the times in latency.go.
package fakes3
