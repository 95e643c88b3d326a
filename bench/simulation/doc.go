// Package simulation runs a cluster of real agents with real clients in one
// process: the whole broker and its compaction, franz-go's producers, transactions, readers and group
// members, over a network, a bucket and a metastore that go wrong as a seed has it. It ends by
// healing everything, reading all that is there through each agent, and judging
// what the clients saw (bench/history).
//
// Does: agents that are killed, stopped, paused beyond their leases and resumed; cut
// from the metastore, the bucket, each other and clients; a metastore that is away, that fails over
// to a synchronous standby which lacks what nobody was told of, whose clock jumps, whose answers are
// refused, lost, slow, twice or late; the same for the bucket, and bits that flip on the way from
// it; topics that come and go.
//
// Does not: lose what was acknowledged, as a database without a synchronous standby may: journals stop
// then, and somebody has to recover them (metastore/postgres, agent/recovery). Nor depend on
// the machine's time or randomness: it has to run where both are given: package faketime builds it on a runtime whose clock jumps on when nothing can
// run, a process a seed. So a seed replays, event by event.
//
// Invariants: all randomness is drawn from streams named after their purpose
// (world.stream); no map is walked in its own order; a killed process has no effect on anything any more
// (gate.kill), except requests that were under way.
//
// On failure a seed prints the history of the offending key, and what went wrong when.
//
// Start at Run (run.go), then nemesis.go for what goes wrong, and judge.go for what is compared in the end.
package simulation
