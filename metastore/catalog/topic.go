package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// Topic is immutable once published by a State.
type Topic struct {
	Number     uint64 // given in order, never again
	ID         [16]byte
	Name       string
	Partitions int32
	FirstShard int32             // the shard of partition 0
	Configs    map[string]string // those set for the topic; the rest are the broker's
	CreatedAt  int64             // ms since 1970 UTC
}

// Shard returns the shard of a partition, in a cluster of so many shards.
func (t *Topic) Shard(partition int32, shards int) int {
	return int((int64(t.FirstShard) + int64(partition)) % int64(shards))
}

// NameBytesMax bounds a topic's name, as Kafka does.
const NameBytesMax = 249

// PartitionsMax bounds the partitions of all topics together. The writer refuses
// what would pass it; beyond it the catalog stops.
const PartitionsMax = 1 << 20

// ConfigsMax bounds the configs set for a topic.
const ConfigsMax = 1024

// Check returns an error for a topic that can't be coded: an entry with it would
// stop the catalog.
func (t *Topic) Check() error {
	switch {
	case t.Name == "" || len(t.Name) > NameBytesMax:
		return fmt.Errorf("a name of %d bytes, which takes 1 to %d", len(t.Name), NameBytesMax)
	case t.Partitions < 1 || t.Partitions > PartitionsMax:
		return fmt.Errorf("%d partitions, of which there are 1 to %d", t.Partitions, PartitionsMax)
	case t.FirstShard < 0:
		return fmt.Errorf("first shard %d", t.FirstShard)
	case len(t.Configs) > ConfigsMax:
		return fmt.Errorf("%d configs, more than %d", len(t.Configs), ConfigsMax)
	}
	return nil
}

// configBytesMin is the shortest coding of a config.
const configBytesMin = 2

// appendTopic appends what both an entry and a snapshot hold of a topic but for its number.
func appendTopic(dst []byte, t *Topic) []byte {
	dst = append(dst, t.ID[:]...)
	dst = metastore.AppendBytes(dst, t.Name)
	dst = binary.AppendUvarint(dst, uint64(t.Partitions))
	dst = binary.AppendUvarint(dst, uint64(t.FirstShard))
	dst = binary.AppendVarint(dst, t.CreatedAt)
	return appendConfigs(dst, t.Configs)
}

func decodeTopic(d *metastore.Decoder, number uint64) *Topic {
	t := &Topic{Number: number}
	copy(t.ID[:], d.Fixed(len(t.ID)))
	t.Name = d.String()
	t.Partitions = decodeCount(d)
	firstShard := d.Uvarint()
	t.FirstShard = int32(firstShard)
	t.CreatedAt = d.Varint()
	t.Configs = decodeConfigs(d)
	if d.Err == nil && (t.Name == "" || len(t.Name) > NameBytesMax || firstShard > math.MaxInt32) {
		d.Fail("topic out of range")
	}
	return t
}

// decodeCount reads a number of partitions.
func decodeCount(d *metastore.Decoder) int32 {
	n := d.Uvarint()
	if d.Err == nil && (n < 1 || n > PartitionsMax) {
		d.Fail("number of partitions out of range")
		return 0
	}
	return int32(n)
}

func appendConfigs(dst []byte, configs map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(configs)))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		dst = metastore.AppendBytes(dst, name)
		dst = metastore.AppendBytes(dst, configs[name])
	}
	return dst
}

// decodeConfigs returns nil for none. Names must rise, so that there is one coding of a set.
func decodeConfigs(d *metastore.Decoder) map[string]string {
	n := d.Count(configBytesMin)
	if n > ConfigsMax {
		d.Fail("too many configs")
	}
	if n == 0 || d.Err != nil {
		return nil
	}
	configs := make(map[string]string, n)
	before := ""
	for i := range n {
		name := d.String()
		if i > 0 && name <= before {
			d.Fail("configs out of order")
			return nil
		}
		configs[name], before = d.String(), name
	}
	return configs
}

// AppendTopicCreated appends the effect that creates t. Its number must be the
// state's NextTopicNumber, or follow on the one before it in the same entry. It
// panics on a topic that Check refuses: better here than in every replica.
func AppendTopicCreated(dst []byte, t *Topic) []byte {
	if err := t.Check(); err != nil {
		panic(fmt.Sprintf("creation of topic %q: %v", t.Name, err))
	}
	body := binary.AppendUvarint(nil, t.Number)
	return metastore.AppendEffect(dst, metastore.EffectTopicCreated, appendTopic(body, t))
}

func (s *State) applyCreated(d *metastore.Decoder) error {
	t := decodeTopic(d, d.Uvarint())
	if err := atEnd(d); err != nil {
		return err
	}
	if t.Number != s.nextTopic {
		return fmt.Errorf("topic %q is created with number %d instead of %d: a bug", t.Name, t.Number, s.nextTopic)
	}
	s.nextTopic++
	return s.insert(t)
}

// insert adds a topic whose number is new.
func (s *State) insert(t *Topic) error {
	if s.byName[t.Name] != nil {
		return fmt.Errorf("there is a topic %q: a bug", t.Name)
	}
	if s.byID[t.ID] != nil {
		return fmt.Errorf("there is a topic with id %x: a bug", t.ID)
	}
	if s.partitions += int(t.Partitions); s.partitions > PartitionsMax {
		return fmt.Errorf("topic %q makes it %d partitions, more than %d: a bug", t.Name, s.partitions, PartitionsMax)
	}
	s.put(t)
	return nil
}

// put publishes t in the place of what had its number.
func (s *State) put(t *Topic) {
	s.byNumber[t.Number], s.byName[t.Name], s.byID[t.ID] = t, t, t
	s.byNames.Store(nil)
}

// AppendTopicDeleted appends the effect that deletes a topic.
func AppendTopicDeleted(dst []byte, number uint64) []byte {
	return metastore.AppendEffect(dst, metastore.EffectTopicDeleted, binary.AppendUvarint(nil, number))
}

func (s *State) applyDeleted(d *metastore.Decoder) error {
	t, err := s.existing(d.Uvarint(), d)
	if err == nil {
		err = atEnd(d)
	}
	if err != nil {
		return err
	}
	delete(s.byNumber, t.Number)
	delete(s.byName, t.Name)
	delete(s.byID, t.ID)
	s.partitions -= int(t.Partitions)
	s.byNames.Store(nil)
	return nil
}

// existing returns the topic with number, which an effect names.
func (s *State) existing(number uint64, d *metastore.Decoder) (*Topic, error) {
	if d.Err != nil {
		return nil, d.Err
	}
	if t := s.byNumber[number]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("there is no topic %d: a bug", number)
}

// AppendTopicConfig appends the effect that replaces all configs set for a topic, at
// most ConfigsMax. It panics on more.
func AppendTopicConfig(dst []byte, number uint64, configs map[string]string) []byte {
	if len(configs) > ConfigsMax {
		panic(fmt.Sprintf("%d configs of topic %d", len(configs), number))
	}
	body := binary.AppendUvarint(nil, number)
	return metastore.AppendEffect(dst, metastore.EffectTopicConfig, appendConfigs(body, configs))
}

func (s *State) applyConfig(d *metastore.Decoder) error {
	t, err := s.existing(d.Uvarint(), d)
	if err != nil {
		return err
	}
	changed := *t
	changed.Configs = decodeConfigs(d)
	if err := atEnd(d); err != nil {
		return err
	}
	s.put(&changed)
	return nil
}

// AppendPartitionsAdded appends the effect that gives a topic more partitions, total
// in all. It panics on a total that no topic can have.
func AppendPartitionsAdded(dst []byte, number uint64, total int32) []byte {
	if total < 1 || total > PartitionsMax {
		panic(fmt.Sprintf("%d partitions of topic %d", total, number))
	}
	body := binary.AppendUvarint(nil, number)
	return metastore.AppendEffect(dst, metastore.EffectPartitionsAdded, binary.AppendUvarint(body, uint64(total)))
}

func (s *State) applyPartitions(d *metastore.Decoder) error {
	t, err := s.existing(d.Uvarint(), d)
	if err != nil {
		return err
	}
	changed := *t
	changed.Partitions = decodeCount(d)
	if err := atEnd(d); err != nil {
		return err
	}
	if changed.Partitions <= t.Partitions {
		return fmt.Errorf("topic %q has %d partitions and shall have %d: a bug", t.Name, t.Partitions, changed.Partitions)
	}
	if s.partitions += int(changed.Partitions - t.Partitions); s.partitions > PartitionsMax {
		return fmt.Errorf("topic %q makes it %d partitions, more than %d: a bug", t.Name, s.partitions, PartitionsMax)
	}
	s.put(&changed)
	return nil
}

// AppendProducerIDs appends the effect that gives its writer count producer ids,
// at least one. Its outcome is the first (int64); they are consecutive. It panics on less.
func AppendProducerIDs(dst []byte, count int64) []byte {
	if count < 1 {
		panic(fmt.Sprintf("%d producer ids", count))
	}
	return metastore.AppendEffect(dst, metastore.EffectProducerIDs, binary.AppendUvarint(nil, uint64(count)))
}

func (s *State) applyProducerIDs(d *metastore.Decoder) (int64, error) {
	count := d.Uvarint()
	if err := atEnd(d); err != nil {
		return 0, err
	}
	if count < 1 || count > uint64(math.MaxInt64-s.nextProducer) {
		return 0, errors.New("producer ids out of range: a bug")
	}
	first := s.nextProducer
	s.nextProducer += int64(count)
	return first, nil
}
