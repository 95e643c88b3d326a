// Package postgrestest runs a real Postgres, and PgBouncer, for a package's tests.
//
// It does: start one server for a test package on a free loopback port in a
// temporary folder, with fsync on; make a fresh database for each test; put
// PgBouncer in transaction mode in front of one; run a pair of primary and standby
// that fails over, with its tail or without. It takes the binaries that are
// installed, else it fetches them below the user's cache folder. As root it runs
// them as nobody, since both refuse to run as root.
//
// It does not: skip. What can't be had fails the test, with what to install.
//
// Invariants: a server does not outlive its tests, even if they are killed: a
// shell between the two stops it, by its own pid, once its standard input ends.
//
// On failure: the error holds the last lines that the server logged.
//
// Start reading at Server, for fail-overs at Pair; a program that is no test begins at program.go.
package postgrestest
