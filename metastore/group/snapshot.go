package group

import (
	"encoding/binary"

	"github.com/wadi-io/wadi/metastore"
)

// snapshotFormat opens the snapshot of a groups journal. Persisted.
const snapshotFormat = 1

// The shortest codings, which bound the memory that a snapshot can ask for.
const (
	groupBytesMin    = 9
	snapshotBytesMin = partitionBytesMin + 2
)

// AppendSnapshot appends the state's encoding: the format byte; the groups by id, each
// with its generation and its offsets by place.
func (s *State) AppendSnapshot(dst []byte) []byte {
	dst = append(dst, snapshotFormat)
	ids := s.Groups()
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		g := s.groups[id]
		dst = appendID(dst, id)
		dst = binary.AppendUvarint(dst, uint64(g.generation.Written))
		dst = binary.AppendVarint(dst, g.generation.Since)
		dst = appendGeneration(dst, g.generation)
		dst = appendPlaced(dst, g.sorted(), func(o PlacedOffset) Place { return o.Place }, func(dst []byte, o PlacedOffset) []byte {
			dst = appendOffset(dst, o.Offset)
			dst = binary.AppendVarint(dst, o.CommittedAt-g.generation.Since)
			return binary.AppendVarint(dst, o.Expires)
		})
	}
	return dst
}

// Restore replaces the state by the one encoded. After an error the state is as it was.
func (s *State) Restore(snapshot []byte) error {
	d := &metastore.Decoder{Rest: snapshot}
	if f := d.Fixed(1); d.Err == nil && f[0] != snapshotFormat {
		d.Fail("unknown format of a snapshot of groups")
	}
	n := d.Count(groupBytesMin)
	groups := make(map[string]*group, n)
	offsets := 0
	before := ""
	for i := range n {
		id := decodeID(d)
		if i > 0 && id <= before {
			d.Fail("groups out of order")
		}
		before = id
		written, since := metastore.Version(d.Uvarint()), d.Varint()
		g := &group{generation: decodeGeneration(d)}
		g.generation.Written, g.generation.Since = written, since
		if written == 0 {
			d.Fail("a generation that was never written")
		}
		decodePlaced(d, snapshotBytesMin, func(p Place) {
			o := decodeOffset(d)
			o.CommittedAt, o.Expires = since+d.Varint(), decodeExpires(d)
			if g.offsets == nil {
				g.offsets = map[Place]Offset{}
			}
			g.offsets[p] = o
		})
		if d.Err != nil {
			return d.Err
		}
		groups[id] = g
		offsets += len(g.offsets)
	}
	if err := atEnd(d); err != nil {
		return err
	}
	s.groups, s.offsets = groups, offsets
	return nil
}
