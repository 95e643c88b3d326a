package transaction

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// The codings of effects and snapshots share these. What may be None is coded + 1.

func compareIDs(a, b string) int { return strings.Compare(a, b) }

func appendID(dst []byte, id string) []byte {
	if len(id) > IDBytesMax || id == "" {
		panic(fmt.Sprintf("coding of a transactional id of %d bytes", len(id)))
	}
	return metastore.AppendBytes(dst, id)
}

func decodeID(d *metastore.Decoder) string {
	id := d.Bytes()
	if d.Err == nil && (len(id) > IDBytesMax || len(id) == 0) {
		d.Fail("length of a transactional id")
	}
	return string(id)
}

func appendUint[T int16 | int32 | int64](dst []byte, v T) []byte {
	if v < 0 {
		panic(fmt.Sprintf("coding of %d, which must not be negative", v))
	}
	return binary.AppendUvarint(dst, uint64(v))
}

func decodeUint(d *metastore.Decoder, limit uint64, what string) int64 {
	v := d.Uvarint()
	if v > limit {
		d.Fail(what + " out of range")
		return 0
	}
	return int64(v)
}

func appendIdentity(dst []byte, i Identity) []byte {
	dst = appendUint(appendUint(dst, i.ProducerID), i.Epoch)
	dst = binary.AppendUvarint(dst, uint64(i.PreviousProducerID)+1)
	return appendUint(dst, int32(i.PreviousEpoch)+1)
}

func decodeIdentity(d *metastore.Decoder) Identity {
	i := Identity{ProducerID: decodeUint(d, math.MaxInt64, "producer"), Epoch: int16(decodeUint(d, math.MaxInt16, "epoch"))}
	i.PreviousProducerID = int64(d.Uvarint() - 1)
	i.PreviousEpoch = int16(decodeUint(d, math.MaxInt16+1, "epoch") - 1)
	if i.PreviousProducerID < None {
		d.Fail("producer out of range")
	}
	return i
}

// Codings at their shortest.
const (
	topicBytesMin     = 4
	partitionBytesMin = 1
	groupBytesMin     = 1
)

// appendTopics appends the topics by number, as differences, each with its partitions as differences.
func appendTopics(dst []byte, topics []Topic) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(topics)))
	number := uint64(0)
	for i := range topics {
		t := &topics[i]
		if i > 0 && t.Number <= number || len(t.Partitions) == 0 {
			panic(fmt.Sprintf("coding of topic %d, out of order or without partitions", t.Number))
		}
		dst = binary.AppendUvarint(dst, t.Number-number)
		dst = appendUint(dst, t.FirstShard)
		dst = binary.AppendUvarint(dst, uint64(len(t.Partitions)))
		partition := int32(0)
		for j, p := range t.Partitions {
			if j > 0 && p <= partition {
				panic(fmt.Sprintf("coding of partition %d of topic %d, out of order", p, t.Number))
			}
			dst = appendUint(dst, p-partition)
			partition = p
		}
		number = t.Number
	}
	return dst
}

func decodeTopics(d *metastore.Decoder) []Topic {
	n := d.Count(topicBytesMin)
	if n == 0 {
		return nil
	}
	topics := make([]Topic, 0, n)
	number, all := uint64(0), 0
	for i := range n {
		delta := d.Uvarint()
		if number += delta; i > 0 && (delta == 0 || number < delta) {
			d.Fail("topics out of order")
		}
		t := Topic{Number: number, FirstShard: int32(decodeUint(d, math.MaxInt32, "shard"))}
		count := d.Count(partitionBytesMin)
		if all += count; count == 0 || all > PartitionsMax {
			d.Fail("number of partitions out of range")
		}
		if d.Err != nil {
			return nil
		}
		t.Partitions = make([]int32, 0, count)
		partition := int64(0)
		for j := range count {
			delta := decodeUint(d, math.MaxInt32, "partition")
			if partition += delta; j > 0 && delta == 0 || partition > math.MaxInt32 {
				d.Fail("partitions out of order")
			}
			t.Partitions = append(t.Partitions, int32(partition))
		}
		topics = append(topics, t)
	}
	return topics
}

func appendGroups(dst []byte, groups []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(groups)))
	for i, g := range groups {
		if i > 0 && groups[i-1] >= g {
			panic(fmt.Sprintf("coding of group %q, out of order", g))
		}
		dst = metastore.AppendBytes(dst, g)
	}
	return dst
}

func decodeGroups(d *metastore.Decoder) []string {
	n := d.Count(groupBytesMin)
	if n > GroupsMax {
		d.Fail("too many groups")
	}
	if n == 0 || d.Err != nil {
		return nil
	}
	groups := make([]string, 0, n)
	for i := range n {
		g := d.String()
		if i > 0 && groups[i-1] >= g {
			d.Fail("groups out of order")
		}
		if d.Err != nil {
			return nil
		}
		groups = append(groups, g)
	}
	return groups
}

// decodeFlags reads a byte of flags, of which only those in known may be set.
func decodeFlags(d *metastore.Decoder, known byte) byte {
	b := d.Fixed(1)
	if d.Err != nil {
		return 0
	}
	if b[0]&^known != 0 {
		d.Fail("unknown flags")
	}
	return b[0]
}

func bit(set bool, value byte) byte {
	if set {
		return value
	}
	return 0
}

// merged returns the union of two lists of topics, sharing nothing that changes.
func merged(a, b []Topic) []Topic {
	if len(a)+len(b) == 0 {
		return nil
	}
	union := make([]Topic, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Number < b[0].Number:
			union, a = append(union, a[0]), a[1:]
		case len(a) == 0 || b[0].Number < a[0].Number:
			union, b = append(union, b[0]), b[1:]
		default:
			t := a[0]
			t.Partitions = slices.Concat(a[0].Partitions, b[0].Partitions)
			slices.Sort(t.Partitions)
			t.Partitions = slices.Compact(t.Partitions)
			union, a, b = append(union, t), a[1:], b[1:]
		}
	}
	return union
}

func mergedGroups(a, b []string) []string {
	union := slices.Concat(a, b)
	slices.Sort(union)
	return slices.Compact(union)
}

// atEnd returns the decoder's error, or one for bytes that it left.
func atEnd(d *metastore.Decoder) error {
	if d.Err == nil && len(d.Rest) > 0 {
		d.Fail("bytes after the end")
	}
	return d.Err
}
