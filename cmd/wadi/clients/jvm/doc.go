// Package jvm runs Kafka Connect (distributed, with the file connectors) and a Kafka
// Streams word count (at least once) of Maven Central against `wadi dev`, and kills
// Wadi below them. With key compaction at work all the time, a word count that has lost its disk restores from its
// changelog, and a Connect worker comes back to its three internal topics (compacted_test.go). With exactly_once_v2 a word count and a windowed join run on a cluster
// (package fleet) while they and the agents are killed at random.
//
// Does: pom.xml fetches the jars, the tests start the JVMs as a user would.
// Does not: run with the other tests, as it needs a JDK and Maven; `make clients-jvm`
// sets the build tag jvm, the jars' folder and the binary.
// On failure: the tails of all processes' logs are in the test's output.
package jvm
