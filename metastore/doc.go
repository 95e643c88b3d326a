// Package metastore holds the order of all that happens: journals, and the state
// that their entries fold to.
//
// It does: define the Store that Postgres, SQLite and memory implement; code and
// number entries; fold them into replicas; append for a term until the outcome is
// certain; follow (by reads, and by what other agents push), snapshot and trim
// journals; end dead terms.
//
// It does not: know records' bytes or segments' contents, nor decide what to
// append; the state machines are in its sub-packages catalog and shard.
//
// Invariants: I2 (one order), I4 (a dead term commits nothing), I5 (unknown is not
// failed), I6's memory, I9. The fold is pure; an entry is applied once, by (term,
// number); GUARDS 4, 5, 11 and 12 are held here.
//
// On failure: a read that fails is tried again and the replica grows stale, which
// its readers see by FreshAt. An append that fails is sent again. A journal whose
// entries can't be folded, or whose tail was lost, stops for good and says why.
//
// Start reading at journal.go, then fold.go, writer.go, follower.go, push.go.
package metastore
