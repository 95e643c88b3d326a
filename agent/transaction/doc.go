// Package transaction coordinates transactional ids for one term of an agent.
//
// It does: decide on the folded state of the transactions journals what a client's request
// comes to (Init, End), add partitions and groups to transactions for any agent (Enter), append what was
// decided, gathered over all ids of a journal; end what has timed out, resume what was
// decided by whoever came before, and remove ids that nobody uses (Run).
//
// It does not: know Kafka's requests or codes, write records or offsets, or hold any
// state of a transaction: that is the journals', see metastore/transaction.
//
// A request is judged on the replica by a pure function, and what it appends is guarded by what
// that saw; so two agents that both take themselves for an id's coordinator do no harm. What is void is
// judged again. An answer without an append is given only after the journal was read since
// the request came.
//
// # How a transaction ends
//
// The decision goes with all its markers and its groups' ends in one strict append, if those
// take at most Config.EndBytesMax and nobody else appended to the journal meanwhile: one round
// trip. Else the decision alone is appended (Prepare), at once after a refused strict append, the
// client is answered, and one more append has all markers, ends and the completion. It is made of folded state, and may be repeated by anyone.
//
// Invariants:
//   - Nothing is answered that is not folded.
//   - Of one id there is at most one effect in an append, so each is judged on what it meets.
//   - An end that is judged again, because another agent was faster, ends no later transaction
//     than the one that was ongoing when it was judged first.
//   - A transaction that is Prepared is finished by the agent that decided it or, after
//     ResumeEvery, by its journal's coordinator.
//
// On failure: a refused strict append is judged again; a shard that has stopped keeps the transactions
// that touched it Prepared, and nobody else's; the end of the term ends Run.
//
// Start reading at Coordinator, then lane.go.
package transaction
