// Command workload sends and reads as many clients at once, and writes down what
// they did and saw.
//
// It does: run producers and readers of franz-go or librdkafka that follow their
// library's own retry rules, plain, idempotent or in transactions; send each value once, rising numbers by producer;
// leave keys (partitions) for new ones as time goes on; read by assign or as
// members of a group that commits; copy topics, with the places in them, in
// transactions; append a history as
// ../../../../bench/history/FORMAT.md defines it.
//
// It does not: import anything of Wadi's, make trouble, or judge. bench/chaos does
// both, and runs several of these at once.
//
// Invariants: an invocation is in the file before its request leaves, a completion
// after its answer came. Processes share a file: a line is one write to a file
// opened for appending, so that lines stand in the order of real time. A producer
// that had a failure, and every reader that is made anew, takes a new name.
//
// It reads standard input: "quiet" ends the producers, and is answered by a line
// "quiet" when nothing is in flight any more; "end", or the end of the input, ends
// the readers too, and the last line is a summary in JSON.
//
// Start reading at main.go, then recorder.go and franz.go.
package main
