package group

import (
	"encoding/binary"
	"math"
	"slices"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// What members of the classic protocol of type "consumer" say and are told in opaque bytes.
// https://github.com/apache/kafka, ConsumerProtocolSubscription.json and
// ConsumerProtocolAssignment.json; a later version only adds fields behind those of the earlier ones.

// The first versions of a subscription that have a field.
const (
	subscriptionOwnedVersion      = 1
	subscriptionGenerationVersion = 2
	subscriptionRackVersion       = 3
)

// namedPartitions are partitions of a topic that is known by name.
type namedPartitions struct {
	topic      string
	partitions []int32
}

// embeddedSubscription is what a member subscribes to.
type embeddedSubscription struct {
	version int16
	topics  []string
	owned   []namedPartitions // that it has not given up
	rack    string
}

func parseSubscription(b []byte) (s embeddedSubscription, ok bool) {
	d := &embeddedDecoder{rest: b}
	s.version = d.int16()
	for range d.count(2) {
		s.topics = append(s.topics, d.string())
	}
	d.bytes() // of the member's assignor
	if s.version >= subscriptionOwnedVersion {
		s.owned = d.named()
	}
	if s.version >= subscriptionGenerationVersion {
		d.take(4)
	}
	if s.version >= subscriptionRackVersion {
		s.rack = d.string()
	}
	return s, !d.bad && s.version >= 0
}

// parseAssignment returns what a leader has assigned, and whether its assignor says more
// than that, which nobody but its like understands.
func parseAssignment(b []byte) (assigned []namedPartitions, custom, ok bool) {
	if len(b) == 0 {
		return nil, false, true
	}
	d := &embeddedDecoder{rest: b}
	version := d.int16()
	assigned = d.named()
	custom = len(d.bytes()) > 0
	return assigned, custom, !d.bad && version >= 0
}

// appendAssignment appends places, ordered, as a leader assigns them. The topics of names are left out.
func appendAssignment(dst []byte, version int16, places []stored.Place, names map[uint64]string) []byte {
	places = slices.DeleteFunc(slices.Clone(places), func(p stored.Place) bool { return names[p.Topic] == "" })
	topics := 0
	for i, p := range places {
		if i == 0 || places[i-1].Topic != p.Topic {
			topics++
		}
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(topics))
	for i := 0; i < len(places); {
		end := i
		for end < len(places) && places[end].Topic == places[i].Topic {
			end++
		}
		name := names[places[i].Topic]
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(name))), name...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(end-i))
		for _, p := range places[i:end] {
			dst = binary.BigEndian.AppendUint32(dst, uint32(p.Partition))
		}
		i = end
	}
	return binary.BigEndian.AppendUint32(dst, math.MaxUint32) // no bytes of an assignor
}

// embeddedDecoder reads such bytes; after what it can't read it is bad, and returns zeros.
type embeddedDecoder struct {
	rest []byte
	bad  bool
}

func (d *embeddedDecoder) take(n int) []byte {
	if d.bad || n > len(d.rest) {
		d.bad = true
		return make([]byte, min(n, 4))
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *embeddedDecoder) int16() int16 { return int16(binary.BigEndian.Uint16(d.take(2))) }
func (d *embeddedDecoder) int32() int32 { return int32(binary.BigEndian.Uint32(d.take(4))) }

// count reads the length of an array whose elements take so many bytes at least.
func (d *embeddedDecoder) count(bytesMin int) int {
	n := d.int32()
	if d.bad || n < 0 || int(n) > len(d.rest)/bytesMin {
		d.bad = true
		return 0
	}
	return int(n)
}

// string reads a string; a null is empty.
func (d *embeddedDecoder) string() string {
	n := d.int16()
	if d.bad || n < 0 {
		return ""
	}
	b := d.take(int(n))
	if d.bad {
		return ""
	}
	return string(b)
}

// bytes reads bytes; a null is empty.
func (d *embeddedDecoder) bytes() []byte {
	n := d.int32()
	if d.bad || n < 0 {
		return nil
	}
	if int(n) > len(d.rest) {
		d.bad = true
		return nil
	}
	return d.take(int(n))
}

func (d *embeddedDecoder) named() []namedPartitions {
	var all []namedPartitions
	for range d.count(6) {
		t := namedPartitions{topic: d.string()}
		for range d.count(4) {
			t.partitions = append(t.partitions, d.int32())
		}
		if d.bad {
			return nil
		}
		all = append(all, t)
	}
	return all
}

// places are the partitions of topics that exist, ordered, each once.
func (t topicSizes) places(named []namedPartitions) []stored.Place {
	var places []stored.Place
	for _, n := range named {
		number, ok := t.numbers[n.topic]
		if !ok {
			continue
		}
		for _, p := range n.partitions {
			if p >= 0 {
				places = append(places, stored.Place{Topic: number, Partition: p})
			}
		}
	}
	return slices.Compact(sortedPlaces(places))
}
