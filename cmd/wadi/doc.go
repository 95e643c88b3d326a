// Command wadi is the one binary: agents, clients for the terminal, and the demo.
//
// It does: read flags, WADI_* variables and a YAML file (all three mean the
// same), wire the parts, speak to people in sentences, and end with a code: 0
// for done, 1 for a failure, 2 for a command line that makes no sense.
//
// It does not: hold any rule of the log. What an agent does is in package agent;
// the clients (topics, produce, consume) are ordinary Kafka clients that know
// nothing of Wadi's insides and work against any Kafka; segments reads the
// bucket directly, without an agent, and verify-history a file.
//
// Invariants: only this package reads flags and environment. Everything that a
// command touches outside itself (streams, variables, whether a stream is a
// terminal) is a field of program, so a test runs commands in its own process.
//
// On failure a command says one sentence on the standard error and nothing on
// the standard output that isn't data.
//
// Start reading at app.go (the table of commands), then settings.go (where a
// setting's value comes from), then the file named for the command.
package main
