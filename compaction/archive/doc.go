// Package archive writes records as Parquet objects and names them.
//
// It does: the encoding (object.go, encode.go, schema.go), the columns that are typed by the fields of values (typing.go
// reads them, typed.go writes them), the keys (key.go), the statements that make the
// objects a table (engines.go). PARQUET.md, one folder up, says the layout.
//
// It does not: choose what is archived, or put it into a bucket: package compaction does.
//
// Invariants: the same rows, appended by the same portions, and the same Info give the same bytes. An Object holds its own
// bytes and a page of each column; rows are the caller's again once Append returns (I8).
//
// Start reading at Encoder.Begin.
package archive
