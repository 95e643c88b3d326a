// Package follow carries journal entries from the agent that appended them to the
// agents that follow the journals, over long-lived streams.
//
// It does: keep a stream to each peer, by which this agent pushes what it has
// appended; take what peers push and hand it to the follower; authenticate both
// ends by the cluster's secret or by certificates; tell which peers can be reached.
//
// It does not: carry records, decide who the peers are, order anything, or make a
// replica fresh. An entry that is lost here is read from the metastore.
//
// Invariants: only entries whose append is known to have landed are pushed, with
// the version they got (I2); a frame that was changed on its way ends its stream; a
// slow peer's queue is bounded by bytes, and dropped beyond (I8); a stream belongs
// to one term at each end and ends with either.
//
// On failure: a stream that breaks is dialled again, after a pause that grows; what
// was missed meanwhile shows as a gap, which the follower fills by a read.
//
// Start reading at mesh.go, then sender.go, receiver.go, handshake.go.
package follow
