package group

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// IDBytesMax bounds the id of a group, as Kafka's protocol does.
const IDBytesMax = 32767

// Journal returns the index of the journal that holds a group, in a cluster with so
// many of them. Persisted by what was written there.
func Journal(id string, journals int) int {
	return int(crc32.Checksum([]byte(id), crc32.MakeTable(crc32.Castagnoli)) % uint32(journals))
}

// Place names a partition by its topic's number, which is never reused, and its index.
type Place struct {
	Topic     uint64
	Partition int32
}

// Compare orders by topic number, then partition.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Topic, q.Topic), cmp.Compare(p.Partition, q.Partition))
}

// Never is the expiry of an offset that has none of its own.
const Never = -1

// Offset is what a group has committed for a partition.
type Offset struct {
	Offset      int64
	LeaderEpoch int32 // −1: none
	Metadata    string
	CommittedAt int64 // ms since 1970 UTC, by the entry that holds it
	Expires     int64 // ms since 1970 UTC, as old clients ask for; Never
}

// PlacedOffset is an offset and the partition it is for.
type PlacedOffset struct {
	Place
	Offset
}

// State is the fold of a groups journal. Its owner serialises Apply and Restore
// against everything else; the other methods may run side by side.
type State struct {
	groups       map[string]*group
	offsets      int                             // of all groups
	transactions map[int64]*producerTransactions // by producer id
	holder       metastore.Term                  // 0: nobody has taken the groups over
}

var _ metastore.Machine = (*State)(nil)

type group struct {
	generation *Generation // never nil
	consumer   *Consumer   // nil: of the classic protocol, or nobody ever joined
	offsets    map[Place]Offset
	pending    map[int64]map[Place]pendingOffset // by producer id, of transactions that have not ended
}

// New returns the state before the first entry: there are no groups.
func New() *State {
	return &State{groups: map[string]*group{}, transactions: map[int64]*producerTransactions{}}
}

// Apply folds one effect. Outcomes: whether it stood (bool) of a generation, a change,
// a commit, pending offsets, a transaction's end and a group's deletion; how many were
// forgotten (int) of which transactions ended; of a deletion of offsets how many it deleted (int), −1 when it is void.
func (s *State) Apply(at metastore.At, kind metastore.EffectKind, body []byte, want bool) (any, error) {
	d := &metastore.Decoder{Rest: body}
	var outcome any
	var err error
	switch kind {
	case metastore.EffectGroupGeneration:
		outcome, err = s.applyGeneration(at, d)
	case metastore.EffectOffsetsCommitted:
		outcome, err = s.applyCommit(at, d)
	case metastore.EffectOffsetsDeleted:
		outcome, err = s.applyOffsetsDeleted(d)
	case metastore.EffectConsumerChange:
		outcome, err = s.applyConsumerChange(at, d)
	case metastore.EffectConsumerMixed:
		outcome, err = s.applyConsumerMixed(at, d)
	case metastore.EffectConsumerDowngraded:
		outcome, err = s.applyConsumerDowngraded(at, d)
	case metastore.EffectOffsetsPending:
		outcome, err = s.applyPending(at, d)
	case metastore.EffectOffsetsEnded:
		outcome, err = s.applyEnded(at, d)
	case metastore.EffectEndedForgotten:
		outcome, err = s.applyForgotten(d)
	case metastore.EffectGroupDeleted:
		outcome, err = s.applyGroupDeleted(d)
	case metastore.EffectGroupsTaken:
		err = s.applyTaken(at, d)
	default:
		return nil, fmt.Errorf("%w: a groups journal has no %v", metastore.ErrCorruptEntry, kind)
	}
	if err != nil || !want {
		return nil, err
	}
	return outcome, nil
}

// Generation returns the last stable generation of a group, nil for one unknown.
func (s *State) Generation(id string) *Generation {
	if g := s.groups[id]; g != nil {
		return g.generation
	}
	return nil
}

// Offset returns what a group has committed for a partition.
func (s *State) Offset(id string, p Place) (o Offset, ok bool) {
	if g := s.groups[id]; g != nil {
		o, ok = g.offsets[p]
	}
	return o, ok
}

// Offsets returns all that a group has committed, in order.
func (s *State) Offsets(id string) []PlacedOffset {
	g := s.groups[id]
	if g == nil {
		return nil
	}
	return g.sorted()
}

func (g *group) sorted() []PlacedOffset {
	list := make([]PlacedOffset, 0, len(g.offsets))
	for p, o := range g.offsets {
		list = append(list, PlacedOffset{p, o})
	}
	slices.SortFunc(list, func(a, b PlacedOffset) int { return a.Place.Compare(b.Place) })
	return list
}

// Groups returns the ids of all groups, sorted.
func (s *State) Groups() []string { return slices.Sorted(maps.Keys(s.groups)) }

// WithMembers returns the ids of the groups whose last stable generation has members, sorted.
func (s *State) WithMembers() []string {
	var ids []string
	for id, g := range s.groups {
		if len(g.generation.Members) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Counts returns how many groups there are, and how many offsets they have committed.
func (s *State) Counts() (groups, offsets int) { return len(s.groups), s.offsets }
