// Command chaos runs a real cluster (agents as processes, Postgres, an S3 server),
// real clients, and faults by a seeded schedule, and judges what the clients saw.
//
// It does: follow Jepsen's schedule (quiet, a new mix of faults each window, a
// quarter of the windows calm, a final heal, then everything is read through each
// agent); check the histories with bench/history; compare what the agents say of
// every partition's end; audit the bucket against the metastore; print counts and
// the longest silence that a client met. README.md tells how to read a run.
//
// It does not: replay. The seed repeats the faults and the clients' choices, not
// the machine's timing.
//
// Invariants: a run that found anything exits with 1 and keeps its folder. What it
// started has ended when it returns.
//
// On failure: the folder holds the agents' logs, the log of faults and the
// histories; the story of each offending key is printed.
//
// Start reading at main.go, then schedule.go, nemesis.go and judge.go.
package main
