// Package clients holds the tests of the wadi binary with unmodified Kafka
// clients: franz-go, librdkafka (inside confluent-kafka-go), sarama and
// segmentio/kafka-go.
//
// It does: build the binary, run it as real processes in temporary folders, kill
// and stop them, and compare what every client reads with what was produced, from
// a published data set (testdata/README.md). With the build tag cluster the same
// clients, in three zones, talk to three agents on Postgres and a bucket, which
// bench/cluster/up starts as a process. Copiers in transactions (copier_test.go) are killed
// together with the agents of such a cluster, which package fleet runs; franz-go's sessions
// (etl_test.go) while its agents are.
//
// It does not: import anything of Wadi's. It is a module of its own, so that
// these clients, one of which needs a C compiler, stay out of the main go.mod.
//
// On failure a test prints the log of its processes; the kill loop prints its
// seed, and -seed repeats its choices (not the machine's timing).
//
// Start reading at client_test.go (what every client is asked to do), then
// flights_test.go (the main job), killloop_test.go and cluster_test.go.
package clients
