package group

import (
	"encoding/binary"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

// ClassicMember is what a group of the consumer group protocol knows besides of a member
// that speaks the classic one.
type ClassicMember struct {
	SessionTimeout int32             // ms
	Protocols      []ClassicProtocol // as the member prefers them
}

// ClassicProtocol is a protocol of a ClassicMember, with its subscription.
type ClassicProtocol struct {
	Name     string
	Metadata []byte
}

// The shortest codings of a classic member's part and of a protocol.
const (
	classicBytesMin  = 3
	protocolBytesMin = 2
)

// AppendConsumerMixed appends the effect of x, in which members may speak the classic
// protocol. It also takes the place of a classic generation with members, whose members x puts.
func AppendConsumerMixed(dst []byte, x ConsumerChange) []byte {
	return metastore.AppendEffect(dst, metastore.EffectConsumerMixed, appendClassicParts(appendConsumerChange(x), x.Put))
}

// appendClassicParts appends of each classic member its index and its part.
func appendClassicParts(dst []byte, members []*ConsumerMember) []byte {
	n := 0
	for _, m := range members {
		if m.Classic != nil {
			n++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for i, m := range members {
		if m.Classic == nil {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(i))
		dst = binary.AppendUvarint(dst, uint64(m.Classic.SessionTimeout))
		dst = binary.AppendUvarint(dst, uint64(len(m.Classic.Protocols)))
		for _, p := range m.Classic.Protocols {
			dst = metastore.AppendBytes(dst, p.Name)
			dst = metastore.AppendBytes(dst, p.Metadata)
		}
	}
	return dst
}

// decodeClassicParts puts the parts into members, which nobody else knows yet.
func decodeClassicParts(d *metastore.Decoder, members []*ConsumerMember) {
	next := uint64(0)
	for range d.Count(classicBytesMin) {
		i := d.Uvarint()
		if d.Err == nil && (i < next || i >= uint64(len(members))) {
			d.Fail("classic members out of order")
		}
		part := &ClassicMember{SessionTimeout: decodeInt32(d, "time-out")}
		for range d.Count(protocolBytesMin) {
			part.Protocols = append(part.Protocols, ClassicProtocol{Name: d.String(), Metadata: decodeClone(d)})
		}
		if d.Err != nil {
			return
		}
		members[i].Classic, next = part, i+1
	}
}

// applyConsumerMixed lets the change stand if what it changes, of whichever protocol, is
// what its writer saw.
func (s *State) applyConsumerMixed(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	x := decodeConsumerChange(d)
	decodeClassicParts(d, x.Put)
	if err := atEnd(d); err != nil {
		return false, err
	}
	if s.groups[x.Group].written() != x.Expect {
		return false, nil
	}
	s.changeConsumer(at, x)
	return true, nil
}

// AppendConsumerDowngraded appends the effect that puts a classic generation with members
// in the place of a group of the consumer group protocol that was written by expect. A generation
// without a leader says that its members are still to join it again. It panics as AppendGeneration does.
func AppendConsumerDowngraded(dst []byte, id string, expect metastore.Version, g *Generation) []byte {
	if err := g.Check(); err != nil || len(g.Members) == 0 {
		panic(fmt.Sprintf("coding of group %q: %v, %d members", id, err, len(g.Members)))
	}
	body := appendID(nil, id)
	body = binary.AppendUvarint(body, uint64(expect))
	return metastore.AppendEffect(dst, metastore.EffectConsumerDowngraded, appendGeneration(body, g))
}

// applyConsumerDowngraded lets the generation stand if the group of the consumer group
// protocol is the one that its writer saw.
func (s *State) applyConsumerDowngraded(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	id := decodeID(d)
	expect := metastore.Version(d.Uvarint())
	next := decodeGeneration(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	g := s.groups[id]
	if g == nil || g.consumer == nil || g.written() != expect {
		return false, nil
	}
	next.Written, next.Since = at.Version, at.Time
	g.generation, g.consumer = next, nil
	return true, nil
}

func describeClassicParts(members []*ConsumerMember) string {
	words := ""
	for _, m := range members {
		if m.Classic != nil {
			words += fmt.Sprintf(" classic={id=%q session=%d protocols=%q}", m.ID, m.Classic.SessionTimeout, m.Classic.Protocols)
		}
	}
	return words
}

// hasClassic tells whether any member speaks the classic protocol.
func (c *Consumer) hasClassic() bool {
	for _, m := range c.Members {
		if m.Classic != nil {
			return true
		}
	}
	return false
}
