// Package shard is the state machine of a shard's journal: the partitions that
// share it, their offsets and extents, and what is known of their producers.
//
// It does: fold flushes, fences, forgets, log start moves, openings and closings
// of partitions (the effects' codings are beside their folds), and answer from
// that state: where a partition's bytes lie (Plan), what its bounds are (Bounds),
// what must be said to a producer (Judge).
//
// It does not: know of time, terms' numbers (package metastore's Fold does),
// buckets or Kafka's codes. Transactions and compaction have reserved places only;
// an effect or flag of theirs stops the journal.
//
// Invariants:
//   - Accept, Judge's order and the rules of every fold are frozen: entries that
//     were written once fold the same for ever. testdata holds their bytes.
//   - The state depends on the entries alone. Whatever iterates does so in the
//     order of topic numbers, partition indexes and producer ids.
//   - A partition's extents are dense: each begins where the one before it ends,
//     the last ends at the high watermark.
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
