package transaction

import (
	"fmt"
	"maps"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// State is the fold of a transactions journal. Its owner serialises Apply and Restore
// against everything else; the other methods may run side by side.
type State struct {
	ids map[string]*Transaction
	// Derived: whose producer ids are in use, which ids are Ongoing and which Prepared.
	producers         map[int64]string
	ongoing, prepared map[string]struct{}
}

var _ metastore.Machine = (*State)(nil)

// New returns the state before the first entry.
func New() *State {
	return &State{ids: map[string]*Transaction{}, producers: map[int64]string{},
		ongoing: map[string]struct{}{}, prepared: map[string]struct{}{}}
}

// Apply folds one effect. Outcomes: Addition of an addition; whether it stood (bool) of all others.
func (s *State) Apply(at metastore.At, kind metastore.EffectKind, body []byte, want bool) (any, error) {
	d := &metastore.Decoder{Rest: body}
	var outcome any
	var err error
	switch kind {
	case metastore.EffectTransactionInit:
		outcome, err = s.applyInit(at, d)
	case metastore.EffectTransactionAdded:
		outcome, err = s.applyAdded(at, d)
	case metastore.EffectTransactionDecided:
		outcome, err = s.applyDecided(at, d)
	case metastore.EffectTransactionCompleted:
		outcome, err = s.applyCompleted(at, d)
	case metastore.EffectTransactionRemoved:
		outcome, err = s.applyRemoved(d)
	default:
		return nil, fmt.Errorf("%w: a transactions journal has no %v", metastore.ErrCorruptEntry, kind)
	}
	if err != nil || !want {
		return nil, err
	}
	return outcome, nil
}

// put publishes what an id has become; nil removes it.
func (s *State) put(id string, next *Transaction) {
	if before := s.ids[id]; before != nil {
		for _, p := range before.inUse() {
			delete(s.producers, p)
		}
		delete(s.ids, id)
		delete(s.ongoing, id)
		delete(s.prepared, id)
	}
	if next == nil {
		return
	}
	s.ids[id] = next
	for _, p := range next.inUse() {
		s.producers[p] = id
	}
	switch {
	case next.Status == Ongoing:
		s.ongoing[id] = struct{}{}
	case next.Status.Prepared():
		s.prepared[id] = struct{}{}
	}
}

// inUse are the producer ids that are nobody else's.
func (t *Transaction) inUse() []int64 {
	if t.Status.Prepared() && t.EndingProducerID != t.ProducerID {
		return []int64{t.ProducerID, t.EndingProducerID}
	}
	return []int64{t.ProducerID}
}

// free tells whether a producer id is in use by no other id.
func (s *State) free(producer int64, id string) bool {
	owner, used := s.producers[producer]
	return !used || owner == id
}

// Get returns a transactional id, nil for one unknown.
func (s *State) Get(id string) *Transaction { return s.ids[id] }

// ByProducer returns the id that a producer id belongs to, nil for none: a transaction of it
// that is open in a shard is then nobody's.
func (s *State) ByProducer(producer int64) *Transaction {
	id, ok := s.producers[producer]
	if !ok {
		return nil
	}
	return s.ids[id]
}

// IDs returns all ids, sorted.
func (s *State) IDs() []string { return slices.Sorted(maps.Keys(s.ids)) }

// Unfinished returns the decided transactions that are not known to be complete, sorted by id.
func (s *State) Unfinished() []*Transaction { return s.sorted(s.prepared) }

// Ongoing returns the ongoing transactions, sorted by id.
func (s *State) Ongoing() []*Transaction { return s.sorted(s.ongoing) }

func (s *State) sorted(ids map[string]struct{}) []*Transaction {
	list := make([]*Transaction, 0, len(ids))
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		list = append(list, s.ids[id])
	}
	return list
}

// TimedOut returns the ongoing transactions whose time was up at now (ms, the database's
// clock), sorted by id.
func (s *State) TimedOut(now int64) []*Transaction {
	return slices.DeleteFunc(s.Ongoing(), func(t *Transaction) bool { return t.Started+int64(t.TimeoutMs) > now })
}

// Idle returns the ids that nothing has changed since before (ms, the database's clock)
// and that have no transaction, resultsMax at most, sorted. It walks all ids.
func (s *State) Idle(before int64, resultsMax int) []*Transaction {
	var idle []*Transaction
	for _, t := range s.ids {
		if t.Updated < before && t.Status != Ongoing && !t.Status.Prepared() {
			idle = append(idle, t)
		}
	}
	slices.SortFunc(idle, func(a, b *Transaction) int { return compareIDs(a.ID, b.ID) })
	return idle[:min(len(idle), resultsMax)]
}

// Counts says how much the state holds, for metrics.
type Counts struct{ IDs, Ongoing, Prepared int }

// Counts returns it.
func (s *State) Counts() Counts { return Counts{len(s.ids), len(s.ongoing), len(s.prepared)} }
