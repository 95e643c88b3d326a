package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// Marker ends a producer's transaction in partitions of one shard (GUARDS 16). It
// may be appended by any agent, any number of times.
type Marker struct {
	Producer         int64
	Transaction      uint64 // its number; see NoTransaction
	Epoch            int16  // the producer's, as the control batch tells it
	Commit           bool   // else it aborts
	CoordinatorEpoch int32
	Timestamp        int64 // ms since 1970 UTC, of the control batch
	Partitions       []PartitionID
}

// MarkerOutcome is what a marker came to in one partition.
type MarkerOutcome struct {
	Stood  bool  // else the transaction had ended here, or the partition is closed: nothing is left to do
	Offset int64 // of the control batch, if it stood
}

// Check returns an error for a marker that can't be coded.
func (m *Marker) Check() error {
	switch {
	case m.Transaction == NoTransaction:
		return errors.New("no transaction")
	case m.Producer < 0 || m.Epoch < 0 || m.CoordinatorEpoch < 0 || m.Timestamp < 0:
		return fmt.Errorf("producer %d, epoch %d, coordinator epoch %d, time %d", m.Producer, m.Epoch, m.CoordinatorEpoch, m.Timestamp)
	case len(m.Partitions) == 0:
		return errors.New("no partitions")
	}
	for i, p := range m.Partitions {
		if p.Index < 0 || i > 0 && m.Partitions[i-1].Compare(p) >= 0 {
			return fmt.Errorf("%v is out of order", p)
		}
	}
	return nil
}

// markerPartitionBytesMin is the shortest coding of a marker's partition.
const markerPartitionBytesMin = 2

// AppendMarker appends the effect of m: producer, transaction, epoch, coordinator
// epoch, time, 1 for commit or 0 for abort, and the partitions, each as the difference of
// its topic from the one before and its index. It panics on what Check refuses.
func AppendMarker(dst []byte, m Marker) []byte {
	if err := m.Check(); err != nil {
		panic(fmt.Sprintf("coding of a marker: %v", err))
	}
	body := appendUint(make([]byte, 0, 40+4*len(m.Partitions)), m.Producer)
	body = binary.AppendUvarint(body, m.Transaction)
	body = appendUint(body, m.Epoch)
	body = appendUint(body, m.CoordinatorEpoch)
	body = appendUint(body, m.Timestamp)
	commit := byte(0)
	if m.Commit {
		commit = 1
	}
	body = append(body, commit)
	body = binary.AppendUvarint(body, uint64(len(m.Partitions)))
	topic := uint64(0)
	for _, p := range m.Partitions {
		body = binary.AppendUvarint(body, p.Topic-topic)
		body = appendUint(body, p.Index)
		topic = p.Topic
	}
	return metastore.AppendEffect(dst, metastore.EffectMarker, body)
}

func decodeMarker(d *metastore.Decoder) Marker {
	m := Marker{
		Producer:         decodeUint(d, math.MaxInt64, "producer"),
		Transaction:      d.Uvarint(),
		Epoch:            int16(decodeUint(d, math.MaxInt16, "epoch")),
		CoordinatorEpoch: int32(decodeUint(d, math.MaxInt32, "coordinator epoch")),
		Timestamp:        decodeUint(d, math.MaxInt64, "time"),
	}
	if commit := d.Fixed(1); d.Err == nil {
		if m.Commit = commit[0] == 1; commit[0] > 1 {
			d.Fail("result of a transaction")
		}
	}
	n := d.Count(markerPartitionBytesMin)
	m.Partitions = make([]PartitionID, 0, n)
	topic := uint64(0)
	for range n {
		topic += d.Uvarint()
		m.Partitions = append(m.Partitions, PartitionID{topic, int32(decodeUint(d, math.MaxInt32, "partition"))})
	}
	if d.Err == nil {
		if err := m.Check(); err != nil {
			d.Fail(err.Error())
		}
	}
	return m
}

// applyMarker ends the transaction in each of the partitions.
func (s *State) applyMarker(at metastore.At, d *metastore.Decoder, want bool) ([]MarkerOutcome, error) {
	m := decodeMarker(d)
	if err := atEnd(d); err != nil {
		return nil, err
	}
	var outcomes []MarkerOutcome
	for _, id := range m.Partitions {
		p := s.partition(id)
		offset, stood, err := p.mark(at, &m)
		if err != nil {
			return nil, fmt.Errorf("partition %v: %w", id, err)
		}
		if stood {
			s.grew(p)
		}
		if want {
			outcomes = append(outcomes, MarkerOutcome{stood, offset})
		}
	}
	return outcomes, nil
}

// mark puts the control batch at the end of the partition, which is nil when closed,
// and ends what is open; unless the transaction has ended here. As in Kafka it takes
// its offset whether or not anything was open: who judges that from a replica that lags
// would be wrong. The sequences are untouched, and a producer may stay unknown.
// Frozen: replicas fold old entries by it.
func (p *partition) mark(at metastore.At, m *Marker) (offset int64, stood bool, err error) {
	if p == nil {
		return 0, false, nil
	}
	state := p.producer(m.Producer)
	if m.Transaction <= state.ended() {
		return 0, false, nil
	}
	if open := state.open(); open > m.Transaction {
		return 0, false, fmt.Errorf("a marker of transaction %d of producer %d while %d is open: a bug", m.Transaction, m.Producer, open)
	}
	if p.highWatermark == math.MaxInt64 {
		return 0, false, metastore.ErrCorruptEntry
	}
	if state == nil {
		state = p.ensureProducer(m.Producer)
	}
	offset = p.highWatermark
	t := state.transactional()
	first, was := t.first, t.open != NoTransaction
	if was {
		p.end(m.Producer, t)
	}
	t.ended, t.coordinator = m.Transaction, m.CoordinatorEpoch
	state.touched = max(state.touched, at.Time)
	p.addExtent(markerExtent(offset, m), offset+1)
	p.highWatermark = offset + 1
	if was && !m.Commit {
		p.aborted = append(p.aborted, aborted{producer: m.Producer, first: first, last: offset, stable: p.lastStable()})
	}
	return offset, true, nil
}

// MarkerAt is the marker of an Extent without bytes: all that its control batch is made of.
// The zero value stands in every other extent.
type MarkerAt struct {
	ProducerID       int64
	Epoch            int16
	CoordinatorEpoch int32
	Commit           bool
}

// A marker's extent has no bytes; where others name their segment it has its producer,
// epochs and result.

// markerCommit is the lowest bit of a marker's number; above it the coordinator's
// epoch and the producer's, 31 and 15 bits.
const markerCommit = 1

func markerExtent(offset int64, m *Marker) extent {
	e := extent{base: offset, maxTimestamp: m.Timestamp, term: uint64(m.Producer),
		number: uint64(m.Epoch)<<32 | uint64(m.CoordinatorEpoch)<<1}
	if m.Commit {
		e.number |= markerCommit
	}
	return e
}

func (e *extent) isMarker() bool { return e.length == 0 }

func (e *extent) marker() MarkerAt {
	return MarkerAt{
		ProducerID:       int64(e.term),
		Epoch:            int16(e.number >> 32),
		CoordinatorEpoch: int32(e.number >> 1 & math.MaxInt32),
		Commit:           e.number&markerCommit != 0,
	}
}

// OpenTransactions returns the producers with an open transaction in a partition, by its first
// offset, resultsMax at most: of those that hang the admin wants to know.
func (s *State) OpenTransactions(id PartitionID, resultsMax int) []ActiveProducer {
	p := s.partition(id)
	if p == nil {
		return nil
	}
	open := make([]ActiveProducer, 0, min(resultsMax, len(p.open)))
	for _, o := range p.open[:cap(open)] {
		open = append(open, p.producer(o.producer).active(o.producer))
	}
	return slices.Clip(open)
}
