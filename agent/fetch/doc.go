// Package fetch reads partitions: it plans extents from the shards' replicas,
// reads their bytes through the cache, waits for more where the reader asks to
// wait, and encodes the answer of a Fetch without copying a record.
//
// It does: fetch sessions (KIP-227, Sessions), the byte rules of KIP-74 (plan.go),
// long polls woken by the fold (Hub), verification of batches that came from the
// bucket (verify.go), read-ahead for readers that catch up, offsets by timestamp
// (offsets.go).
//
// It does not: know Kafka's error codes or message structs, resolve topics (the
// caller's Resolve does), keep anything that can't be lost.
//
// Invariants:
//   - Record bytes are never copied: what goes to the socket are slices of the cache's
//     blocks, held by pins until Response.Release. Only the 8 bytes of a batch's
//     base offset are written anew, and control batches, which are made of their markers.
//   - The plan of a partition, its last stable offset and its aborted transactions come from
//     one version of its shard (I7), and no answer
//     comes from a version lower than one that has answered before.
//   - "Offset out of range" beyond the high watermark, and "unknown partition", are said
//     only by a replica that was refreshed after the request came (I2, FAULTS: fetch).
//   - A replica that was not confirmed fresh for StalenessMax answers nothing: the
//     collector's grace rests on it (I3).
//   - Everything held for readers is bounded by a field of Config (I8).
//
// On failure: a partition's error is its own, the rest of the request goes on.
// Bytes that don't match their checksum are evicted and loaded once more, then the
// partition answers ErrCorrupt. A segment that is gone is planned anew once from a
// refreshed replica, then the partition answers ErrStorage. Both are logged and counted.
//
// Start reading at Fetcher.Fetch, then plan.go and cut.go.
package fetch
