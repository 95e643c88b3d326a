package memory

import (
	"maps"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// Mark is the state of a Store at some time: what a standby has of it.
type Mark struct {
	journals map[metastore.JournalID]*journal
	terms    map[metastore.Term]*term
	lastTerm metastore.Term
	bucket   string
	tables   tables
}

// Mark returns the state now.
func (s *Store) Mark() *Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &Mark{journals: map[metastore.JournalID]*journal{}, terms: map[metastore.Term]*term{}, lastTerm: s.mu.lastTerm, bucket: s.mu.bucket}
	for id, j := range s.mu.journals {
		of := &journal{trimmed: j.trimmed, payloads: slices.Clone(j.payloads)}
		if j.snapshot != nil {
			place := *j.snapshot
			of.snapshot = &place
		}
		if j.lost != nil {
			lost := *j.lost
			of.lost = &lost
		}
		m.journals[id] = of
	}
	for t, held := range s.mu.terms {
		of := *held
		m.terms[t] = &of
	}
	m.tables = s.mu.tables.clone()
	return m
}

// Return puts the state back to that of a mark, which is used up: all that was done since is lost, as it is when a
// database fails over to a standby that had not received it.
func (s *Store) Return(m *Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.journals, s.mu.terms, s.mu.lastTerm, s.mu.bucket, s.mu.tables = m.journals, m.terms, m.lastTerm, m.bucket, m.tables
}

func (t *tables) clone() tables {
	return tables{extents: slices.Clone(t.extents), segments: slices.Clone(t.segments), files: slices.Clone(t.files), progress: maps.Clone(t.progress)}
}
