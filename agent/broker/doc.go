// Package broker answers Kafka's requests: one file per request, each opened by a
// card that says its versions, its behaviour and what differs from Apache Kafka.
//
// It does: decode what clients ask, decide it against the catalog's replica, call
// the ingest path, the fetcher or the metastore's writer, and put the outcome into
// Kafka's words and codes. It holds the table of requests (routes.go), of errors
// (errors.go) and of configs (settings.go).
//
// It does not: read or write sockets (package wire), keep or move records (ingest,
// fetch), or hold any state that outlives it but for a block of producer ids.
//
// Invariants:
//   - A Broker lives as long as its term.
//   - A definite error is answered only for what certainly did not happen. An unknown
//     outcome closes the connection, or is REQUEST_TIMED_OUT.
//   - The catalog is written strictly, one append at a time; a topic and the opening of
//     its partitions are one append, so no client sees a partition that can't be written.
//   - No partition is ever named without a leader.
//
// On failure: when the term ends, what is in flight is answered by closing
// connections; a stopped journal answers KAFKA_STORAGE_ERROR for what lies in it.
//
// Start reading at Routes, then produce.go for the hot path and catalog.go for
// how topics change.
package broker
