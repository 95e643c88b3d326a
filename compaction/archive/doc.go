// Package archive writes records as Parquet objects and names them.
//
// It does: the encoding (encode.go, schema.go), the columns that are typed by the fields of values (typing.go
// reads them, typed.go writes them), the keys (key.go), the statements that make the
// objects a table (engines.go). PARQUET.md, one folder up, says the layout.
//
// It does not: choose what is archived, or put it into a bucket: package compaction does.
//
// Invariants: the same rows and Info give the same bytes. An Encoder holds what one
// column's page needs beside the object that it makes (I8).
//
// Start reading at Encoder.Encode.
package archive
