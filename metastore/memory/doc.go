// Package memory is the metastore in this process's memory, for tests and
// simulation.
//
// It does: everything that metastore.Store promises but durability, on a clock
// that the caller gives.
//
// It does not: keep anything after the process, or talk to another one.
//
// Invariants: one mutex makes each call atomic, so an append is refused or
// lands as a whole (I4: the term is checked under the same lock).
//
// On failure: there is none; every error is a refusal or a bug of the caller.
//
// Start reading at Store.Append.
package memory
