package group

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

func compareProducers(a, b int64) int { return cmp.Compare(a, b) }

// The shortest codings of a producer's transactions, and of a pending offset.
const (
	producerBytesMin = 5
	pendingBytesMin  = partitionBytesMin + 3
)

// appendTransactions appends the part of a snapshot about transactions: the producers by
// id, each with its pending offsets by group.
func (s *State) appendTransactions(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.transactions)))
	before := int64(0)
	for _, producer := range slices.Sorted(maps.Keys(s.transactions)) {
		t := s.transactions[producer]
		dst = binary.AppendUvarint(dst, uint64(producer-before))
		before = producer
		dst = binary.AppendUvarint(dst, t.ended)
		dst = binary.AppendUvarint(dst, t.open)
		dst = binary.AppendVarint(dst, t.touched)
		dst = binary.AppendUvarint(dst, uint64(len(t.groups)))
		for _, id := range slices.Sorted(maps.Keys(t.groups)) {
			dst = appendID(dst, id)
			offsets := s.groups[id].pending[producer]
			places := slices.SortedFunc(maps.Keys(offsets), Place.Compare)
			dst = appendPlaced(dst, places, func(p Place) Place { return p }, func(dst []byte, p Place) []byte {
				o := offsets[p]
				dst = appendOffset(dst, o.Offset)
				dst = binary.AppendVarint(dst, o.CommittedAt)
				dst = binary.AppendUvarint(dst, uint64(o.written))
				if o.superseded {
					return append(dst, 1)
				}
				return append(dst, 0)
			})
		}
	}
	return dst
}

func restoreTransactions(d *metastore.Decoder, groups map[string]*group) map[int64]*producerTransactions {
	n := d.Count(producerBytesMin)
	if n == 0 {
		d.Fail("no producers of transactions")
	}
	transactions := make(map[int64]*producerTransactions, n)
	producer := uint64(0)
	for i := range n {
		delta := d.Uvarint()
		if producer += delta; i > 0 && delta == 0 || delta > math.MaxInt64 || producer > math.MaxInt64 {
			d.Fail("producers out of order")
		}
		t := &producerTransactions{ended: d.Uvarint(), open: d.Uvarint(), touched: d.Varint()}
		before := ""
		held := d.Count(1 + topicBytesMin)
		for j := range held {
			id := decodeID(d)
			g := groups[id]
			if d.Err == nil && (j > 0 && id <= before || g == nil) {
				d.Fail("groups out of order")
			}
			if d.Err != nil {
				return nil
			}
			before = id
			offsets := restorePending(d)
			if t.groups == nil {
				t.groups = map[string]struct{}{}
			}
			if g.pending == nil {
				g.pending = map[int64]map[Place]pendingOffset{}
			}
			t.groups[id], g.pending[int64(producer)] = struct{}{}, offsets
		}
		if d.Err == nil && (t.open <= t.ended && t.open != 0 || t.open == 0 && (held > 0 || t.ended == 0)) {
			d.Fail("transactions out of order")
		}
		if d.Err != nil {
			return nil
		}
		transactions[int64(producer)] = t
	}
	return transactions
}

func restorePending(d *metastore.Decoder) map[Place]pendingOffset {
	offsets := map[Place]pendingOffset{}
	decodePlaced(d, pendingBytesMin, func(p Place) {
		o := pendingOffset{Offset: decodeOffset(d)}
		o.CommittedAt, o.Expires = d.Varint(), Never
		o.written = metastore.Version(d.Uvarint())
		if superseded := d.Fixed(1); d.Err == nil {
			if o.superseded = superseded[0] == 1; superseded[0] > 1 {
				d.Fail("a pending offset's flag")
			}
		}
		offsets[p] = o
	})
	if d.Err == nil && len(offsets) == 0 {
		d.Fail("a group without pending offsets")
	}
	return offsets
}
