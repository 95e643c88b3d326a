// Package columns is the language of the topic config wadi.archive.schema: which columns a
// topic's archive has beside those of every archive, and of which fields of the records' values.
//
// It does: read a declared schema or a sample of JSON (schema.go, sample.go), tell what a change
// of a schema would break (change.go).
//
// It does not: read records or write Parquet: compaction/archive does.
//
// Invariants: what was a schema once stays one, since topics have it as their config. A column's name is
// one in every warehouse, whatever the case.
//
// Start reading at Parse.
package columns
