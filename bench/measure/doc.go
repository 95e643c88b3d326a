// Package measure says what processes cost and whether a machine was quiet enough to tell.
//
// It does: read a process's CPU time and memory from /proc, with its children's for servers
// that have some; tell how much of the machine went to nobody of ours (foreign CPU, stolen
// time included); wait for a quiet machine; touch memory, so that a run isn't charged for
// what the hypervisor has to give back; put runs of several systems in an order in which a
// drift of the machine hits all alike (A B B A); medians and ranges.
//
// It does not: start or load anything. Linux only, as its figures come from /proc.
//
// Invariants: CPU is user + system of exactly the processes named. A run is never made
// better by what is thrown away: the rule (foreign CPU above a share) doesn't look at the figure.
//
// On failure: an error names the file that couldn't be read.
//
// Start reading at process.go and machine.go.
package measure
