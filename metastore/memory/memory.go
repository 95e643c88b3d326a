package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Store is a metastore.Store in memory.
type Store struct {
	clock   func() time.Time
	cluster metastore.Cluster
	mu      struct {
		sync.Mutex
		journals map[metastore.JournalID]*journal
		terms    map[metastore.Term]*term
		lastTerm metastore.Term
		bucket   string // its name; "": none has been claimed
		tables   tables
	}
}

// journal holds the entries with versions trimmed+1 … head.
type journal struct {
	trimmed  metastore.Version
	payloads [][]byte
	snapshot *metastore.SnapshotPlace
	lost     *lostTail // nil: whole
}

var _ metastore.Store = (*Store)(nil)

// New makes an empty cluster whose leases run by clock.
func New(clock func() time.Time, cluster metastore.Cluster) *Store {
	s := &Store{clock: clock, cluster: cluster}
	s.mu.journals = make(map[metastore.JournalID]*journal)
	for _, id := range cluster.Journals() {
		s.mu.journals[id] = &journal{}
	}
	s.mu.terms = make(map[metastore.Term]*term)
	return s
}

func (j *journal) head() metastore.Version { return j.trimmed + metastore.Version(len(j.payloads)) }

// journalLocked requires mu.
func (s *Store) journalLocked(id metastore.JournalID) (*journal, error) {
	j := s.mu.journals[id]
	if j == nil {
		return nil, fmt.Errorf("the cluster has no journal %v", id)
	}
	return j, nil
}

// Append implements metastore.Store.
func (s *Store) Append(ctx context.Context, t metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.cluster.CheckParts(parts); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(t, parts, func() error { return nil })
}

// appendLocked appends unless the term, a strict part or rows refuse it. rows
// changes the tables, or nothing and says why.
func (s *Store) appendLocked(t metastore.Term, parts []metastore.AppendPart, rows func() error) ([]metastore.Version, error) {
	if _, err := s.liveLocked(t); err != nil {
		return nil, err
	}
	// Everything that can refuse comes before the first change: all or none.
	for _, p := range parts {
		if lost := s.mu.journals[p.Journal].lost; lost != nil && lost.recovery != t {
			return nil, &metastore.LostTailError{Journal: p.Journal, Head: lost.Head, Seen: lost.Seen}
		}
		if head := s.mu.journals[p.Journal].head(); p.Strict && p.Expect != head {
			return nil, &metastore.StrictLostError{Journal: p.Journal, Head: head}
		}
	}
	if err := rows(); err != nil {
		return nil, err
	}
	versions := make([]metastore.Version, len(parts))
	for i, p := range parts {
		j := s.mu.journals[p.Journal]
		j.payloads = append(j.payloads, bytes.Clone(p.Payload))
		versions[i] = j.head()
	}
	return versions, nil
}

// Read implements metastore.Store.
func (s *Store) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tails := make([]metastore.Tail, len(positions))
	for i, p := range positions {
		j, err := s.journalLocked(p.Journal)
		if err != nil {
			return nil, err
		}
		tails[i] = metastore.Tail{Journal: p.Journal, Head: j.head()}
		if j.lost != nil {
			tails[i].Lost = j.lost.Seen
		}
		if p.After < j.trimmed {
			tails[i].Trimmed = true
			continue
		}
		size := 0
		for v := p.After + 1; v <= j.head(); v++ {
			payload := j.payloads[v-j.trimmed-1]
			if size += len(payload); size > bytesMax && v > p.After+1 {
				break
			}
			// A copy: a reader may not see the store's memory, as it could not over a wire.
			tails[i].Entries = append(tails[i].Entries, metastore.StoredEntry{Version: v, Payload: bytes.Clone(payload)})
		}
	}
	return tails, nil
}

// Snapshots implements metastore.Store.
func (s *Store) Snapshots(ctx context.Context, journals []metastore.JournalID) ([]metastore.SnapshotPlace, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var places []metastore.SnapshotPlace
	for _, id := range journals {
		j, err := s.journalLocked(id)
		if err != nil {
			return nil, err
		}
		if j.snapshot != nil {
			places = append(places, *j.snapshot)
		}
	}
	return places, nil
}

// PlaceSnapshot implements metastore.Store.
func (s *Store) PlaceSnapshot(ctx context.Context, t metastore.Term, place metastore.SnapshotPlace) (*metastore.SnapshotPlace, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.liveLocked(t); err != nil {
		return nil, err
	}
	j, err := s.journalLocked(place.Journal)
	if err != nil {
		return nil, err
	}
	if place.Version > j.head() {
		return nil, fmt.Errorf("snapshot of %v at version %d: its head is %d", place.Journal, place.Version, j.head())
	}
	replaced := j.snapshot
	if replaced != nil && place.Version <= replaced.Version {
		return nil, nil
	}
	j.snapshot = &place
	return replaced, nil
}

// Trim implements metastore.Store.
func (s *Store) Trim(ctx context.Context, id metastore.JournalID, through metastore.Version, rowsMax int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, err := s.journalLocked(id)
	if err != nil {
		return 0, err
	}
	if j.snapshot == nil || len(j.payloads) == 0 {
		return 0, nil
	}
	last := min(through, j.snapshot.Version, j.head()-1, j.trimmed+metastore.Version(max(rowsMax, 0)))
	if last <= j.trimmed {
		return 0, nil
	}
	n := int(last - j.trimmed)
	j.payloads = slices.Clone(j.payloads[n:])
	j.trimmed = last
	return n, nil
}

// Cluster implements metastore.Store.
func (s *Store) Cluster() metastore.Cluster { return s.cluster }

// ClaimBucket implements metastore.Store.
func (s *Store) ClaimBucket(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.bucket == "" {
		s.mu.bucket = name
	}
	return s.mu.bucket, nil
}

// Close implements metastore.Store. The contents stay, as a database's would.
func (s *Store) Close() error { return nil }

// LoseTail drops a journal's entries after a version, as a database does that
// fails over to a standby which had not received them. For tests.
func (s *Store) LoseTail(id metastore.JournalID, after metastore.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.mu.journals[id]
	if after >= j.trimmed && after < j.head() {
		j.payloads = slices.Clone(j.payloads[:after-j.trimmed])
	}
}
