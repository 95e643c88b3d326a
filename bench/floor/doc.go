// Package floor is what no broker can beat: two small servers that do only what a byte and a
// request must cost.
//
// It does: take Produce requests, check each batch's CRC while it is hot, copy it into a
// segment, put the segment into a bucket, answer (produce.go); answer Fetch requests from
// memory by writev (fetch.go).
//
// It does not: order anything durably, look at records, authorise, bound clients, or speak
// other requests and versions than package load sends. It is a measure, not a server.
//
// Invariants: a request is answered after its segment's PUT, and a connection's in its order.
//
// On failure: a connection with anything unexpected is closed; a PUT that fails ends the process.
//
// Start reading at server.go.
package floor
