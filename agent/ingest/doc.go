// Package ingest is the write path: it buffers record batches, uploads them as
// segments and commits them to the shards' journals.
//
// It does: bound what is buffered, start flushes by size, linger and pace, seal and
// upload several segments at once, append them with one append in flight, each partition's batches
// in flush order, decide idempotent producers' batches by GUARDS.md, and answer.
//
// It does not: check batches or authorise (package broker), nor serve readers.
//
// Invariants: I1 (a batch is answered with an offset only after its segment is
// durable and the fold has passed its entry), I5 and I6 by GUARDS 4–11, I8 by
// Config's limits.
//
// A batch of a transaction carries its number, which the caller had from an entry that is known
// to stand (GUARDS 14). It is dropped, not decided, once its connection has closed; nobody
// asks for another number for it. Before a transaction is decided its batches need not have
// left here: those that come after its marker are void.
//
// On failure: a segment that can't be uploaded is refused to its producers, and
// its key is never used again. An append whose outcome is unknown is sent again by
// metastore.Writer; once the term has ended, all that is unanswered is answered
// with ErrUnknown, and the agent begins a new term with a new Ingest.
//
// Start reading at ingest.go; a batch's way is buffer.go, pace.go, flush.go, commit.go, decide.go.
package ingest
