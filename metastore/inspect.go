package metastore

import (
	"context"
	"time"
)

// JournalInfo is what a journal keeps, for operators.
type JournalInfo struct {
	Journal  JournalID
	Head     Version
	Entries  int64 // kept
	Bytes    int64 // of their payloads
	Snapshot Version
	PlacedAt time.Time // of the snapshot; zero when there is none
}

// Inspector is a store that says what it keeps. It walks all entries.
type Inspector interface {
	Journals(ctx context.Context) ([]JournalInfo, error)
}
