package group

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// Consumer is a group of the consumer group protocol (KIP-848).
type Consumer struct {
	Epoch       int32 // of the group: rises whenever the target must be computed anew
	TargetEpoch int32 // the group's epoch that the members' targets are of
	// Topics is a digest of the topics that the members are subscribed to, and of their
	// partitions, as they were when the target was computed.
	Topics  uint64
	Members []*ConsumerMember // by id
}

// MemberState is how far a member has come towards its target. Persisted; never renumber.
type MemberState uint8

// The states of a member.
const (
	MemberStable     MemberState = 0 // it has what its epoch's target says
	MemberUnrevoked  MemberState = 1 // it is to give up what is in Revoking
	MemberUnreleased MemberState = 2 // others still have something of its target
)

// StaticLeft is the epoch of a static member that has left and is expected again.
const StaticLeft = -2

// ConsumerMember is a member of a Consumer. All lists are ordered, without doubles.
type ConsumerMember struct {
	ID               string
	Instance         string // group.instance.id; empty: not static
	Rack             string
	ClientID         string
	ClientHost       string
	RebalanceTimeout int32 // ms
	Topics           []string
	Regex            string // RE2; empty: none
	Assignor         string // that it asks for; empty: any
	Epoch            int32  // StaticLeft, or ≥ 0
	PreviousEpoch    int32  // −1: none
	State            MemberState
	Assigned         []Place // what it may use
	Revoking         []Place // what it is still to give up; nobody else may have it
	Target           []Place
	Classic          *ClassicMember // nil: it speaks the consumer group protocol
}

// ConsumerChange changes a Consumer, or makes one of a group without members.
type ConsumerChange struct {
	Group string
	// Expect is Written of the generation that stands (a change counts as one); 0: the group must be unknown.
	Expect      metastore.Version
	Epoch       int32
	TargetEpoch int32
	Topics      uint64
	Removed     []string          // ids, ordered
	Put         []*ConsumerMember // new, or in the place of the one with its id; ordered by id
}

// The shortest codings of a member and of a place.
const (
	consumerMemberBytesMin = 15
	placeBytesMin          = 1
)

// Check returns an error for a member that can't be coded.
func (m *ConsumerMember) Check() error {
	switch {
	case m.Epoch < StaticLeft || m.PreviousEpoch < StaticLeft || m.RebalanceTimeout < 0 || m.State > MemberUnreleased:
		return fmt.Errorf("member %q: epoch %d after %d, state %d", m.ID, m.Epoch, m.PreviousEpoch, m.State)
	case m.Classic != nil && m.Classic.SessionTimeout < 0:
		return fmt.Errorf("member %q: session of %d ms", m.ID, m.Classic.SessionTimeout)
	case !increases(m.Topics, strings.Compare):
		return fmt.Errorf("member %q: topics out of order", m.ID)
	}
	for _, places := range [][]Place{m.Assigned, m.Revoking, m.Target} {
		if !increases(places, Place.Compare) || len(places) > 0 && places[0].Partition < 0 {
			return fmt.Errorf("member %q: partitions out of order", m.ID)
		}
	}
	return nil
}

func increases[T any](list []T, compare func(a, b T) int) bool {
	for i := range list {
		if i > 0 && compare(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	return true
}

// AppendConsumerChange appends the effect of x, of a group whose members all speak the consumer
// group protocol, as those that x puts do. It panics on what can't be coded.
func AppendConsumerChange(dst []byte, x ConsumerChange) []byte {
	for _, m := range x.Put {
		if m.Classic != nil {
			panic(fmt.Sprintf("coding of member %q, which speaks the classic protocol", m.ID))
		}
	}
	return metastore.AppendEffect(dst, metastore.EffectConsumerChange, appendConsumerChange(x))
}

// appendConsumerChange returns the coding of x but for the members' classic parts.
func appendConsumerChange(x ConsumerChange) []byte {
	if x.Epoch < 0 || x.TargetEpoch < 0 || !increases(x.Removed, strings.Compare) {
		panic(fmt.Sprintf("coding of group %q: epochs below 0, or members out of order", x.Group))
	}
	body := appendID(nil, x.Group)
	body = binary.AppendUvarint(body, uint64(x.Expect))
	body = appendEpochs(body, x.Epoch, x.TargetEpoch, x.Topics)
	body = binary.AppendUvarint(body, uint64(len(x.Removed)))
	for _, id := range x.Removed {
		body = metastore.AppendBytes(body, id)
	}
	return appendConsumerMembers(body, x.Put)
}

func appendEpochs(dst []byte, epoch, target int32, topics uint64) []byte {
	dst = binary.AppendUvarint(dst, uint64(epoch))
	dst = binary.AppendUvarint(dst, uint64(target))
	return binary.BigEndian.AppendUint64(dst, topics)
}

func decodeEpochs(d *metastore.Decoder) (epoch, target int32, topics uint64) {
	epoch, target = decodeInt32(d, "epoch"), decodeInt32(d, "epoch")
	if b := d.Fixed(8); d.Err == nil {
		topics = binary.BigEndian.Uint64(b)
	}
	return epoch, target, topics
}

func appendConsumerMembers(dst []byte, members []*ConsumerMember) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(members)))
	for i, m := range members {
		if err := m.Check(); err != nil {
			panic("coding of " + err.Error())
		}
		if i > 0 && members[i-1].ID >= m.ID {
			panic(fmt.Sprintf("coding of member %q out of order", m.ID))
		}
		for _, s := range []string{m.ID, m.Instance, m.Rack, m.ClientID, m.ClientHost, m.Regex, m.Assignor} {
			dst = metastore.AppendBytes(dst, s)
		}
		dst = binary.AppendUvarint(dst, uint64(m.RebalanceTimeout))
		dst = binary.AppendVarint(dst, int64(m.Epoch))
		dst = binary.AppendVarint(dst, int64(m.PreviousEpoch))
		dst = append(dst, byte(m.State))
		dst = binary.AppendUvarint(dst, uint64(len(m.Topics)))
		for _, t := range m.Topics {
			dst = metastore.AppendBytes(dst, t)
		}
		for _, places := range [][]Place{m.Assigned, m.Revoking, m.Target} {
			dst = appendPlaced(dst, places, func(p Place) Place { return p }, func(dst []byte, _ Place) []byte { return dst })
		}
	}
	return dst
}

func decodeConsumerMembers(d *metastore.Decoder) []*ConsumerMember {
	n := d.Count(consumerMemberBytesMin)
	if n > MembersMax {
		d.Fail("too many members")
	}
	if n == 0 || d.Err != nil {
		return nil
	}
	members := make([]*ConsumerMember, 0, n)
	for i := range n {
		m := decodeConsumerMember(d)
		if d.Err == nil && i > 0 && m.ID <= members[i-1].ID {
			d.Fail("members out of order")
		}
		if d.Err != nil {
			return nil
		}
		members = append(members, m)
	}
	return members
}

func decodeConsumerMember(d *metastore.Decoder) *ConsumerMember {
	m := &ConsumerMember{ID: d.String(), Instance: d.String(), Rack: d.String(), ClientID: d.String(), ClientHost: d.String(),
		Regex: d.String(), Assignor: d.String(), RebalanceTimeout: decodeInt32(d, "time-out"),
		Epoch: decodeMemberEpoch(d), PreviousEpoch: decodeMemberEpoch(d)}
	if state := d.Fixed(1); d.Err == nil {
		if m.State = MemberState(state[0]); m.State > MemberUnreleased {
			d.Fail("unknown state of a member")
		}
	}
	m.Topics = decodeStrings(d, "topics")
	for _, places := range []*[]Place{&m.Assigned, &m.Revoking, &m.Target} {
		decodePlaced(d, placeBytesMin, func(p Place) { *places = append(*places, p) })
	}
	return m
}

func decodeMemberEpoch(d *metastore.Decoder) int32 {
	v := d.Varint()
	if v < StaticLeft || v > math.MaxInt32 {
		d.Fail("epoch of a member out of range")
		return 0
	}
	return int32(v)
}

// decodeStrings reads an ordered list.
func decodeStrings(d *metastore.Decoder, what string) []string {
	var list []string
	for i := range d.Count(1) {
		s := d.String()
		if d.Err == nil && i > 0 && s <= list[i-1] {
			d.Fail(what + " out of order")
		}
		if d.Err != nil {
			return nil
		}
		list = append(list, s)
	}
	return list
}

func decodeConsumerChange(d *metastore.Decoder) ConsumerChange {
	x := ConsumerChange{Group: decodeID(d), Expect: metastore.Version(d.Uvarint())}
	x.Epoch, x.TargetEpoch, x.Topics = decodeEpochs(d)
	x.Removed = decodeStrings(d, "removed members")
	x.Put = decodeConsumerMembers(d)
	return x
}

// applyConsumerChange lets the change stand if what it changes is what its writer saw.
func (s *State) applyConsumerChange(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	x := decodeConsumerChange(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	g := s.groups[x.Group]
	if g.written() != x.Expect || g != nil && len(g.generation.Members) > 0 {
		return false, nil
	}
	s.changeConsumer(at, x)
	return true, nil
}

func (s *State) changeConsumer(at metastore.At, x ConsumerChange) {
	g := s.groups[x.Group]
	if g == nil {
		g = &group{}
		s.groups[x.Group] = g
	}
	g.consumer = g.consumer.changed(x)
	g.generation = &Generation{Written: at.Version, Since: at.Time, Number: x.Epoch, ProtocolType: consumerType}
}

// consumerType is the protocol type of a Consumer's generation.
const consumerType = "consumer"

// changed returns c, which may be nil, with a change.
func (c *Consumer) changed(x ConsumerChange) *Consumer {
	next := &Consumer{Epoch: x.Epoch, TargetEpoch: x.TargetEpoch, Topics: x.Topics}
	var before []*ConsumerMember
	if c != nil {
		before = c.Members
	}
	next.Members = make([]*ConsumerMember, 0, len(before)+len(x.Put))
	put := x.Put
	for _, m := range before {
		for len(put) > 0 && put[0].ID < m.ID {
			next.Members, put = append(next.Members, put[0]), put[1:]
		}
		if len(put) > 0 && put[0].ID == m.ID {
			continue
		}
		if _, removed := slices.BinarySearch(x.Removed, m.ID); !removed {
			next.Members = append(next.Members, m)
		}
	}
	next.Members = append(next.Members, put...)
	return next
}

// Member returns the member with an id, or nil.
func (c *Consumer) Member(id string) *ConsumerMember {
	if c == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(c.Members, id, func(m *ConsumerMember, id string) int { return strings.Compare(m.ID, id) })
	if !ok {
		return nil
	}
	return c.Members[i]
}

// Static returns the member with a group.instance.id, or nil.
func (c *Consumer) Static(instance string) *ConsumerMember {
	if c == nil {
		return nil
	}
	for _, m := range c.Members {
		if m.Instance == instance {
			return m
		}
	}
	return nil
}

// Consumer returns a group of the consumer group protocol; nil for one that is unknown
// or of the classic protocol. What it returns is immutable.
func (s *State) Consumer(id string) *Consumer {
	if g := s.groups[id]; g != nil {
		return g.consumer
	}
	return nil
}

// Consumers returns the ids of the groups of the consumer group protocol that have members, sorted.
func (s *State) Consumers() []string {
	var ids []string
	for id, g := range s.groups {
		if g.consumer != nil && len(g.consumer.Members) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// hasMembers tells whether a group, which may be nil, has members of either protocol.
func (g *group) hasMembers() bool {
	return g != nil && (len(g.generation.Members) > 0 || g.consumer != nil && len(g.consumer.Members) > 0)
}

func describeConsumer(epoch, target int32, topics uint64, members []*ConsumerMember) string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch=%d target=%d topics=%x", epoch, target, topics)
	for _, m := range members {
		fmt.Fprintf(&b, " member={id=%q instance=%q rack=%q client=%q host=%q rebalance=%d topics=%q regex=%q assignor=%q epoch=%d previous=%d state=%d assigned=%v revoking=%v target=%v}",
			m.ID, m.Instance, m.Rack, m.ClientID, m.ClientHost, m.RebalanceTimeout, m.Topics, m.Regex, m.Assignor,
			m.Epoch, m.PreviousEpoch, m.State, m.Assigned, m.Revoking, m.Target)
	}
	return b.String() + describeClassicParts(members)
}
