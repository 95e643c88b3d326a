package group

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// producerTransactions is what the journal knows of one producer's transactions. It is of
// the journal, not of a group: so it outlives the groups' deletion.
type producerTransactions struct {
	ended   uint64              // the highest number that ended; never goes back
	open    uint64              // 0, or the one that has offsets pending
	touched int64               // ms; the latest writer's clock among the entries that changed it
	groups  map[string]struct{} // that have offsets of the open one
}

// pendingOffset is one that a transaction is to commit.
type pendingOffset struct {
	Offset
	written metastore.Version
	// superseded says that the group has committed a later one for the partition since. As in
	// Kafka the later one stays, whatever becomes of the transaction.
	superseded bool
}

// Pending is what a transaction is to commit in a group when it ends.
type Pending struct {
	Commit             // Expires is not looked at
	Producer    int64  // ≥ 0
	Transaction uint64 // its number, ≥ 1; the group is known to have been added to it
	// AnyMembers: of a client that names no member; as in Kafka it may commit whatever members
	// the group has. Then Generation and Member are not looked at.
	AnyMembers bool
}

// AppendPending appends the effect of x: it stands if the guard of its Commit holds, and
// unless the transaction has ended. It panics on offsets out of order.
func AppendPending(dst []byte, x Pending) []byte {
	if x.Producer < 0 || x.Transaction == 0 {
		panic(fmt.Sprintf("coding of offsets of producer %d in transaction %d", x.Producer, x.Transaction))
	}
	body := appendID(make([]byte, 0, 64), x.Group)
	body = binary.AppendUvarint(body, uint64(x.Producer))
	body = binary.AppendUvarint(body, x.Transaction)
	if x.AnyMembers {
		body = append(body, guardAny)
	} else {
		body = x.appendGuard(body)
	}
	body = appendPlaced(body, x.Offsets, func(o PlacedOffset) Place { return o.Place }, func(dst []byte, o PlacedOffset) []byte {
		return appendOffset(dst, o.Offset)
	})
	return metastore.AppendEffect(dst, metastore.EffectOffsetsPending, body)
}

// decodedPending is a Pending as its effect has it.
type decodedPending struct {
	group       string
	producer    int64
	transaction uint64
	guard       commitGuard
	offsets     []PlacedOffset
}

func decodePending(d *metastore.Decoder) decodedPending {
	x := decodedPending{group: decodeID(d), producer: decodeProducer(d), transaction: decodeTransaction(d), guard: decodeGuard(d, true)}
	decodePlaced(d, partitionBytesMin, func(p Place) { x.offsets = append(x.offsets, PlacedOffset{p, decodeOffset(d)}) })
	return x
}

func decodeProducer(d *metastore.Decoder) int64 {
	p := d.Uvarint()
	if p > math.MaxInt64 {
		d.Fail("producer out of range")
	}
	return int64(p)
}

func decodeTransaction(d *metastore.Decoder) uint64 {
	x := d.Uvarint()
	if d.Err == nil && x == 0 {
		d.Fail("a transaction without a number")
	}
	return x
}

func (s *State) applyPending(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	x := decodePending(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	t := s.transactions[x.producer]
	g := s.groups[x.group]
	if t != nil && x.transaction <= t.ended || !s.mayCommit(at) || !x.guard.holds(g) {
		return false, nil
	}
	if t != nil && t.open != 0 && t.open != x.transaction {
		return false, fmt.Errorf("offsets of transaction %d of producer %d while those of %d are pending: a bug", x.transaction, x.producer, t.open)
	}
	if t == nil {
		t = &producerTransactions{touched: math.MinInt64}
		s.transactions[x.producer] = t
	}
	t.open, t.touched = x.transaction, max(t.touched, at.Time)
	if len(x.offsets) == 0 {
		return true, nil
	}
	g = s.ensure(x.group, at)
	if t.groups == nil {
		t.groups = map[string]struct{}{}
	}
	t.groups[x.group] = struct{}{}
	if g.pending == nil {
		g.pending = map[int64]map[Place]pendingOffset{}
	}
	if g.pending[x.producer] == nil {
		g.pending[x.producer] = make(map[Place]pendingOffset, len(x.offsets))
	}
	for _, o := range x.offsets {
		o.CommittedAt, o.Expires = at.Time, Never
		g.pending[x.producer][o.Place] = pendingOffset{Offset: o.Offset, written: at.Version}
	}
	return true, nil
}

// Ended says how a transaction ended, for all groups of the journal. It may be appended any
// number of times; the first counts.
type Ended struct {
	Producer    int64
	Transaction uint64
	Commit      bool // else its offsets are dropped
}

// AppendEnded appends the effect of x.
func AppendEnded(dst []byte, x Ended) []byte {
	if x.Producer < 0 || x.Transaction == 0 {
		panic(fmt.Sprintf("coding of the end of transaction %d of producer %d", x.Transaction, x.Producer))
	}
	body := binary.AppendUvarint(nil, uint64(x.Producer))
	body = binary.AppendUvarint(body, x.Transaction)
	commit := byte(0)
	if x.Commit {
		commit = 1
	}
	return metastore.AppendEffect(dst, metastore.EffectOffsetsEnded, append(body, commit))
}

func decodeEnded(d *metastore.Decoder) Ended {
	x := Ended{Producer: decodeProducer(d), Transaction: decodeTransaction(d)}
	if commit := d.Fixed(1); d.Err == nil {
		if commit[0] > 1 {
			d.Fail("result of a transaction")
		}
		x.Commit = commit[0] == 1
	}
	return x
}

func (s *State) applyEnded(at metastore.At, d *metastore.Decoder) (stood bool, err error) {
	x := decodeEnded(d)
	if err := atEnd(d); err != nil {
		return false, err
	}
	t := s.transactions[x.Producer]
	switch {
	case t == nil:
		t = &producerTransactions{touched: math.MinInt64}
		s.transactions[x.Producer] = t
	case x.Transaction <= t.ended:
		return false, nil
	case t.open > x.Transaction:
		return false, fmt.Errorf("the end of transaction %d of producer %d while offsets of %d are pending: a bug", x.Transaction, x.Producer, t.open)
	}
	for id := range t.groups {
		g := s.groups[id]
		s.offsets -= len(g.offsets)
		if x.Commit {
			g.commitPending(x.Producer)
		}
		s.offsets += len(g.offsets)
		delete(g.pending, x.Producer)
	}
	t.ended, t.open, t.groups = x.Transaction, 0, nil
	t.touched = max(t.touched, at.Time)
	return true, nil
}

// commitPending commits what a producer's transaction has pending.
func (g *group) commitPending(producer int64) {
	if g.offsets == nil {
		g.offsets = map[Place]Offset{}
	}
	for place, o := range g.pending[producer] {
		if o.superseded {
			continue
		}
		g.offsets[place] = o.Offset
		g.supersede(place, producer, o.written)
	}
}

// supersede marks what others have had pending for a partition since before a version.
func (g *group) supersede(place Place, but int64, before metastore.Version) {
	for producer, offsets := range g.pending {
		if o, ok := offsets[place]; ok && producer != but && o.written < before {
			o.superseded = true
			offsets[place] = o
		}
	}
}

// dropPending drops what transactions have pending for a partition.
func (s *State) dropPending(id string, g *group, place Place) {
	for producer, offsets := range g.pending {
		delete(offsets, place)
		if len(offsets) == 0 {
			delete(g.pending, producer)
			delete(s.transactions[producer].groups, id)
		}
	}
}

// Unstable tells whether a transaction that has not ended is to commit an offset for a
// partition: a reader that requires stable offsets must wait.
func (s *State) Unstable(id string, p Place) bool {
	return s.groups[id].unstable(p)
}

func (g *group) unstable(p Place) bool {
	if g == nil {
		return false
	}
	for _, offsets := range g.pending {
		if _, ok := offsets[p]; ok {
			return true
		}
	}
	return false
}

// UnstablePlaces returns the partitions of a group that are Unstable, in order.
func (s *State) UnstablePlaces(id string) []Place {
	g := s.groups[id]
	if g == nil {
		return nil
	}
	places := map[Place]struct{}{}
	for _, offsets := range g.pending {
		for p := range offsets {
			places[p] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(places), Place.Compare)
}

// EndedTransaction returns the highest number of a producer's transactions that ended here, 0 for none.
func (s *State) EndedTransaction(producer int64) uint64 {
	if t := s.transactions[producer]; t != nil {
		return t.ended
	}
	return 0
}

// EndedProducer names the transaction of a producer that ended last.
type EndedProducer struct {
	Producer    int64
	Transaction uint64
}

// EndedBefore returns the producers whose transactions nothing has touched since before (ms,
// writers' clocks) and that have nothing pending, by id, resultsMax at most. It walks all producers.
func (s *State) EndedBefore(before int64, resultsMax int) []EndedProducer {
	var found []EndedProducer
	for producer, t := range s.transactions {
		if t.open == 0 && t.touched < before {
			found = append(found, EndedProducer{producer, t.ended})
		}
	}
	slices.SortFunc(found, func(a, b EndedProducer) int { return compareProducers(a.Producer, b.Producer) })
	return found[:min(len(found), resultsMax)]
}

// AppendEndedForgotten appends the effect that forgets which transactions of some producers
// ended: after as long as producers expire in shards (GUARDS 13). It is void for those that
// have had another since. The list is ordered by producer.
func AppendEndedForgotten(dst []byte, list []EndedProducer) []byte {
	body := binary.AppendUvarint(nil, uint64(len(list)))
	before := int64(0)
	for _, e := range list {
		body = binary.AppendUvarint(body, uint64(e.Producer-before))
		body = binary.AppendUvarint(body, e.Transaction)
		before = e.Producer
	}
	return metastore.AppendEffect(dst, metastore.EffectEndedForgotten, body)
}

// endedBytesMin is the shortest coding of an EndedProducer.
const endedBytesMin = 2

func decodeForgotten(d *metastore.Decoder) []EndedProducer {
	n := d.Count(endedBytesMin)
	list := make([]EndedProducer, 0, n)
	producer := uint64(0)
	for i := range n {
		delta := d.Uvarint()
		if producer += delta; i > 0 && delta == 0 || delta > math.MaxInt64 || producer > math.MaxInt64 {
			d.Fail("producers out of order")
		}
		list = append(list, EndedProducer{int64(producer), d.Uvarint()})
	}
	return list
}

func (s *State) applyForgotten(d *metastore.Decoder) (forgotten int, err error) {
	list := decodeForgotten(d)
	if err := atEnd(d); err != nil {
		return 0, err
	}
	for _, e := range list {
		if t := s.transactions[e.Producer]; t != nil && t.open == 0 && t.ended == e.Transaction {
			delete(s.transactions, e.Producer)
			forgotten++
		}
	}
	return forgotten, nil
}

// Transactional returns how many producers' transactions are known here, and how many offsets
// are pending, for metrics.
func (s *State) Transactional() (producers, pending int) {
	for _, g := range s.groups {
		for _, offsets := range g.pending {
			pending += len(offsets)
		}
	}
	return len(s.transactions), pending
}
