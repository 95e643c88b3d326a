package shard

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// PartitionID names a partition by its topic's number, which is never reused, and its index.
type PartitionID struct {
	Topic uint64
	Index int32
}

// Compare orders by topic number, then index.
func (p PartitionID) Compare(q PartitionID) int {
	return cmp.Or(cmp.Compare(p.Topic, q.Topic), cmp.Compare(p.Index, q.Index))
}

func (p PartitionID) String() string { return fmt.Sprintf("%d/%d", p.Topic, p.Index) }

// State is the fold of a shard's journal. Its owner serialises Apply and Restore
// against everything else; the other methods may run side by side.
type State struct {
	// OnGrow, if set, is told of each partition whose high watermark has risen, and of
	// each that was closed (−1), once an
	// effect. It runs under the owner's lock and must not block. It is no part of the state.
	OnGrow func(p PartitionID, highWatermark int64)

	topics map[uint64]*topic
	opened int // partitions of topics
}

var _ metastore.Machine = (*State)(nil)

// topic holds the shard's partitions of one topic.
type topic struct {
	number     uint64
	id         [16]byte
	stride     int32        // of the first opening: how far apart the indexes are, as a rule
	partitions []*partition // by index
}

// New returns the state before the first entry: no partition is open.
func New() *State { return &State{topics: map[uint64]*topic{}} }

// Apply folds one effect. Outcomes: []BatchOutcome of a flush; bool, whether it
// stood, of a fence, a forget, a swap, an archived and a closing; the log start (int64, -1 when void) of
// a log start move; []MarkerOutcome of a marker; nil of an opening.
func (s *State) Apply(at metastore.At, kind metastore.EffectKind, body []byte, want bool) (any, error) {
	d := metastore.Decoder{Rest: body}
	var outcome any
	var err error
	switch kind {
	case metastore.EffectFlush:
		var batches []BatchOutcome
		batches, err = s.applyFlush(at, &d, want)
		outcome = batches
	case metastore.EffectFence:
		outcome = s.applyFence(at, &d)
	case metastore.EffectForgetProducer:
		outcome = s.applyForget(&d)
	case metastore.EffectMarker:
		var markers []MarkerOutcome
		markers, err = s.applyMarker(at, &d, want)
		outcome = markers
	case metastore.EffectLogStart:
		outcome = s.applyLogStart(&d)
	case metastore.EffectSwap:
		outcome = s.applySwap(at, &d)
	case metastore.EffectArchived:
		outcome = s.applyArchived(&d)
	case metastore.EffectJump:
		outcome, err = s.applyJump(&d)
	case metastore.EffectPartitionsOpened:
		err = s.applyOpened(&d)
	case metastore.EffectPartitionsClosed:
		outcome = s.applyClosed(&d)
	default:
		return nil, fmt.Errorf("%w: a shard has no %v", metastore.ErrCorruptEntry, kind)
	}
	if err == nil {
		err = atEnd(&d)
	}
	if err != nil || !want {
		return nil, err
	}
	return outcome, nil
}

// atEnd returns the decoder's error, or one for bytes that it left.
func atEnd(d *metastore.Decoder) error {
	if d.Err == nil && len(d.Rest) > 0 {
		d.Fail("bytes after the end")
	}
	return d.Err
}

// partition returns an open partition, or nil.
func (s *State) partition(p PartitionID) *partition {
	t := s.topics[p.Topic]
	if t == nil {
		return nil
	}
	return t.partition(p.Index)
}

// partition looks where the index is by the stride, then anywhere.
func (t *topic) partition(index int32) *partition {
	if i := int((index - t.partitions[0].id.Index) / t.stride); uint(i) < uint(len(t.partitions)) {
		if p := t.partitions[i]; p.id.Index == index {
			return p
		}
	}
	if i, ok := t.search(index); ok {
		return t.partitions[i]
	}
	return nil
}

func (t *topic) search(index int32) (int, bool) {
	return slices.BinarySearchFunc(t.partitions, index, func(p *partition, index int32) int {
		return cmp.Compare(p.id.Index, index)
	})
}

// sorted returns the topics by number.
func (s *State) sorted() []*topic {
	topics := make([]*topic, 0, len(s.topics))
	for _, t := range s.topics {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b *topic) int { return cmp.Compare(a.number, b.number) })
	return topics
}

// TopicID returns the id that the topic was opened with.
func (s *State) TopicID(number uint64) (id [16]byte, ok bool) {
	if t := s.topics[number]; t != nil {
		return t.id, true
	}
	return id, false
}

// Partitions returns the open partitions in order.
func (s *State) Partitions() []PartitionID {
	var ids []PartitionID
	for _, t := range s.sorted() {
		for _, p := range t.partitions {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// Counts says how much the state holds, for metrics.
type Counts struct {
	Partitions, Extents, Producers int
	Open                           int   // transactions, counted in each of their partitions
	Aborted                        int   // the same
	UnstableMax                    int64 // records above the last stable offset, of the partition that has most
}

// Counts walks the partitions.
func (s *State) Counts() Counts {
	var c Counts
	for _, t := range s.topics {
		c.Partitions += len(t.partitions)
		for _, p := range t.partitions {
			c.Extents += len(p.extents)
			c.Producers += len(p.producers)
			c.Open += len(p.open)
			c.Aborted += len(p.aborted)
			c.UnstableMax = max(c.UnstableMax, p.highWatermark-p.lastStable())
		}
	}
	return c
}
