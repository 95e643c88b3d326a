// Package archive writes records as Parquet objects and names them.
//
// It does: the encoding (encode.go, schema.go) and the keys (key.go). PARQUET.md, one
// folder up, says the layout.
//
// It does not: choose what is archived, or put it into a bucket: package compaction does.
//
// Invariants: the same rows and Info give the same bytes. An Encoder holds what one
// column's page needs beside the object that it makes (I8).
//
// Start reading at Encoder.Encode.
package archive
