// Package compaction makes history cheap to keep and to read: it merges what ingest
// wrote in many small segments into partition segments, moves log starts by the
// topics' retention, and deletes from the bucket what nobody can need any more.
//
// It does: plan and run merges (plan.go, merge.go), and merge small extents of partition
// segments again (again.go; large.go: those that are larger than a job); key compaction (clean.go: passes; filter.go: what a batch keeps; keys.go:
// the keys of a pass); retention (retention.go) and the removal of rows that it
// leaves behind (remove.go); the archive (archive.go: jobs; hours.go: their records; package archive for the bytes); what they work in (workspace.go) and their pauses (pace.go); collection (collect.go; unfinished.go: of uploads); the comparison
// of bucket and metastore (verify.go).
//
// It does not: decide what readers see: that is the fold's work, and the rows' that go
// along with its entries. It keeps nothing that can't be lost.
//
// A merge has three stages: read (read.go: the source's bytes, checked), transform
// (the batches that are kept; a merge keeps all), write (write.go: a partition segment,
// put, read back and compared). Then one append swaps: the rows in, the extents out of the
// shard's state. Key compaction and the archive take the same sources; the archive puts Parquet objects instead. Key compaction exchanges
// rows for those of its output, as merging again does.
//
// Invariants: I2 (a batch has the same bytes at the same offset before and after, but where key compaction
// takes records out: what stays has its offset), I3
// (nothing is deleted before the grace has passed since nobody could plan it anew), I5,
// I8 (a job holds Config.JobBytesMax twice; key compaction Config.KeyMapBytesMax, and the
// records of one batch, Config.CleanBytesMax, beside it), I9. Nothing at or above the last stable
// offset is merged. Of two jobs over the same offsets one wins, by the rows' key and the swap's guard.
//
// On failure: killed anywhere before the append, the output is an orphan, which goes
// once its term is dead. A source that can't be read puts that
// partition's jobs off, for seconds and then minutes (trouble.go); one that isn't what was written, read twice, stops
// them, loudly, for a minute and then up to an hour at a time; nothing of it is dropped. A batch that key compaction can't
// go over stops that partition's key compaction alone. An append that is
// refused changed nothing.
//
// Start reading at Compactor.Run, then merge.go.
package compaction
