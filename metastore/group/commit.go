package group

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// The guards of a commit. Persisted; never renumber.
const (
	guardEmpty      = 0 // the group has no members, or is unknown
	guardGeneration = 1 // the generation is the one that was written by the version that follows
	guardMember     = 2 // the consumer group has the member that follows, at the epoch that follows
	guardAny        = 3 // whatever the group is; of pending offsets only
)

// Commit is what one member, or a client that is none, commits at once.
type Commit struct {
	Group string
	// Generation is Written of the generation under which the member was admitted. 0: of
	// no member; the commit stands while the group has none, and makes the group.
	Generation metastore.Version
	Member     string         // of the consumer group protocol, at Epoch; empty: of the classic one
	Epoch      int32          // ≥ 0
	Expires    int64          // ms since 1970 UTC; Never
	Offsets    []PlacedOffset // by place, each place once; CommittedAt and Expires are not looked at
}

// Codings of offsets at their shortest: a topic with its list, and a partition.
const (
	topicBytesMin     = 2
	partitionBytesMin = 4
)

// AppendCommit appends the effect of c. It panics on offsets out of order.
func AppendCommit(dst []byte, c Commit) []byte {
	body := c.appendGuard(appendID(make([]byte, 0, 64), c.Group))
	body = binary.AppendVarint(body, c.Expires)
	body = appendPlaced(body, c.Offsets, func(o PlacedOffset) Place { return o.Place }, func(dst []byte, o PlacedOffset) []byte {
		return appendOffset(dst, o.Offset)
	})
	return metastore.AppendEffect(dst, metastore.EffectOffsetsCommitted, body)
}

func (c *Commit) appendGuard(dst []byte) []byte {
	switch {
	case c.Member != "":
		dst = metastore.AppendBytes(append(dst, guardMember), c.Member)
		return binary.AppendUvarint(dst, uint64(max(c.Epoch, 0)))
	case c.Generation == 0:
		return append(dst, guardEmpty)
	}
	return binary.AppendUvarint(append(dst, guardGeneration), uint64(c.Generation))
}

// appendOffset appends what a commit and a snapshot hold of an offset.
func appendOffset(dst []byte, o Offset) []byte {
	dst = binary.AppendVarint(dst, o.Offset)
	dst = binary.AppendUvarint(dst, uint64(max(int64(o.LeaderEpoch), -1)+1))
	return metastore.AppendBytes(dst, o.Metadata)
}

func decodeOffset(d *metastore.Decoder) Offset {
	o := Offset{Offset: d.Varint()}
	epoch := d.Uvarint()
	if epoch > math.MaxInt32+1 {
		d.Fail("leader epoch out of range")
	}
	o.LeaderEpoch = int32(int64(epoch) - 1)
	o.Metadata = d.String()
	return o
}

// appendPlaced appends a list that is ordered by place: the topics as differences,
// each with its partitions as differences.
func appendPlaced[T any](dst []byte, list []T, place func(T) Place, add func([]byte, T) []byte) []byte {
	topics := 0
	for i := range list {
		if i > 0 && place(list[i-1]).Compare(place(list[i])) >= 0 || place(list[i]).Partition < 0 {
			panic(fmt.Sprintf("coding of offsets: %v is out of order", place(list[i])))
		}
		if i == 0 || place(list[i-1]).Topic != place(list[i]).Topic {
			topics++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(topics))
	topic := uint64(0)
	for i := 0; i < len(list); {
		number := place(list[i]).Topic
		end := i
		for end < len(list) && place(list[end]).Topic == number {
			end++
		}
		dst = binary.AppendUvarint(dst, number-topic)
		dst = binary.AppendUvarint(dst, uint64(end-i))
		partition := int32(0)
		for _, x := range list[i:end] {
			p := place(x).Partition
			dst = binary.AppendUvarint(dst, uint64(p-partition))
			dst, partition = add(dst, x), p
		}
		topic, i = number, end
	}
	return dst
}

// decodePlaced reads what appendPlaced wrote, and calls take for each element; take
// reads what add wrote. After an error in d it returns; what take was given is then to be dropped.
func decodePlaced(d *metastore.Decoder, bytesMin int, take func(Place)) {
	topic := uint64(0)
	for i := range d.Count(topicBytesMin) {
		delta := d.Uvarint()
		if topic += delta; i > 0 && (delta == 0 || topic < delta) {
			d.Fail("topics out of order")
		}
		partition := int64(0)
		n := d.Count(bytesMin)
		if n == 0 {
			d.Fail("a topic without partitions")
		}
		for j := range n {
			delta := d.Uvarint()
			if delta > math.MaxInt32 || j > 0 && delta == 0 || partition+int64(delta) > math.MaxInt32 {
				d.Fail("partitions out of order")
			}
			if d.Err != nil {
				return
			}
			partition += int64(delta)
			take(Place{topic, int32(partition)})
		}
	}
}

// applyCommit stores the offsets if the guard holds, and no other term has the groups.
func (s *State) applyCommit(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	id := decodeID(d)
	guard := decodeGuard(d, false)
	expires := decodeExpires(d)
	var offsets []PlacedOffset
	decodePlaced(d, partitionBytesMin, func(p Place) { offsets = append(offsets, PlacedOffset{p, decodeOffset(d)}) })
	if err := atEnd(d); err != nil {
		return false, err
	}
	g := s.groups[id]
	if !s.mayCommit(at) || !guard.holds(g) {
		return false, nil
	}
	g = s.ensure(id, at)
	if g.offsets == nil {
		g.offsets = make(map[Place]Offset, len(offsets))
	}
	s.offsets -= len(g.offsets)
	for _, o := range offsets {
		o.CommittedAt, o.Expires = at.Time, expires
		g.offsets[o.Place] = o.Offset
		g.supersede(o.Place, noProducer, math.MaxUint64)
	}
	s.offsets += len(g.offsets)
	return true, nil
}

// noProducer is none of those with transactions.
const noProducer = -1

// ensure returns a group, made without members if it is unknown.
func (s *State) ensure(id string, at metastore.At) *group {
	g := s.groups[id]
	if g == nil {
		g = &group{generation: &Generation{Written: at.Version, Since: at.Time}}
		s.groups[id] = g
	}
	return g
}

// commitGuard is a commit's condition.
type commitGuard struct {
	kind   byte
	expect metastore.Version // of guardGeneration
	member string            // of guardMember, with its epoch
	epoch  int32
}

func decodeGuard(d *metastore.Decoder, pending bool) (g commitGuard) {
	kind := d.Fixed(1)
	if d.Err != nil {
		return g
	}
	switch g.kind = kind[0]; g.kind {
	case guardEmpty:
	case guardGeneration:
		if g.expect = metastore.Version(d.Uvarint()); g.expect == 0 {
			d.Fail("a generation that was never written")
		}
	case guardMember:
		if g.member = d.String(); g.member == "" {
			d.Fail("a member without an id")
		}
		g.epoch = decodeInt32(d, "epoch")
	case guardAny:
		if !pending {
			d.Fail("a commit without a guard")
		}
	default:
		d.Fail("unknown guard of a commit")
	}
	return g
}

// holds tells whether a group, nil for one unknown, is as the guard demands.
func (c commitGuard) holds(g *group) bool {
	switch c.kind {
	case guardEmpty:
		return !g.hasMembers()
	case guardGeneration:
		return g.written() == c.expect
	case guardAny:
		return true
	}
	if g == nil {
		return false
	}
	m := g.consumer.Member(c.member)
	return m != nil && m.Epoch == c.epoch
}

func (c commitGuard) String() string {
	switch c.kind {
	case guardEmpty:
		return "empty"
	case guardGeneration:
		return fmt.Sprintf("generation(%d)", c.expect)
	case guardAny:
		return "any"
	}
	return fmt.Sprintf("member(%q, %d)", c.member, c.epoch)
}

func decodeExpires(d *metastore.Decoder) int64 {
	expires := d.Varint()
	if expires < Never {
		d.Fail("expiry out of range")
	}
	return expires
}
