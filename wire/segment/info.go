package segment

import (
	"fmt"
	"strconv"
	"strings"
)

// ID names a segment for ever: the term that wrote it and its place among that
// term's segments of its kind.
type ID struct {
	Term   uint64 // as the metastore numbers terms, from 1
	Number uint64 // counts the term's segments of the kind from 1
	Merged bool   // a partition segment; else an ingest segment
}

// Persisted: the form of a segment's key. No prefix is another's.
const (
	IngestPrefix    = "segments/"   // of ingest segments' keys
	MergedPrefix    = "partitions/" // of partition segments' keys
	keyTermDigits   = 10
	keyNumberDigits = 12
)

// Key returns the segment's key in the bucket:
// "segments/<term, 10 digits>/<number, 12 digits>", or "partitions/…" of a partition
// segment, so that keys sort as IDs do. A larger term or number takes more digits.
func (id ID) Key() string {
	prefix := IngestPrefix
	if id.Merged {
		prefix = MergedPrefix
	}
	return fmt.Sprintf("%s%0*d/%0*d", prefix, keyTermDigits, id.Term, keyNumberDigits, id.Number)
}

func (id ID) String() string { return id.Key() }

// ParseKey returns the ID whose Key is key, and whether there is one.
func ParseKey(key string) (ID, bool) {
	rest, ok := strings.CutPrefix(key, IngestPrefix)
	merged := false
	if !ok {
		if rest, merged = strings.CutPrefix(key, MergedPrefix); !merged {
			return ID{}, false
		}
	}
	term, number, ok := strings.Cut(rest, "/")
	if !ok {
		return ID{}, false
	}
	id := ID{Merged: merged}
	var err error
	if id.Term, err = strconv.ParseUint(term, 10, 64); err != nil {
		return ID{}, false
	}
	if id.Number, err = strconv.ParseUint(number, 10, 64); err != nil {
		return ID{}, false
	}
	// Only the canonical spelling: two keys never name one segment.
	return id, id.Key() == key
}

// Compare orders IDs of one kind by term, then number: the order of their keys.
func (id ID) Compare(other ID) int {
	switch {
	case id.Term < other.Term || id.Term == other.Term && id.Number < other.Number:
		return -1
	case id.Term == other.Term && id.Number == other.Number:
		return 0
	}
	return 1
}

// Info is what a segment says about itself.
type Info struct {
	Cluster string // the cluster's id, at most ClusterBytesMax
	ID      ID
	Flush   uint64 // the number of the flush that wrote it
	Written int64  // the writer's clock, ms since 1970 UTC; informative
	Fates   []Fate // of the term's earlier appends since its last segment
}

// ClusterBytesMax bounds a cluster's id in a segment, in bytes.
const ClusterBytesMax = 64

// Fate says what became of one earlier append of the segment's term, so that
// the bucket alone tells the order of all but the last flushes (I10).
type Fate struct {
	Journal uint32 // the journal's id
	Number  uint64 // of the term's entry in that journal
	Version uint64 // that the journal gave to it
}
