// Package wire is the bytes of Kafka's protocol: frames, the connection with its
// order and bounds, the guard that looks at a request before it is decoded, and
// error codes. Its folders hold the record batch and the segment format.
//
// It does: accept connections, read frames within Limits, decode requests and
// hand them to the table of routes, write answers in the order of the requests,
// notice clients that leave, drain, and answer an ApiVersions request in a version nobody knows.
//
// It does not: know what a request means, authenticate, log or count anything but
// connections. It imports nothing else of Wadi.
//
// Invariants:
//   - Requests of a connection take effect in the order they were sent.
//     Overlapping ones (Route.Start: Produce) are started in order, side by
//     side; any other is handled when all before it have been answered.
//   - Answers leave in the order of the requests; those of overlapping ones that are
//     ready together leave in one write (gather.go).
//   - Nothing is decoded that the guard has not walked. A request is decoded
//     just before it is handled; a waiting one holds its frame only.
//   - What clients can make the server hold is bounded by Limits; a frame's
//     room grows as its bytes arrive, and is charged as it grows.
//   - A frame whose client lets it stall keeps nobody waiting (budget.go).
//   - A frame's bytes stay as they are until its last Release, which comes after
//     the answer has been written.
//
// On failure: a malformed, oversized or unsupported request closes its
// connection once the requests before it have been answered. A client that left
// ends Conn.Context; its overlapping requests that were read whole are
// still started, others are dropped. A connection that the server closes
// (a handler's Answer.Close, CloseConnections, the end of a drain) drops what
// was not started and cuts short what waits.
//
// Start reading at route.go (what a handler sees), then conn.go (reading),
// handle.go (order), guard.go and schema.go.
package wire
