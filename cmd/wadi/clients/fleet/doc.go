// Package fleet runs a cluster of agents for tests of clients, and kills its processes at random.
//
// Does: start Postgres, a bucket in a folder and three agents, through bench/cluster/up, a process
// of its own; have it kill and start agents; make trouble for whatever can be killed and started.
//
// Does not: judge what clients saw.
//
// Invariants: a Fleet ends with its test; a test whose agents tell of a bug has failed.
//
// On failure: the ends of the agents' logs are in the test's output.
package fleet
