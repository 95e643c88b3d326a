package group

import (
	"encoding/binary"

	"github.com/wadi-io/wadi/metastore"
)

// OffsetsDeletion deletes offsets of one group.
type OffsetsDeletion struct {
	Group string
	// Generation is Written of the generation on which it was decided; 0: whichever stands.
	Generation metastore.Version
	Places     []DeletedPlace // by place, each once
}

// DeletedPlace is a partition whose offset is deleted.
type DeletedPlace struct {
	Place
	// CommittedAt, if AsSeen, is what the offset's must be: a later commit stays.
	CommittedAt int64
	AsSeen      bool
}

// deletedBytesMin is the shortest coding of a deleted place.
const deletedBytesMin = 2

// AppendOffsetsDeleted appends the effect of x. It panics on places out of order.
func AppendOffsetsDeleted(dst []byte, x OffsetsDeletion) []byte {
	body := appendID(nil, x.Group)
	body = binary.AppendUvarint(body, uint64(x.Generation))
	body = appendPlaced(body, x.Places, func(p DeletedPlace) Place { return p.Place }, func(dst []byte, p DeletedPlace) []byte {
		if !p.AsSeen {
			return append(dst, 0)
		}
		return binary.AppendVarint(append(dst, 1), p.CommittedAt)
	})
	return metastore.AppendEffect(dst, metastore.EffectOffsetsDeleted, body)
}

func decodeOffsetsDeletion(d *metastore.Decoder) OffsetsDeletion {
	x := OffsetsDeletion{Group: decodeID(d), Generation: metastore.Version(d.Uvarint())}
	decodePlaced(d, deletedBytesMin, func(p Place) {
		deleted := DeletedPlace{Place: p}
		if flag := d.Fixed(1); d.Err == nil {
			if flag[0] > 1 {
				d.Fail("unknown flag of a deleted offset")
			}
			if deleted.AsSeen = flag[0] == 1; deleted.AsSeen {
				deleted.CommittedAt = d.Varint()
			}
		}
		x.Places = append(x.Places, deleted)
	})
	return x
}

func (s *State) applyOffsetsDeleted(d *metastore.Decoder) (deleted int, err error) {
	x := decodeOffsetsDeletion(d)
	if err := atEnd(d); err != nil {
		return 0, err
	}
	g := s.groups[x.Group]
	if g == nil || x.Generation != 0 && g.written() != x.Generation {
		return -1, nil
	}
	for _, p := range x.Places {
		o, ok := g.offsets[p.Place]
		if p.AsSeen && g.unstable(p.Place) {
			continue // a transaction is about to renew it
		}
		if !p.AsSeen {
			s.dropPending(x.Group, g, p.Place)
		}
		if !ok || p.AsSeen && o.CommittedAt != p.CommittedAt {
			continue
		}
		delete(g.offsets, p.Place)
		deleted++
	}
	s.offsets -= deleted
	return deleted, nil
}

// GroupDeletion deletes a group that has no members.
type GroupDeletion struct {
	Group      string
	Generation metastore.Version // Written of the one that must stand
	Expired    bool              // only if no offset is left, nor pending in a transaction; else those go with it
}

// AppendGroupDeleted appends the effect of x.
func AppendGroupDeleted(dst []byte, x GroupDeletion) []byte {
	body := appendID(nil, x.Group)
	body = binary.AppendUvarint(body, uint64(x.Generation))
	flag := byte(0)
	if x.Expired {
		flag = 1
	}
	return metastore.AppendEffect(dst, metastore.EffectGroupDeleted, append(body, flag))
}

func decodeGroupDeletion(d *metastore.Decoder) GroupDeletion {
	x := GroupDeletion{Group: decodeID(d), Generation: metastore.Version(d.Uvarint())}
	if flag := d.Fixed(1); d.Err == nil {
		if flag[0] > 1 {
			d.Fail("unknown flag of a group's deletion")
		}
		x.Expired = flag[0] == 1
	}
	return x
}

func (s *State) applyGroupDeleted(d *metastore.Decoder) (stood bool, err error) {
	x := decodeGroupDeletion(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	g := s.groups[x.Group]
	if g == nil || g.written() != x.Generation || g.hasMembers() || x.Expired && (len(g.offsets) > 0 || len(g.pending) > 0) {
		return false, nil
	}
	s.offsets -= len(g.offsets)
	for producer := range g.pending {
		delete(s.transactions[producer].groups, x.Group)
	}
	delete(s.groups, x.Group)
	return true, nil
}
