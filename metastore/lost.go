package metastore

import (
	"context"
	"fmt"
	"time"
)

// LostTail marks a journal whose newest entries were lost by the database. Nothing
// is appended to it, but by the term that recovers it.
type LostTail struct {
	Journal JournalID
	Head    Version // what was left
	Seen    Version // the newest version that is known to have been assigned
	Terms   []Term  // that may have written what is lost
	FoundAt time.Time
}

// Evidence is what is known, from outside the metastore, to have been in it.
type Evidence struct {
	Seen     map[JournalID]Version // versions that were assigned
	LastTerm Term                  // the highest term that has begun
}

// See notes that a version was assigned.
func (e *Evidence) See(j JournalID, v Version) {
	if e.Seen == nil {
		e.Seen = map[JournalID]Version{}
	}
	e.Seen[j] = max(e.Seen[j], v)
}

// Witness tells what the bucket knows of the journals (package agent/recovery).
type Witness func(ctx context.Context) (Evidence, error)

// LostTails is what every Store also does. A journal that is marked refuses
// appends with a *LostTailError, and its tails say so.
type LostTails interface {
	// MarkLost marks the journals whose head is below what the evidence has seen, and
	// sees to it that no term as old as its last is begun again. It returns how many
	// it marked.
	MarkLost(ctx context.Context, evidence Evidence) (int, error)
	// LostTails lists the journals that are marked.
	LostTails(ctx context.Context) ([]LostTail, error)
	// RecoverTail lets one term append to a marked journal: the last that asked.
	RecoverTail(ctx context.Context, term Term, journal JournalID) error
	// TailRecovered takes the mark away. Refused unless the term recovers the journal.
	TailRecovered(ctx context.Context, term Term, journal JournalID) error
}

// LostTailError refuses an append: the journal has lost its tail. Nothing was
// appended to any journal.
type LostTailError struct {
	Journal    JournalID
	Head, Seen Version
}

func (e *LostTailError) Error() string {
	return fmt.Sprintf("%v has lost its tail: its head was left at version %d, and version %d was seen; wadi metastore recover says what can be done", e.Journal, e.Head, e.Seen)
}

// Unwrap says that the journal takes nothing more.
func (e *LostTailError) Unwrap() error { return ErrStopped }
