package shard

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// FlushBatch is one batch of an ingest segment, as a flush effect names it.
type FlushBatch struct {
	Partition     PartitionID
	Position      int64 // in the segment
	Length        int64 // bytes
	Offsets       int32 // last offset delta + 1, which is its count of records and of sequences
	MaxTimestamp  int64 // ms
	LogAppendTime bool  // MaxTimestamp was set by the agent
	ProducerID    int64 // -1 for none; then epoch and sequence are not kept
	Epoch         int16
	BaseSequence  int32
	Transaction   uint64 // number of the producer's transaction; NoTransaction outside of one
}

// Check returns an error for a batch that can't be coded. Who builds a flush asks
// for it before, since such an entry would stop the journal.
func (b *FlushBatch) Check() error {
	switch {
	case b.Partition.Index < 0:
		return fmt.Errorf("partition %d", b.Partition.Index)
	case b.Position < 0 || b.Length < 1 || b.Position > segmentBytesMax || b.Length > segmentBytesMax-b.Position:
		return fmt.Errorf("%d bytes at position %d", b.Length, b.Position)
	case b.Offsets < 1:
		return fmt.Errorf("%d offsets", b.Offsets)
	case b.ProducerID >= 0 && (b.Epoch < 0 || b.BaseSequence < 0):
		return fmt.Errorf("epoch %d, sequence %d", b.Epoch, b.BaseSequence)
	case b.ProducerID < 0 && b.Transaction != NoTransaction:
		return fmt.Errorf("transaction %d without a producer", b.Transaction)
	}
	return nil
}

// BatchOutcome is what became of a batch.
type BatchOutcome struct {
	Stood      bool
	BaseOffset int64 // of its first record, if it stood
}

// The coding of a flush effect: the segment's number (its term is the entry's), the
// count of batches, and for each its flags, then in this order
//
//	[topic − the topic before]   if flagTopic
//	[index]                      if flagTopic; index − the index before if flagIndex
//	[position − the end before]  if flagPosition
//	length
//	offsets
//	max timestamp − the one before, zigzag
//	[producer − the one before, zigzag, [epoch], base sequence] if flagProducer (and flagEpoch)
//	[transaction − the one before, zigzag] if flagTransaction, only with flagProducer
//
// Differences wrap, so that any order of batches can be coded; the one by
// partition and position is short. Persisted; never renumber.
const (
	flagTopic         = 1 << 0
	flagIndex         = 1 << 1
	flagPosition      = 1 << 2
	flagLogAppendTime = 1 << 3
	flagProducer      = 1 << 4
	flagEpoch         = 1 << 5
	flagTransaction   = 1 << 6
	flagReserved      = 1 << 7
)

// flushBatchBytesMin is the shortest coding of a batch.
const flushBatchBytesMin = 4

// AppendFlush appends the effect that puts the batches of a segment at the ends of
// their partitions, each if it stands (GUARDS 2). The batches come in the order in which they
// shall stand; sorted by partition, with rising positions, they take the least room.
// segmentNumber counts the segments of the term that writes the entry. It panics on
// a batch that Check refuses: better here than in every replica.
func AppendFlush(dst []byte, segmentNumber uint64, batches []FlushBatch) []byte {
	const bytesGuess = 24
	body := binary.AppendUvarint(make([]byte, 0, 16+bytesGuess*len(batches)), segmentNumber)
	body = binary.AppendUvarint(body, uint64(len(batches)))
	var before FlushBatch
	for i := range batches {
		if err := batches[i].Check(); err != nil {
			panic(fmt.Sprintf("batch %d of a flush: %v", i, err))
		}
		body = appendBatch(body, &before, &batches[i])
	}
	return metastore.AppendEffect(dst, metastore.EffectFlush, body)
}

func appendBatch(dst []byte, before, b *FlushBatch) []byte {
	at := len(dst)
	dst = append(dst, 0)
	flags := byte(0)
	switch {
	case b.Partition.Topic != before.Partition.Topic:
		flags |= flagTopic
		dst = binary.AppendUvarint(dst, b.Partition.Topic-before.Partition.Topic)
		dst = binary.AppendUvarint(dst, uint64(uint32(b.Partition.Index)))
	case b.Partition.Index != before.Partition.Index:
		flags |= flagIndex
		dst = binary.AppendUvarint(dst, uint64(uint32(b.Partition.Index-before.Partition.Index)))
	}
	if gap := b.Position - (before.Position + before.Length); gap != 0 {
		flags |= flagPosition
		dst = binary.AppendUvarint(dst, uint64(gap))
	}
	dst = appendUint(dst, b.Length)
	dst = appendUint(dst, b.Offsets)
	dst = binary.AppendVarint(dst, b.MaxTimestamp-before.MaxTimestamp)
	if b.LogAppendTime {
		flags |= flagLogAppendTime
	}
	producerBefore, transactionBefore := before.ProducerID, before.Transaction
	*before = *b
	before.Transaction = transactionBefore
	if b.ProducerID < 0 {
		before.ProducerID = producerBefore
	} else {
		flags |= flagProducer
		dst = binary.AppendVarint(dst, b.ProducerID-producerBefore)
		if b.Epoch != 0 {
			flags |= flagEpoch
			dst = appendUint(dst, b.Epoch)
		}
		dst = appendUint(dst, b.BaseSequence)
		if b.Transaction != NoTransaction {
			flags |= flagTransaction
			dst = binary.AppendVarint(dst, int64(b.Transaction-transactionBefore))
			before.Transaction = b.Transaction
		}
	}
	dst[at] = flags
	return dst
}

// flushReader decodes the batches of a flush effect.
type flushReader struct {
	d       *metastore.Decoder
	segment uint64
	count   int

	batch       FlushBatch // the last one read
	producerID  int64      // the last one coded
	transaction uint64     // the last one coded
}

func readFlush(d *metastore.Decoder) flushReader {
	return flushReader{d: d, segment: d.Uvarint(), count: d.Count(flushBatchBytesMin)}
}

// next decodes the next batch into r.batch.
func (r *flushReader) next() error {
	d, b := r.d, &r.batch
	flags := d.Fixed(1)
	if d.Err != nil {
		return d.Err
	}
	f := flags[0]
	if f&flagReserved != 0 || f&(flagTopic|flagIndex) == flagTopic|flagIndex || f&flagProducer == 0 && f&(flagEpoch|flagTransaction) != 0 {
		d.Fail("batch flags")
	}
	switch {
	case f&flagTopic != 0:
		b.Partition.Topic += d.Uvarint()
		b.Partition.Index = int32(decodeUint(d, math.MaxInt32, "partition"))
	case f&flagIndex != 0:
		b.Partition.Index += int32(uint32(decodeUint(d, math.MaxUint32, "partition")))
		if b.Partition.Index < 0 {
			d.Fail("partition out of range")
		}
	}
	b.Position += b.Length
	if f&flagPosition != 0 {
		b.Position += int64(d.Uvarint())
	}
	b.Length = int64(d.Uvarint())
	if b.Position < 0 || b.Length < 1 || b.Position > segmentBytesMax || b.Length > segmentBytesMax-b.Position {
		d.Fail("position or length out of range")
	}
	b.Offsets = int32(decodeUint(d, math.MaxInt32, "offsets"))
	if b.Offsets < 1 {
		d.Fail("a batch without records")
	}
	b.MaxTimestamp += d.Varint()
	b.LogAppendTime = f&flagLogAppendTime != 0
	b.ProducerID, b.Epoch, b.BaseSequence, b.Transaction = NoProducer, 0, 0, NoTransaction
	if f&flagProducer != 0 {
		r.producerID += d.Varint()
		b.ProducerID = r.producerID
		if b.ProducerID < 0 {
			d.Fail("producer out of range")
		}
		if f&flagEpoch != 0 {
			b.Epoch = int16(decodeUint(d, math.MaxInt16, "epoch"))
		}
		b.BaseSequence = int32(decodeUint(d, math.MaxInt32, "sequence"))
		if f&flagTransaction != 0 {
			r.transaction += uint64(d.Varint())
			if b.Transaction = r.transaction; b.Transaction == NoTransaction {
				d.Fail("transaction out of range")
			}
		}
	}
	return d.Err
}

// applyFlush puts each batch that stands at the end of its partition.
func (s *State) applyFlush(at metastore.At, d *metastore.Decoder, want bool) ([]BatchOutcome, error) {
	r := readFlush(d)
	var outcomes []BatchOutcome
	if want {
		outcomes = make([]BatchOutcome, 0, r.count)
	}
	var t *topic
	var p *partition
	var id PartitionID
	grown := false
	for i := range r.count {
		if err := r.next(); err != nil {
			return nil, err
		}
		b := &r.batch
		if i == 0 || b.Partition != id {
			if grown {
				s.grew(p)
				grown = false
			}
			if i == 0 || b.Partition.Topic != id.Topic {
				t = s.topics[b.Partition.Topic]
			}
			if id, p = b.Partition, nil; t != nil {
				p = t.partition(id.Index)
			}
		}
		base, stood, err := p.take(at, r.segment, b)
		if err != nil {
			return nil, err
		}
		grown = grown || stood
		if want {
			outcomes = append(outcomes, BatchOutcome{stood, base})
		}
	}
	if grown {
		s.grew(p)
	}
	return outcomes, d.Err
}

func (s *State) grew(p *partition) {
	if s.OnGrow != nil {
		s.OnGrow(p.id, p.highWatermark)
	}
}

// take adds the batch to the partition, which is nil when closed, if it stands.
// Frozen: replicas fold old entries by it.
func (p *partition) take(at metastore.At, segmentNumber uint64, b *FlushBatch) (base int64, stood bool, err error) {
	if p == nil {
		return 0, false, nil
	}
	base = p.highWatermark
	end := base + int64(b.Offsets)
	if end < base {
		return 0, false, metastore.ErrCorruptEntry
	}
	if b.ProducerID >= 0 {
		state := p.producer(b.ProducerID)
		if !Accept(state.public(), b.Epoch, b.BaseSequence) || b.Transaction != NoTransaction && b.Transaction <= state.ended() {
			return 0, false, nil
		}
		if open := state.open(); b.Transaction != NoTransaction && open != NoTransaction && open != b.Transaction {
			return 0, false, fmt.Errorf("partition %v: a batch of transaction %d of producer %d while %d is open: a bug", p.id, b.Transaction, b.ProducerID, open)
		}
		if state == nil {
			state = p.ensureProducer(b.ProducerID)
		}
		w := windowBatch{b.BaseSequence, LastSequence(b.BaseSequence, b.Offsets), base, -1}
		if b.LogAppendTime {
			w.logAppendTime = b.MaxTimestamp
		}
		state.stood(b.Epoch, w, at.Time)
		if b.Transaction != NoTransaction && state.open() == NoTransaction {
			p.begin(b.ProducerID, state.transactional(), b.Transaction, base)
		}
	}
	p.addExtent(extent{
		base:         base,
		maxTimestamp: b.MaxTimestamp,
		term:         uint64(at.Term),
		number:       segmentNumber,
		position:     uint32(b.Position),
		length:       uint32(b.Length),
	}, end)
	p.highWatermark = end
	return base, true, nil
}
