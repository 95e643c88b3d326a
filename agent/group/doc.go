// Package group coordinates consumer groups by Kafka's classic protocol and by the
// consumer group protocol (KIP-848).
//
// It does: hold joins and syncs in progress, sessions, time-outs and static members;
// admit offset commits; write generations, commits and deletions to the groups
// journals, many in one append; delete what has expired.
//
// It does not: speak Kafka's encoding (agent/broker), nor keep anything that can't be
// lost: what outlives it is the fold in metastore/group.
//
// Invariants:
//   - A generation is answered to its members only once it stands in the journal, and
//     it stands only in the place of the one that this coordinator knew. A coordinator
//     that finds another's there forgets the group and answers NOT_COORDINATOR.
//   - By the consumer group protocol: what a member may use is answered once it stands,
//     and a partition is given to a member only when nobody else has it or is still to
//     give it up. What is asked of a group while its change is on the way is the next change.
//   - A group is of one protocol. It goes over to the consumer group protocol with its members, and
//     back, in one effect; in a group of that protocol a classic member's generation is its epoch, and
//     it is told to join again whenever something has changed for it.
//   - A commit is answered when it stands, under the generation it was admitted under.
//   - One append is in flight, for all groups journals together; what comes meanwhile
//     goes into the next. There is one each Config.AppendEvery, and a burst of those that were spared.
//   - A group's lock is never held while something is waited for.
//
// On failure: when the term ends all that waits is answered NOT_COORDINATOR. The next
// coordinator goes on with each stable generation as the journal has it; a join in
// progress starts anew. If we die between a generation's append and its answers, its members
// find it with the next coordinator by heartbeat or sync.
//
// Behaviour and errors are those of Apache Kafka 4.2's GroupMetadataManager and ClassicGroup;
// of the consumer group protocol those of its CurrentAssignmentBuilder. Racks are not looked at by
// its uniform and range assignors, nor by ours.
//
// Start reading at coordinator.go, then join.go, rebalance.go, sync.go, offsets.go, committer.go;
// for the consumer group protocol at consumer.go, consumer_work.go, assignor.go,
// and for groups that go over at migration.go and consumer_classic.go.
package group
