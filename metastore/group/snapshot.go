package group

import (
	"encoding/binary"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// What opens the snapshot of a groups journal. Persisted.
const (
	snapshotFormat         = 1 // there are no groups of the consumer group protocol
	snapshotFormatConsumer = 2 // they follow the groups
	snapshotFormatParts    = 3 // what follows the groups is named by a set of parts
)

// The parts of snapshotFormatParts, in the order of their numbers. Persisted; never renumber.
const (
	snapshotConsumers = 1 << 0 // the groups of the consumer group protocol
	snapshotClassic   = 1 << 1 // their classic members' parts, group by group; only with snapshotConsumers
	// snapshotTransactions: which transactions ended, and the offsets pending in those that did not.
	snapshotTransactions = 1 << 2
	snapshotHolder       = 1 << 3 // the term that has taken the groups over
	snapshotPartsAll     = snapshotConsumers | snapshotClassic | snapshotTransactions | snapshotHolder
)

// The shortest codings, which bound the memory that a snapshot can ask for.
const (
	groupBytesMin    = 9
	snapshotBytesMin = partitionBytesMin + 2
)

// AppendSnapshot appends the state's encoding: the format byte; the groups by id, each
// with its generation and its offsets by place; then, if there are any, those of the
// consumer group protocol by id, and their classic members' parts; what is known of
// transactions; the holder.
func (s *State) AppendSnapshot(dst []byte) []byte {
	ids := s.Groups()
	consumers := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return s.groups[id].consumer == nil })
	classic := slices.ContainsFunc(consumers, func(id string) bool { return s.groups[id].consumer.hasClassic() })
	switch {
	case classic || len(s.transactions) > 0 || s.holder != 0:
		dst = append(dst, snapshotFormatParts)
	case len(consumers) > 0:
		dst = append(dst, snapshotFormatConsumer)
	default:
		dst = append(dst, snapshotFormat)
	}
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
	if classic || len(s.transactions) > 0 || s.holder != 0 {
		parts := uint64(0)
		if len(consumers) > 0 {
			parts |= snapshotConsumers
		}
		if classic {
			parts |= snapshotClassic
		}
		if len(s.transactions) > 0 {
			parts |= snapshotTransactions
		}
		if s.holder != 0 {
			parts |= snapshotHolder
		}
		dst = binary.AppendUvarint(dst, parts)
	}
	if len(consumers) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(consumers)))
	}
	for _, id := range consumers {
		c := s.groups[id].consumer
		dst = appendID(dst, id)
		dst = appendEpochs(dst, c.Epoch, c.TargetEpoch, c.Topics)
		dst = appendConsumerMembers(dst, c.Members)
	}
	if classic {
		for _, id := range consumers {
			dst = appendClassicParts(dst, s.groups[id].consumer.Members)
		}
	}
	if len(s.transactions) > 0 {
		dst = s.appendTransactions(dst)
	}
	if s.holder != 0 {
		dst = binary.AppendUvarint(dst, uint64(s.holder))
	}
	return dst
}

// Restore replaces the state by the one encoded. After an error the state is as it was.
func (s *State) Restore(snapshot []byte) error {
	d := &metastore.Decoder{Rest: snapshot}
	format := byte(snapshotFormat)
	if f := d.Fixed(1); d.Err == nil {
		if format = f[0]; format < snapshotFormat || format > snapshotFormatParts {
			d.Fail("unknown format of a snapshot of groups")
		}
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
	parts := uint64(0)
	switch format {
	case snapshotFormatConsumer:
		parts = snapshotConsumers
	case snapshotFormatParts:
		if parts = d.Uvarint(); parts == 0 || parts&^snapshotPartsAll != 0 || parts&snapshotClassic != 0 && parts&snapshotConsumers == 0 {
			d.Fail("unknown parts of a snapshot of groups")
		}
	}
	if parts&snapshotConsumers != 0 {
		restoreConsumers(d, groups, parts&snapshotClassic != 0)
	}
	transactions := map[int64]*producerTransactions{}
	if parts&snapshotTransactions != 0 {
		transactions = restoreTransactions(d, groups)
	}
	holder := metastore.Term(0)
	if parts&snapshotHolder != 0 {
		if holder = metastore.Term(d.Uvarint()); holder <= 0 {
			d.Fail("groups that no term has taken over")
		}
	}
	if err := atEnd(d); err != nil {
		return err
	}
	s.groups, s.offsets, s.transactions, s.holder = groups, offsets, transactions, holder
	return nil
}

// consumerBytesMin is the shortest coding of a group of the consumer group protocol.
const consumerBytesMin = 12

func restoreConsumers(d *metastore.Decoder, groups map[string]*group, classic bool) {
	before := ""
	var consumers []*Consumer
	n := d.Count(consumerBytesMin)
	if n == 0 {
		d.Fail("no groups of the consumer group protocol")
	}
	for i := range n {
		id := decodeID(d)
		c := &Consumer{}
		c.Epoch, c.TargetEpoch, c.Topics = decodeEpochs(d)
		c.Members = decodeConsumerMembers(d)
		g := groups[id]
		switch {
		case d.Err != nil:
		case i > 0 && id <= before || g == nil:
			d.Fail("groups out of order")
		case len(g.generation.Members) > 0:
			d.Fail("a group of both protocols")
		}
		if d.Err != nil {
			return
		}
		g.consumer, before = c, id
		consumers = append(consumers, c)
	}
	for _, c := range consumers {
		if classic {
			decodeClassicParts(d, c.Members)
		}
	}
}
