// Package buckettest checks that a bucket keeps what package bucket's interface
// promises: every adapter and every wrapper passes it.
//
// It does: run table tests and a concurrency test against buckets that the caller opens; start real servers, for tests and for programs (s3.go).
//
// It does not: test durability across a crash, which only an adapter's own tests can.
//
// Invariants: it leaves nothing running.
//
// On failure: it fails the test that runs it, and names the claim.
//
// Start reading at buckettest.go.
package buckettest
