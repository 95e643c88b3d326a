package group

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// Describe returns an effect in words, on one line.
func Describe(kind metastore.EffectKind, body []byte) (string, error) {
	d := &metastore.Decoder{Rest: body}
	var b strings.Builder
	fmt.Fprintf(&b, "%v", kind)
	switch kind {
	case metastore.EffectGroupGeneration:
		fmt.Fprintf(&b, " group=%q expect=%d %s", decodeID(d), d.Uvarint(), describeGeneration(decodeGeneration(d)))
	case metastore.EffectOffsetsCommitted:
		fmt.Fprintf(&b, " group=%q", decodeID(d))
		fmt.Fprintf(&b, " guard=%v", decodeGuard(d, false))
		fmt.Fprintf(&b, " expires=%d", decodeExpires(d))
		decodePlaced(d, partitionBytesMin, func(p Place) { b.WriteString(" " + describeOffset(p, decodeOffset(d))) })
	case metastore.EffectOffsetsDeleted:
		x := decodeOffsetsDeletion(d)
		fmt.Fprintf(&b, " group=%q expect=%d", x.Group, x.Generation)
		for _, p := range x.Places {
			fmt.Fprintf(&b, " %d/%d", p.Topic, p.Partition)
			if p.AsSeen {
				fmt.Fprintf(&b, "(committed=%d)", p.CommittedAt)
			}
		}
	case metastore.EffectGroupsTaken:
	case metastore.EffectConsumerDowngraded:
		fmt.Fprintf(&b, " group=%q expect=%d %s", decodeID(d), d.Uvarint(), describeGeneration(decodeGeneration(d)))
	case metastore.EffectConsumerChange, metastore.EffectConsumerMixed:
		x := decodeConsumerChange(d)
		if kind == metastore.EffectConsumerMixed {
			decodeClassicParts(d, x.Put)
		}
		fmt.Fprintf(&b, " group=%q expect=%d %s removed=%q", x.Group, x.Expect,
			describeConsumer(x.Epoch, x.TargetEpoch, x.Topics, x.Put), x.Removed)
	case metastore.EffectOffsetsPending:
		x := decodePending(d)
		fmt.Fprintf(&b, " group=%q producer=%d transaction=%d guard=%v", x.group, x.producer, x.transaction, x.guard)
		for _, o := range x.offsets {
			b.WriteString(" " + describeOffset(o.Place, o.Offset))
		}
	case metastore.EffectOffsetsEnded:
		x := decodeEnded(d)
		fmt.Fprintf(&b, " producer=%d transaction=%d commit=%t", x.Producer, x.Transaction, x.Commit)
	case metastore.EffectEndedForgotten:
		for _, e := range decodeForgotten(d) {
			fmt.Fprintf(&b, " producer=%d transaction=%d", e.Producer, e.Transaction)
		}
	case metastore.EffectGroupDeleted:
		x := decodeGroupDeletion(d)
		fmt.Fprintf(&b, " group=%q expect=%d expired=%t", x.Group, x.Generation, x.Expired)
	default:
		d.Fail(fmt.Sprintf("a groups journal has no %v", kind))
	}
	if err := atEnd(d); err != nil {
		return "", err
	}
	return b.String(), nil
}

func describeGeneration(g *Generation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "generation=%d type=%q protocol=%q leader=%q", g.Number, g.ProtocolType, g.Protocol, g.Leader)
	for _, m := range g.Members {
		fmt.Fprintf(&b, " member={id=%q instance=%q client=%q host=%q rebalance=%d session=%d subscription=%x assignment=%x}",
			m.ID, m.Instance, m.ClientID, m.ClientHost, m.RebalanceTimeout, m.SessionTimeout, m.Subscription, m.Assignment)
	}
	return b.String()
}

func describeOffset(p Place, o Offset) string {
	return fmt.Sprintf("%d/%d=%d(epoch=%d metadata=%q)", p.Topic, p.Partition, o.Offset, o.LeaderEpoch, o.Metadata)
}

// Dump writes the state in words.
func (s *State) Dump(w io.Writer) error {
	var b strings.Builder
	for _, id := range s.Groups() {
		g := s.groups[id]
		fmt.Fprintf(&b, "group %q written=%d since=%d %s\n", id, g.generation.Written, g.generation.Since, describeGeneration(g.generation))
		if c := g.consumer; c != nil {
			fmt.Fprintf(&b, "  consumer %s\n", describeConsumer(c.Epoch, c.TargetEpoch, c.Topics, c.Members))
		}
		for _, o := range g.sorted() {
			fmt.Fprintf(&b, "  %s committed=%d expires=%d\n", describeOffset(o.Place, o.Offset), o.CommittedAt, o.Expires)
		}
	}
	for _, producer := range slices.Sorted(maps.Keys(s.transactions)) {
		t := s.transactions[producer]
		fmt.Fprintf(&b, "producer %d ended=%d open=%d touched=%d\n", producer, t.ended, t.open, t.touched)
		for _, id := range slices.Sorted(maps.Keys(t.groups)) {
			offsets := s.groups[id].pending[producer]
			for _, p := range slices.SortedFunc(maps.Keys(offsets), Place.Compare) {
				o := offsets[p]
				fmt.Fprintf(&b, "  pending group=%q %s committed=%d written=%d superseded=%t\n",
					id, describeOffset(p, o.Offset), o.CommittedAt, o.written, o.superseded)
			}
		}
	}
	if s.holder != 0 {
		fmt.Fprintf(&b, "taken by term %d\n", s.holder)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
