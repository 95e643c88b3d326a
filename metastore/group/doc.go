// Package group is the state machine of a groups journal: the offsets that consumer
// groups have committed, of each group its last stable generation, and of those of the
// consumer group protocol (KIP-848) the members, what each has and is to have.
//
// It does: fold generations, commits, and the deletion of offsets and groups; answer
// from that state; say in which journal a group lies.
//
// It does not: know of joins in progress, time-outs or heartbeats (agent/group), nor
// of topics' names; an offset belongs to a topic by its number in the catalog, which is never reused.
//
// Transactions: offsets that a transaction is to commit are pending (AppendPending) until its end
// is told (AppendEnded), once for all groups of the journal. They carry the transaction's
// number, which rises with each of its producer's; those of one that has ended are void. So
// whoever appends some must know that the group was added to a transaction that was ongoing, and
// the end must be told to the journals of all its groups before its producer begins the next.
// While offsets are pending (Unstable) a reader that requires stable ones waits.
//
// Invariants:
//   - A generation stands only in the place of the very one that its writer saw (its
//     version, not its number): of two coordinators that don't know of each other one loses.
//   - A member's commit stands only while the generation stands under which it was
//     admitted. So once a generation is in the journal, no commit of an earlier one stands.
//   - A change of a group of the consumer group protocol counts as a generation: it
//     stands only on the state that its writer saw. Its member's commit stands only
//     while the member is at the epoch under which it was admitted.
//   - A group is of one protocol. Members of the classic one may be in a group of the consumer
//     group protocol; one effect takes a generation's members into such a group, one brings them back.
//   - A commit without a generation stands only while the group has no members.
//   - A transaction's offsets are committed all or none. Of commits for one partition the one
//     that was written last stays, as in Kafka, whenever its transaction ended.
//   - An expired offset is deleted only as it was when it was judged.
//   - A *Generation is immutable once it is in a State; readers may keep it.
//   - Reading methods may run side by side.
//
// On failure: Apply returns an error for corrupt bytes; the journal stops. An effect
// that meets another state than its writer saw is void, never an error. Restore returns
// an error and leaves the state as it was.
//
// Start reading at State, then generation.go, consumer.go, migration.go and commit.go.
package group
