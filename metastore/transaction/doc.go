// Package transaction is the state machine of a transactions journal: of each
// transactional id its producer id and epoch, and the transaction it is in.
//
// It does: fold initialisations, additions of partitions and groups, decisions,
// completions and removals, and answer from that state; say in which journal an id
// lies, and which markers an ended transaction needs (Transaction.Markers).
//
// It does not: know of clocks, markers that have landed, Kafka's codes, or how an epoch
// is chosen: who appends decides that on the state, the fold only lets it stand or not.
//
// # The number of a transaction
//
// It is the version of the entry that began it, x in GUARDS.md. An id lies in one
// journal for ever, and a producer id belongs to one id for ever (a block of the catalog
// gives it once, an initialisation with one in use is void, and a removed id comes back under
// a new one). So among the transactions of one producer, which are all that shards and groups
// compare, numbers are unique and rise; across producers of one journal or across journals they
// may be equal.
//
// # What is guarded, what is strict
//
// GUARDS would have initialisations and decisions strict. A strict append is refused
// unless the journal's head is the version that its writer saw; here an effect instead names
// what its writer saw of its own id, which is all that it was decided on:
//
//   - AppendInit, AppendRemoved: the version of the entry that changed the id last
//     (Transaction.Written; 0: the id is unknown).
//   - AppendAdded, AppendDecided, AppendCompleted: producer, epoch, number, and whether it is ongoing.
//
// So of two coordinators that don't know of each other one is void, as with strict appends,
// and those of other ids in the same append, or in between, disturb nobody: a coordinator
// appends for many ids at once. One thing needs a strict append still: a void effect does not
// take back what was appended beside it to other journals. Therefore
//
//	A decision that is Complete, with its markers and its groups' ends in the same
//	append, must be in a Draft with Strict, at the version on which State.Check said that it stands.
//
// Then it stands or nothing of the append does. Complete without partitions and groups needs none of it.
// A Complete decision with some that turns out void, or that meets other partitions than its
// writer counted, was not written so: it stops the journal. A decision that is not Complete is
// guarded: it freezes the lists (PrepareCommit, PrepareAbort), its markers are made of the
// folded state and appended after, by any agent, any number of times; then AppendCompleted.
// Which to take: strict when the journal is quiet; after a StrictLostError judge again, and after
// some of them take the guarded way, which can't be lost to the traffic of other ids.
//
// # How to use it
//
//	InitProducerId:      not known, Empty or Complete…: AppendInit. Ongoing: a Decided (abort) with
//	                     the epoch raised first. Prepare…: wait for its completion.
//	AddPartitionsToTxn,  AppendAdded; its outcome has the number to write batches with. Void: look
//	AddOffsetsToTxn,     at the state and answer, or try again. To be known before the first
//	Produce (version 2): batch of the partition is appended (GUARDS 14). No need to append what is there.
//	EndTxn, time-outs:   AppendDecided, with the next epoch; see above.
//	resuming:            State.Unfinished: append their markers, then AppendCompleted.
//	hanging ones:        State.ByProducer says whether a transaction is anybody's.
//
// Invariants:
//   - Numbers of an id rise; a transaction ends once; nothing is added to it after the decision.
//   - No two ids have the same producer id, nor one whose markers are still to be written.
//   - A *Transaction is immutable once it is in a State; readers may keep it.
//   - Reading methods may run side by side.
//
// On failure: Apply returns an error for corrupt bytes and for what only a bug appends; the
// journal stops. An effect that meets another state than its writer saw is void. Restore
// returns an error and leaves the state as it was.
//
// Start reading at Transaction, then added.go and decided.go.
package transaction
