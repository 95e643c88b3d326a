// Package segment knows the ingest segment: the immutable object that one flush
// writes, holding record batches of many partitions. FORMAT.md lays out its bytes.
//
// It does: name segments, build one into one buffer (the only copy of the records
// between the socket and the bucket), parse and verify one, read a footer alone,
// and print one in words.
//
// It does not: do I/O, decide what goes into a segment, or know offsets. A batch's
// base offset in a segment means nothing; the journals hold it.
//
// Invariants: a segment describes itself (cluster, term, flush, topics, partitions,
// batches), every byte of it is covered by a checksum, and its runs lie gapless in
// the order of their shards. Parsing takes memory in proportion to the bytes
// given, whatever they hold. A format once written is read for ever: golden files.
//
// On failure: parsing wraps ErrCorrupt or ErrVersion. Building has no failure but
// misuse, which panics.
//
// Start reading at FORMAT.md, then Builder, then Parse.
package segment
