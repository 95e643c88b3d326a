package shard

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// partitionsMax bounds the partitions open in a shard. The catalog holds no more.
const partitionsMax = 1 << 20

// Opened opens partitions of a topic in a shard: Count indexes from First on, Stride apart.
type Opened struct {
	Topic  uint64
	ID     [16]byte
	First  int32
	Stride int32 // at least 1; 0 is taken as 1
	Count  int32 // at least 1
}

// Opening is what a shard opens.
type Opening struct {
	Shard int
	Opened
}

// Openings returns what the shards must open for the partitions from to to−1 of a
// topic, in order of the shards: the partition p belongs to the shard (firstShard + p) mod shards.
func Openings(topic uint64, id [16]byte, firstShard, from, to int32, shards int) []Opening {
	openings := make([]Opening, 0, max(0, min(shards, int(to-from))))
	for p := int64(from); p < int64(to) && p < int64(from)+int64(shards); p++ {
		openings = append(openings, Opening{
			Shard: int((int64(firstShard) + p) % int64(shards)),
			Opened: Opened{
				Topic: topic, ID: id,
				First: int32(p), Stride: int32(shards), Count: int32((int64(to) - p + int64(shards) - 1) / int64(shards)),
			},
		})
	}
	slices.SortFunc(openings, func(a, b Opening) int { return a.Shard - b.Shard })
	return openings
}

// AppendOpened appends the effect of o.
func AppendOpened(dst []byte, o Opened) []byte {
	body := binary.AppendUvarint(make([]byte, 0, 48), o.Topic)
	body = append(body, o.ID[:]...)
	body = appendUint(body, o.First)
	body = appendUint(body, max(1, o.Stride))
	return metastore.AppendEffect(dst, metastore.EffectPartitionsOpened, appendUint(body, o.Count))
}

func decodeOpened(d *metastore.Decoder) Opened {
	o := Opened{Topic: d.Uvarint()}
	copy(o.ID[:], d.Fixed(len(o.ID)))
	o.First = int32(decodeUint(d, math.MaxInt32, "partition"))
	o.Stride = int32(decodeUint(d, math.MaxInt32, "stride"))
	o.Count = int32(decodeUint(d, partitionsMax, "count of partitions"))
	if d.Err == nil && (o.Stride < 1 || o.Count < 1 ||
		int64(o.First)+int64(o.Stride)*int64(o.Count-1) > math.MaxInt32) {
		d.Fail("partitions out of range")
	}
	return o
}

// applyOpened opens partitions at offset 0. Opening one that is open is a bug: the
// catalog, which decides it, is written strictly.
func (s *State) applyOpened(d *metastore.Decoder) error {
	o := decodeOpened(d)
	if d.Err != nil {
		return d.Err
	}
	if s.opened += int(o.Count); s.opened > partitionsMax {
		return fmt.Errorf("%d partitions are open, more than %d: a bug", s.opened, partitionsMax)
	}
	t := s.topics[o.Topic]
	if t == nil {
		t = &topic{number: o.Topic, id: o.ID, stride: o.Stride}
		s.topics[o.Topic] = t
	}
	if t.id != o.ID {
		return fmt.Errorf("topic %d is opened with id %x, and has %x: a bug", o.Topic, o.ID, t.id)
	}
	opened := make([]*partition, o.Count)
	block := make([]partition, o.Count)
	for i := range opened {
		index := o.First + int32(i)*o.Stride
		if _, open := t.search(index); open {
			return fmt.Errorf("partition %d of topic %d is opened and was open: a bug", index, o.Topic)
		}
		block[i].id = PartitionID{o.Topic, index}
		opened[i] = &block[i]
	}
	t.partitions = append(t.partitions, opened...)
	slices.SortFunc(t.partitions, func(a, b *partition) int { return a.id.Compare(b.id) })
	return nil
}

// AppendClosed appends the effect that closes all partitions of a topic, which is
// for ever, since topic numbers are never reused.
func AppendClosed(dst []byte, topic uint64) []byte {
	return metastore.AppendEffect(dst, metastore.EffectPartitionsClosed, binary.AppendUvarint(nil, topic))
}

func (s *State) applyClosed(d *metastore.Decoder) bool {
	number := d.Uvarint()
	t := s.topics[number]
	if d.Err != nil || t == nil {
		return false
	}
	s.opened -= len(t.partitions)
	delete(s.topics, number)
	if s.OnGrow != nil {
		for _, p := range t.partitions {
			s.OnGrow(p.id, -1)
		}
	}
	return true
}
