// Package shard is the state machine of a shard's journal: the partitions that
// share it, their offsets and extents, and what is known of their producers.
//
// It does: fold flushes, fences, forgets, log start moves, markers, openings and closings
// of partitions (the effects' codings are beside their folds), and answer from
// that state: where a partition's bytes lie (Plan; those of merged
// offsets lie in tables), what its bounds are (Bounds),
// what must be said to a producer (Judge), what was aborted (Aborted).
//
// It does not: know of time, terms' numbers (package metastore's Fold does),
// buckets or Kafka's codes.
//
// Transactions: a batch carries its transaction's number (FlushBatch.Transaction), which
// rises with each of its producer's. The first that stands opens the transaction here; the last
// stable offset stays below it until a marker (AppendMarker) ends it. A batch whose
// transaction has ended here is void, for ever: so whoever writes one must know that the
// partition was added to a transaction that was ongoing, and a transaction's markers must reach
// all partitions that were added before its producer begins the next (GUARDS 14–16).
// A marker is an Extent without bytes; Extent.AppendControl makes its control batch.
// To abort a transaction that hangs: a marker with its open number (Transactions, OpenTransactions),
// which is void if it has ended meanwhile.
//
// Invariants:
//   - Accept, Judge's order and the rules of every fold are frozen: entries that
//     were written once fold the same for ever. testdata holds their bytes.
//   - The state depends on the entries alone. Whatever iterates does so in the
//     order of topic numbers, partition indexes and producer ids.
//   - A partition's extents are dense but for holes that a recovery jumped over: each begins where the one before it ends,
//     the last ends at the high watermark. Offsets that were merged have none.
//   - Of a producer at most one transaction is open in a partition, and its number is higher
//     than all that have ended there.
//   - A log start only grows and is never above the high watermark.
//   - Reading methods change nothing, so that readers may share a read lock.
//
// On failure: Apply returns an error for bytes that no writer of ours encodes, and
// for effects that only a bug appends. The state is then undefined and the journal
// stops. Restore returns an error and leaves the state as it was. Neither panics on
// any input, nor uses memory beyond a small multiple of its size.
//
// Start reading at State, then flush.go, then producer.go.
package shard
