// Package batch knows Kafka's record batches, format version 2: the unit that
// clients produce, that segments hold and that fetches return.
//
// It does: decode headers, check a batch as it arrives and walk over its records without
// keeping them (Inspector), set the fields that the broker assigns (base offset, leader epoch,
// times) without touching the records, iterate over the records of a batch under any of
// Kafka's codecs, compress anew, and encode batches.
//
// It does not: convert formats 0 and 1, or know where a batch lies.
//
// Invariants: no read outside the given bytes, whatever they hold; memory is
// bounded by the input and the caller's limit on decompressed bytes; the CRC of a
// checked batch covers everything but base offset, length, leader epoch and magic.
//
// On failure: every error wraps ErrMagic, ErrCorrupt or ErrInvalid, and nothing
// was changed.
//
// Start reading at Header, then Check, then Inspector and Records.
package batch
