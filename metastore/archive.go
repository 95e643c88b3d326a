package metastore

import (
	"fmt"
	"time"
)

// ArchivedRange says that an append archives a partition's offsets from Expected to
// To: the table archive_progress, a row a partition. The store refuses it with
// ErrRowsTaken unless Expected is what the row has, 0 where there is none.
type ArchivedRange struct {
	Shard     int
	Topic     uint64 // number
	Partition int32
	Expected  int64
	To        int64
}

// ArchiveFile is an object of the archive: the table archive_files. It holds the records of one
// hour that a partition has from First to Last, aborted ones excepted.
type ArchiveFile struct {
	Topic        string // its name when the object was written
	TopicID      string // as Kafka writes it
	Number       uint64 // of the topic
	Partition    int32
	First, Last  int64 // offsets of its first and last record
	Object       string
	Rows         int64
	Bytes        int64 // of the object
	MinTimestamp int64 // ms; −1 where records have no time, and so below
	MaxTimestamp int64
	Date         string // YYYY-MM-DD, UTC
	Hour         int
	Value        string    // how kafka_value is typed: binary, string or json
	Created      time.Time // by the database's clock; set by the store
}

// ReasonExpired is why an archive's object is retired: the archive's own retention.
const ReasonExpired = "expired"

// Bounds of an archive file's texts, in bytes.
const (
	topicNameBytesMax = 249
	archiveTextMax    = 64
)

// checkArchive refuses rows of the archive that no store can take.
func (r *Rows) checkArchive(named map[int]bool) error {
	if !r.OfArchive() {
		return nil
	}
	if len(r.Extents) > 0 || len(r.Removed) > 0 {
		return fmt.Errorf("append with rows of extents and of the archive")
	}
	if len(r.Archived) > RowsMax || len(r.Files) > RowsMax {
		return fmt.Errorf("append with more than %d rows", RowsMax)
	}
	for _, a := range r.Archived {
		if !named[a.Shard] {
			return fmt.Errorf("append with a row of shard %d, whose journal it doesn't name", a.Shard)
		}
		if a.Partition < 0 || a.Expected < 0 || a.To <= a.Expected {
			return fmt.Errorf("append that archives offsets %d to %d of partition %d", a.Expected, a.To, a.Partition)
		}
	}
	made := map[string]bool{}
	for i := range r.Segments {
		made[r.Segments[i].Object] = true
	}
	for i := range r.Files {
		f := &r.Files[i]
		switch {
		case !made[f.Object]:
			return fmt.Errorf("append with archive file %q, which has no row of a segment", f.Object)
		case f.Partition < 0 || f.First < 0 || f.Last < f.First || f.Rows < 1 || f.Bytes < 1 || f.Hour < 0 || f.Hour > 23:
			return fmt.Errorf("append with archive file %q of %d rows, offsets %d to %d, hour %d", f.Object, f.Rows, f.First, f.Last, f.Hour)
		case f.Topic == "" || len(f.Topic) > topicNameBytesMax || len(f.TopicID) > archiveTextMax || len(f.Date) != len("2006-01-02") || len(f.Value) > archiveTextMax:
			return fmt.Errorf("append with archive file %q of topic %q, %s, %s", f.Object, f.Topic, f.Date, f.Value)
		}
	}
	return nil
}

// ArchiveQuery asks for rows of the table archive_files: by Topic, those after After in the order of
// partition, first offset and object. Or, with Expired, by Number, those whose
// MaxTimestamp is at least 0 and below Before, the oldest first.
type ArchiveQuery struct {
	Topic   string
	After   ArchiveKey
	Expired bool
	Number  uint64
	Before  int64 // ms
	Limit   int
}

// ArchiveKey is a place in a topic's archive.
type ArchiveKey struct {
	Partition int32
	First     int64
	Object    string
}

// ArchiveBegin is the After that comes before every row.
func ArchiveBegin() ArchiveKey { return ArchiveKey{Partition: -1} }

// Key returns the row's place.
func (f *ArchiveFile) Key() ArchiveKey { return ArchiveKey{f.Partition, f.First, f.Object} }

// CheckRemoveFiles refuses what no store can take. Such a call is a bug of the caller.
func CheckRemoveFiles(reason string, objects []string) error {
	if reason == "" || len(reason) > ReasonBytesMax || len(objects) > RowsMax {
		return fmt.Errorf("remove %d archive files, %q", len(objects), reason)
	}
	return nil
}
