package catalog

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/wadi-io/wadi/metastore"
)

// State is the fold of the catalog's journal. Its owner serialises Apply and
// Restore against everything else; the other methods may run side by side.
type State struct {
	nextTopic    uint64
	nextProducer int64
	byNumber     map[uint64]*Topic
	groups       map[string][]config // of those that have some; by name
	level        int32               // of features

	// Derived.
	byName     map[string]*Topic
	byID       map[[16]byte]*Topic
	partitions int
	byNames    atomic.Pointer[[]*Topic] // of Topics, made by the first reader after a change
}

var _ metastore.Machine = (*State)(nil)

// New returns the state before the first entry. Topic numbers and producer ids begin with 1.
func New() *State {
	return &State{
		nextTopic: 1, nextProducer: 1, level: metastore.LevelFirst,
		byNumber: map[uint64]*Topic{}, byName: map[string]*Topic{}, byID: map[[16]byte]*Topic{}, groups: map[string][]config{},
	}
}

// Apply folds one effect. The outcome is the first id (int64) of producer ids, else nil.
func (s *State) Apply(_ metastore.At, kind metastore.EffectKind, body []byte, want bool) (any, error) {
	d := &metastore.Decoder{Rest: body}
	switch kind {
	case metastore.EffectTopicCreated:
		return nil, s.applyCreated(d)
	case metastore.EffectTopicDeleted:
		return nil, s.applyDeleted(d)
	case metastore.EffectTopicConfig:
		return nil, s.applyConfig(d)
	case metastore.EffectPartitionsAdded:
		return nil, s.applyPartitions(d)
	case metastore.EffectFeatureLevel:
		return nil, s.applyLevel(d)
	case metastore.EffectGroupConfig:
		return nil, s.applyGroupConfig(d)
	case metastore.EffectProducerIDs:
		first, err := s.applyProducerIDs(d)
		if err != nil || !want {
			return nil, err
		}
		return first, nil
	}
	return nil, fmt.Errorf("%w: the catalog has no %v", metastore.ErrCorruptEntry, kind)
}

// atEnd returns the decoder's error, or one for bytes that it left.
func atEnd(d *metastore.Decoder) error {
	if d.Err == nil && len(d.Rest) > 0 {
		d.Fail("bytes after the end")
	}
	return d.Err
}

// Topic returns the topic with a name, or nil.
func (s *State) Topic(name string) *Topic { return s.byName[name] }

// ByID returns the topic with an id, or nil.
func (s *State) ByID(id [16]byte) *Topic { return s.byID[id] }

// ByNumber returns the topic with a number, or nil.
func (s *State) ByNumber(number uint64) *Topic { return s.byNumber[number] }

// Topics returns all topics by name. The slice is shared: don't change it.
func (s *State) Topics() []*Topic {
	if cached := s.byNames.Load(); cached != nil {
		return *cached
	}
	topics := make([]*Topic, 0, len(s.byNumber))
	for _, t := range s.byNumber {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	s.byNames.Store(&topics)
	return topics
}

// NextTopicNumber returns the number that the next topic must be created with.
func (s *State) NextTopicNumber() uint64 { return s.nextTopic }

// NextProducerID returns the first producer id that was not given yet.
func (s *State) NextProducerID() int64 { return s.nextProducer }

// Counts returns how many topics there are, and how many partitions they have together.
func (s *State) Counts() (topics, partitions int) { return len(s.byNumber), s.partitions }

// snapshotFormat opens a catalog's snapshot. Persisted.
const snapshotFormat = 1

// topicBytesMin is the shortest coding of a topic in a snapshot.
const topicBytesMin = 1 + 16 + 2 + 1 + 1 + 1 + 1

// AppendSnapshot appends the state's encoding: the format byte, the next topic number and
// producer id, the topics by number; then of what else there is a section each, the number
// of its effect's kind before it, by that number. So a state without it has the encoding that
// it had before the kind was known.
func (s *State) AppendSnapshot(dst []byte) []byte {
	dst = append(dst, snapshotFormat)
	dst = binary.AppendUvarint(dst, s.nextTopic)
	dst = binary.AppendUvarint(dst, uint64(s.nextProducer))
	dst = binary.AppendUvarint(dst, uint64(len(s.byNumber)))
	before := uint64(0)
	for _, t := range s.numbered() {
		dst = binary.AppendUvarint(dst, t.Number-before)
		before = t.Number
		dst = appendTopic(dst, t)
	}
	if s.level > metastore.LevelFirst {
		dst = binary.AppendUvarint(dst, uint64(metastore.EffectFeatureLevel))
		dst = binary.AppendUvarint(dst, uint64(s.level))
	}
	if len(s.groups) > 0 {
		dst = s.appendGroups(binary.AppendUvarint(dst, uint64(metastore.EffectGroupConfig)))
	}
	return dst
}

func (s *State) numbered() []*Topic {
	topics := slices.Clone(s.Topics())
	slices.SortFunc(topics, func(a, b *Topic) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
	return topics
}

// Restore replaces the state by the one encoded. After an error the state is as it was.
func (s *State) Restore(snapshot []byte) error {
	d := &metastore.Decoder{Rest: snapshot}
	if f := d.Fixed(1); d.Err == nil && f[0] != snapshotFormat {
		d.Fail("unknown format of the catalog's snapshot")
	}
	n := New()
	n.nextTopic = d.Uvarint()
	nextProducer := d.Uvarint()
	if nextProducer > math.MaxInt64 {
		d.Fail("producer id out of range")
	}
	n.nextProducer = int64(nextProducer)
	number := uint64(0)
	for range d.Count(topicBytesMin) {
		delta := d.Uvarint()
		if number += delta; delta == 0 || number < delta || number >= n.nextTopic {
			d.Fail("topics out of order")
		}
		t := decodeTopic(d, number)
		if d.Err != nil {
			return d.Err
		}
		if err := n.insert(t); err != nil {
			return fmt.Errorf("%w: %w", metastore.ErrCorruptEntry, err)
		}
	}
	if err := n.decodeSections(d); err != nil {
		return err
	}
	s.nextTopic, s.nextProducer, s.partitions = n.nextTopic, n.nextProducer, n.partitions
	s.byNumber, s.byName, s.byID, s.groups, s.level = n.byNumber, n.byName, n.byID, n.groups, n.level
	s.byNames.Store(nil)
	return nil
}

// decodeSections reads what follows the topics, to the end.
func (s *State) decodeSections(d *metastore.Decoder) error {
	before := uint64(0)
	for d.Err == nil && len(d.Rest) > 0 {
		kind := d.Uvarint()
		if kind <= before {
			d.Fail("sections of the catalog's snapshot out of order")
		}
		before = kind
		switch metastore.EffectKind(kind) {
		case metastore.EffectFeatureLevel:
			s.level = decodeLevel(d)
		case metastore.EffectGroupConfig:
			s.decodeGroups(d)
		default:
			d.Fail("unknown section of the catalog's snapshot")
		}
	}
	return d.Err
}
