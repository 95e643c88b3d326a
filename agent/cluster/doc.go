// Package cluster is how an agent knows the others: who is alive, in which zone and
// seat, who can be reached, and so to whom clients are sent for what.
//
// It does: read the live terms from the metastore each second; find out which of
// their agents can be reached; divide the shards among the seats of each zone; choose
// the coordinator of a journal, and who looks after it; tell a client's zone.
//
// It does not: decide who may write. Fencing follows the leases in the database;
// what stands here only routes, and two agents may think differently for a second or two.
// Any agent can take any request.
//
// Invariants:
//   - A View is immutable, and a pure function of the agents in it: agents that see the
//     same others come to the same routes.
//   - A View of an agent whose term has begun is never without an agent to name.
//   - Each seat of a zone has ⌊shards ÷ seats⌋ shards or one more; zones with the same
//     seats have the same division.
//
// On failure: while the metastore can't be read the agents known last stay known;
// those that can't be reached are not named all the same.
//
// Start reading at view.go, then seats.go, members.go, reach.go, zone.go.
package cluster
