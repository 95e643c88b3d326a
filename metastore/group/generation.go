package group

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// Generation is a stable generation of a group. One without members says that the
// group is empty; number 0 that it never had any.
type Generation struct {
	// Written is the version of the entry that it stands by: what the effects that
	// are decided on it expect.
	Written      metastore.Version
	Number       int32
	Since        int64  // ms since 1970 UTC, by the entry
	ProtocolType string // empty: of a group that only ever committed offsets
	Protocol     string // that all members use; empty without members
	Leader       string // its member id; empty without members
	Members      []Member
}

// Member is a member of a stable generation. Members are ordered by id.
type Member struct {
	ID               string
	Instance         string // group.instance.id; empty: not static
	ClientID         string
	ClientHost       string
	RebalanceTimeout int32 // ms
	SessionTimeout   int32 // ms
	Subscription     []byte
	Assignment       []byte
}

// memberBytesMin is the shortest coding of a member.
const memberBytesMin = 8

// MembersMax bounds the members of a generation.
const MembersMax = 1 << 16

// Check returns an error for a generation that can't be coded.
func (g *Generation) Check() error {
	if g.Number < 0 || len(g.Members) > MembersMax {
		return fmt.Errorf("generation %d with %d members", g.Number, len(g.Members))
	}
	for i := range g.Members {
		m := &g.Members[i]
		if m.RebalanceTimeout < 0 || m.SessionTimeout < 0 || i > 0 && g.Members[i-1].ID >= m.ID {
			return fmt.Errorf("member %q of generation %d: time-outs below 0, or out of order", m.ID, g.Number)
		}
	}
	return nil
}

// AppendGeneration appends the effect that puts g, whose Written and Since the fold
// sets, in the place of the generation that expect was written by; 0: the group must
// be unknown. It panics on what Check refuses: better here than in every replica.
func AppendGeneration(dst []byte, id string, expect metastore.Version, g *Generation) []byte {
	if err := g.Check(); err != nil {
		panic(fmt.Sprintf("coding of group %q: %v", id, err))
	}
	body := appendID(nil, id)
	body = binary.AppendUvarint(body, uint64(expect))
	return metastore.AppendEffect(dst, metastore.EffectGroupGeneration, appendGeneration(body, g))
}

// appendGeneration appends what both an entry and a snapshot hold of a generation.
func appendGeneration(dst []byte, g *Generation) []byte {
	dst = binary.AppendUvarint(dst, uint64(g.Number))
	dst = metastore.AppendBytes(dst, g.ProtocolType)
	dst = metastore.AppendBytes(dst, g.Protocol)
	dst = metastore.AppendBytes(dst, g.Leader)
	dst = binary.AppendUvarint(dst, uint64(len(g.Members)))
	for i := range g.Members {
		m := &g.Members[i]
		dst = metastore.AppendBytes(dst, m.ID)
		dst = metastore.AppendBytes(dst, m.Instance)
		dst = metastore.AppendBytes(dst, m.ClientID)
		dst = metastore.AppendBytes(dst, m.ClientHost)
		dst = binary.AppendUvarint(dst, uint64(m.RebalanceTimeout))
		dst = binary.AppendUvarint(dst, uint64(m.SessionTimeout))
		dst = metastore.AppendBytes(dst, m.Subscription)
		dst = metastore.AppendBytes(dst, m.Assignment)
	}
	return dst
}

func decodeGeneration(d *metastore.Decoder) *Generation {
	g := &Generation{Number: decodeInt32(d, "generation")}
	g.ProtocolType, g.Protocol, g.Leader = d.String(), d.String(), d.String()
	n := d.Count(memberBytesMin)
	if n > MembersMax {
		d.Fail("too many members")
	}
	if n > 0 && d.Err == nil {
		g.Members = make([]Member, 0, n)
	}
	for i := range n {
		m := Member{ID: d.String(), Instance: d.String(), ClientID: d.String(), ClientHost: d.String()}
		m.RebalanceTimeout, m.SessionTimeout = decodeInt32(d, "time-out"), decodeInt32(d, "time-out")
		m.Subscription, m.Assignment = decodeClone(d), decodeClone(d)
		if d.Err == nil && i > 0 && m.ID <= g.Members[i-1].ID {
			d.Fail("members out of order")
		}
		if d.Err != nil {
			break
		}
		g.Members = append(g.Members, m)
	}
	return g
}

// applyGeneration lets the generation stand if the one it replaces is the one that
// its writer saw.
func (s *State) applyGeneration(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	id := decodeID(d)
	expect := metastore.Version(d.Uvarint())
	next := decodeGeneration(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	g := s.groups[id]
	if g.written() != expect || g != nil && g.consumer != nil && len(g.consumer.Members) > 0 {
		return false, nil
	}
	if g == nil {
		g = &group{}
		s.groups[id] = g
	}
	next.Written, next.Since = at.Version, at.Time
	g.generation, g.consumer = next, nil
	return true, nil
}

// written is 0 for a group that is unknown.
func (g *group) written() metastore.Version {
	if g == nil {
		return 0
	}
	return g.generation.Written
}

// Member returns the member with an id, or nil.
func (g *Generation) Member(id string) *Member {
	i, ok := slices.BinarySearchFunc(g.Members, id, func(m Member, id string) int { return strings.Compare(m.ID, id) })
	if !ok {
		return nil
	}
	return &g.Members[i]
}

func appendID(dst []byte, id string) []byte {
	if len(id) > IDBytesMax {
		panic(fmt.Sprintf("coding of a group's id of %d bytes", len(id)))
	}
	return metastore.AppendBytes(dst, id)
}

func decodeID(d *metastore.Decoder) string {
	id := d.Bytes()
	if len(id) > IDBytesMax {
		d.Fail("id of a group is too long")
	}
	return string(id)
}

func decodeInt32(d *metastore.Decoder, what string) int32 {
	v := d.Uvarint()
	if v > math.MaxInt32 {
		d.Fail(what + " out of range")
		return 0
	}
	return int32(v)
}

// decodeClone reads bytes that are kept; nil for none.
func decodeClone(d *metastore.Decoder) []byte {
	b := d.Bytes()
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(b)
}

// atEnd returns the decoder's error, or one for bytes that it left.
func atEnd(d *metastore.Decoder) error {
	if d.Err == nil && len(d.Rest) > 0 {
		d.Fail("bytes after the end")
	}
	return d.Err
}
