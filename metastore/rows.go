package metastore

import (
	"errors"
	"fmt"
	"time"
)

// Rows are what an append changes in the metastore's tables, in the same
// transaction: the place of merged history. All of them concern partitions of
// shards whose journals the append names, so the journals' locks order them.
type Rows struct {
	// By is until when, in the metastore's time, they may change; zero: whenever. Later than that
	// is ErrRowsTaken: rows of a repeat that comes when they have gone again would name a deleted object.
	By time.Time

	Segments []SegmentRow // partition segments that are durable and new
	Removed  []ExtentKey  // rows that go, each of which must be there; before Extents come
	Extents  []ExtentRow  // rows that come, none of which may cover an offset of another row

	// Of the archive, never beside rows of extents; each file's object has a row in Segments.
	Archived []ArchivedRange
	Files    []ArchiveFile
}

// RowsWait is how late an append may change rows after it was sent. It is less than the least
// grace between a segment's retirement and its deletion, and far more than an append takes.
const RowsWait = 5 * time.Second

// OfArchive tells whether the rows are the archive's.
func (r *Rows) OfArchive() bool { return len(r.Archived) > 0 || len(r.Files) > 0 }

// ExtentRow is an extent of a partition segment: the table extents, whose key is
// (topic number, partition, base offset).
type ExtentRow struct {
	Shard        int
	Topic        uint64 // number
	Partition    int32
	Base         int64  // the first offset that it covers; none of another row is covered
	End          int64  // the offset after the last one covered
	Object       string // key of its segment, whose row is in the table segments
	Position     int64  // of its first byte in the segment
	Length       int64  // bytes; 0 where compaction left nothing of the offsets
	Records      int64  // kept ones, control records excluded
	MaxTimestamp int64  // ms; of its batches
	Index        []byte // wire/segment's coding of its blocks and aborted transactions
}

// ExtentKey names a row of extents and the segment that it must be in.
type ExtentKey struct {
	Shard     int
	Topic     uint64
	Partition int32
	Base      int64
	Object    string
}

// Key returns the row's key.
func (e *ExtentRow) Key() ExtentKey {
	return ExtentKey{e.Shard, e.Topic, e.Partition, e.Base, e.Object}
}

// SegmentRow is an object of the bucket in the table segments: a partition segment,
// or an ingest segment or snapshot that waits for its deletion.
type SegmentRow struct {
	Object  string
	Size    int64     // bytes
	Created time.Time // by the database's clock; set by the store
	Retired time.Time // by the database's clock, zero while some extent names it; set by the store
	Reason  string    // why it was retired
}

// ReasonReplaced is why a partition segment is retired: no extent names it any more.
const ReasonReplaced = "replaced"

// Bounds of one append's rows.
const (
	RowsMax             = 4096     // of each kind
	ExtentIndexBytesMax = 64 << 10 // of one extent's index
	ObjectBytesMax      = 255
	ReasonBytesMax      = 64
)

// SmallExtentBytes is below what an extent counts as small: the table has an index
// of these, by which the merge finds what to merge again. Persisted in the index's definition.
const SmallExtentBytes = 128 << 20

// ErrRowsTaken refuses an append with rows: another append has placed an extent over
// the same offsets, or removed one that this one removes, or the time until which it might come has passed. Nothing was appended.
var ErrRowsTaken = errors.New("the extents were placed or removed by another append, or it came too late")

// CheckRows refuses rows that no store can take. Such a call is a bug of the caller.
func (c Cluster) CheckRows(parts []AppendPart, rows *Rows) error {
	if err := c.CheckParts(parts); err != nil {
		return err
	}
	named := map[int]bool{}
	for _, p := range parts {
		if shard, ok := p.Journal.Shard(); ok {
			named[shard] = true
		}
	}
	if len(rows.Segments) > RowsMax || len(rows.Removed) > RowsMax || len(rows.Extents) > RowsMax {
		return fmt.Errorf("append with more than %d rows", RowsMax)
	}
	for i := range rows.Segments {
		if s := &rows.Segments[i]; s.Object == "" || len(s.Object) > ObjectBytesMax || s.Size < 0 {
			return fmt.Errorf("append with a row of segment %q of %d bytes", s.Object, s.Size)
		}
	}
	for _, k := range rows.Removed {
		if !named[k.Shard] {
			return fmt.Errorf("append with a row of shard %d, whose journal it doesn't name", k.Shard)
		}
	}
	for i := range rows.Extents {
		e := &rows.Extents[i]
		switch {
		case !named[e.Shard]:
			return fmt.Errorf("append with a row of shard %d, whose journal it doesn't name", e.Shard)
		case e.Partition < 0 || e.Base < 0 || e.End <= e.Base:
			return fmt.Errorf("append with an extent of partition %d, offsets %d to %d", e.Partition, e.Base, e.End)
		case e.Position < 0 || e.Length < 0 || e.Records < 0 || len(e.Index) > ExtentIndexBytesMax:
			return fmt.Errorf("append with an extent of %d bytes at %d, %d records, %d bytes of index", e.Length, e.Position, e.Records, len(e.Index))
		}
	}
	return rows.checkArchive(named)
}

// ExtentOrder says which rows an ExtentQuery wants, and in which order.
type ExtentOrder int

// The orders.
const (
	ByOffset ExtentOrder = iota // of one partition, from the one that covers Offset or the next, upwards
	// BySince: of one partition, from the first one whose timestamps, or those of one
	// before it, reach Timestamp, upwards. None below it reaches it.
	BySince
	ByLatest // of one partition, by the largest MaxTimestamp, the lowest offset first
	Small    // of one shard, those below SmallExtentBytes, by topic, partition and offset, after After
	Every    // of all, by topic, partition and offset, after After
)

// ExtentQuery asks for rows of the table extents. Each is one statement that reads
// the rows it returns and a few more (I9).
type ExtentQuery struct {
	Order     ExtentOrder
	Shard     int
	Topic     uint64
	Partition int32
	Offset    int64
	Timestamp int64
	After     ExtentKey // Topic, Partition, Base count; the zero key with Base −1 begins
	Limit     int
}

// ExtentsBegin is the After that comes before every row.
func ExtentsBegin() ExtentKey { return ExtentKey{Base: -1} }

// CheckRetire refuses rows that no store can take. Such a call is a bug of the caller.
func CheckRetire(reason string, objects []SegmentRow) error {
	if reason == "" || len(reason) > ReasonBytesMax || len(objects) > RowsMax {
		return fmt.Errorf("retire %d objects, %q", len(objects), reason)
	}
	for i := range objects {
		if o := &objects[i]; o.Object == "" || len(o.Object) > ObjectBytesMax || o.Size < 0 {
			return fmt.Errorf("retire %q of %d bytes", o.Object, o.Size)
		}
	}
	return nil
}
