// Package journaltest is the conformance suite of metastore.Store: what
// postgres, sqlite and memory must all do.
//
// It does: check each promise that metastore.Store documents, alone and under
// concurrent callers, and replay a seeded run of random calls beside the memory
// store.
//
// It does not: test what only one implementation has (locks, poolers, files);
// that stands beside the implementation.
//
// Invariants checked: versions are gapless and one order for all (I2), a dead
// term appends nothing (I4), an append is all or nothing.
//
// On failure: a subtest is named for the promise that was broken.
//
// Start reading at Run.
package journaltest
