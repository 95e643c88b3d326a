// Package sqlite is the metastore in one SQLite file, the default where a single
// agent embeds it.
//
// It does: keep the journals, terms and snapshots' places of a cluster in a file
// in WAL mode, synced at each commit; migrate the file when it opens it.
//
// It does not: keep a second process off the file; the caller has locked its
// folder. It needs no server and no cgo.
//
// Invariants: one connection writes, so each append is alone between its check of
// the term and its commit (I4), and versions are gapless; a read is one
// transaction, hence of one moment.
//
// On failure: a call that returns neither success nor a refusal was rolled back or
// committed; as with any metastore, append again to find out (I5).
//
// Start reading at Open, then Store.Append.
package sqlite
