// Package cluster runs a whole Wadi cluster on one machine: a real Postgres, a
// real S3 server (or a folder), and agents as processes of their own in three
// zones, all on loopback addresses.
//
// It does: start, kill, pause and restart agents; crash and recover Postgres; put
// a link of ours on every way between them (client to agent, agent to agent, agent to
// Postgres, agent to bucket) that can cut, hold, delay, reset, refuse, or lose an answer.
//
// It does not: decide when something goes wrong (bench/chaos does), or run
// clients.
//
// Invariants: everything it started has ended when Close returns; servers end
// with the process that started them, agents with Close. A process is signalled
// by its own pid only.
//
// On failure: an error says which part didn't come up, with the end of its log.
//
// Start reading at cluster.go, then link.go and requests.go.
package cluster
