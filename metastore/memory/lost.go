package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// lostTail is the mark of a journal, and the term that recovers it.
type lostTail struct {
	metastore.LostTail
	recovery metastore.Term // 0: none
}

var _ metastore.LostTails = (*Store)(nil)

// MarkLost implements metastore.LostTails.
func (s *Store) MarkLost(ctx context.Context, e metastore.Evidence) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var terms []metastore.Term
	for _, t := range slices.Sorted(maps.Keys(s.mu.terms)) {
		if !s.mu.terms[t].ended {
			terms = append(terms, t)
		}
	}
	for s.mu.lastTerm < e.LastTerm {
		s.mu.lastTerm++
		terms = append(terms, s.mu.lastTerm)
	}
	marked := 0
	for id, j := range s.mu.journals {
		seen := e.Seen[id]
		switch {
		case seen <= j.head() || j.lost != nil && seen <= j.lost.Seen:
		case j.lost != nil:
			j.lost.Seen = seen
			marked++
		default:
			j.lost = &lostTail{LostTail: metastore.LostTail{Journal: id, Head: j.head(), Seen: seen, Terms: terms, FoundAt: s.clock()}}
			marked++
		}
	}
	return marked, nil
}

// LostTails implements metastore.LostTails.
func (s *Store) LostTails(ctx context.Context) ([]metastore.LostTail, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var lost []metastore.LostTail
	for _, id := range slices.Sorted(maps.Keys(s.mu.journals)) {
		if j := s.mu.journals[id]; j.lost != nil {
			l := j.lost.LostTail
			l.Terms = slices.Clone(l.Terms)
			lost = append(lost, l)
		}
	}
	return lost, nil
}

// RecoverTail implements metastore.LostTails.
func (s *Store) RecoverTail(_ context.Context, term metastore.Term, id metastore.JournalID) error {
	return s.changeMark(id, func(marked *journal) bool {
		if marked.lost != nil {
			marked.lost.recovery = term
		}
		return marked.lost != nil
	}, term)
}

// TailRecovered implements metastore.LostTails.
func (s *Store) TailRecovered(_ context.Context, term metastore.Term, id metastore.JournalID) error {
	return s.changeMark(id, func(marked *journal) bool {
		recovers := marked.lost != nil && marked.lost.recovery == term
		if recovers {
			marked.lost = nil
		}
		return recovers
	}, term)
}

func (s *Store) changeMark(id metastore.JournalID, change func(marked *journal) bool, term metastore.Term) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, err := s.journalLocked(id)
	if err != nil {
		return err
	}
	if !change(j) {
		return fmt.Errorf("%v has no lost tail that term %d recovers", id, term)
	}
	return nil
}
