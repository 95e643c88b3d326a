// Package bucket keeps objects: immutable bytes under a key, in a folder, in
// memory or in a cloud's object store.
//
// It does: one small interface, Bucket; adapters behind one table of URL schemes,
// of which file:// is our own, because it must be durable, s3:// speaks through the
// AWS SDK, because it is the hot path, and the others go through gocloud.dev/blob;
// wrappers that retry, hedge, count, observe and, in tests, inject faults; Check,
// which tries what a bucket must be able to do.
//
// It does not: know what an object holds, cache, or change an object once written.
//
// Invariants: when Put returns nil the object is durable (I1). A key, once written,
// never gets other bytes. A reader sees a whole object or none. A crash leaves
// nothing but temporary files, which the next Open of the folder sweeps.
//
// On failure: a Put that returns an error other than ErrExists may have written
// the object all the same (I5); the key must not be used for other bytes. Retry
// puts the same bytes again, and takes an object that already holds them as done.
//
// Start reading at bucket.go, then file.go and retry.go. Package buckettest is what
// every implementation and wrapper passes.
package bucket
