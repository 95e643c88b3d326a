// Package recovery compares the metastore with the bucket, and brings back what a
// database that failed over or was restored has lost.
//
// It does: tell which versions of the journals, and which terms, the bucket knows
// of (by the fates in the newest segments, and by snapshots); append again from the
// segments what they hold of a lost tail; jump the offsets past what can't be put in
// its place; take the marks away.
//
// It does not: notice that the database moved (metastore/postgres does), write
// segments, or restore a catalog, groups or transactions: those go on as of what is there.
//
// Invariants:
//   - Nothing is built on a journal whose tail was lost before it is recovered (I2).
//   - An entry is put back at its own version, with its own term and number, as long as
//     the bucket tells without doubt what stood there, from the first lost one on. So its
//     records have the offsets that were acknowledged.
//   - All else is appended behind an offset that no lost entry can have reached. A
//     producer's batch that is there already is void, by its sequence.
//
// On failure: a recovery that was cut off is begun again; it finds what it has put
// back in the journal. The journal stays marked until it is done.
//
// Start reading at Witness, then plan.go, then Run.
package recovery
