package shard

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// What opens a shard's snapshot: snapshotFormat, and a bit for each thing that the
// state has any of, so that a state without is coded as releases before it code it. Persisted.
const (
	snapshotFormat       = 1
	snapshotTransactions = 2  // extents may be markers, producers may have transactions, partitions have aborted ones
	snapshotMerged       = 4  // partitions say what of them is merged
	snapshotHoles        = 8  // partitions have offsets that were jumped over
	snapshotArchived     = 16 // partitions say up to where the archive has them
	snapshotFormats      = snapshotFormat | snapshotTransactions | snapshotMerged | snapshotHoles | snapshotArchived
)

// The flags of a producer. Persisted. The count of its batches is in the bits between.
const (
	producerClosed       = 1 << 0
	producerBatches      = 1      // the lowest bit of three
	producerTransactions = 1 << 4 // only with snapshotTransactions
	producerUnknown      = 1 << 5 // only with snapshotTransactions
)

// The shortest codings, which bound the memory that a snapshot can ask for.
const (
	topicBytesMin     = 1 + 16 + 1 + 1
	partitionBytesMin = 1 + 1 + 1 + 1 + 1
	extentBytesMin    = 4 // a marker's
	producerBytesMin  = 5
	abortedBytesMin   = 4
)

// AppendSnapshot appends the state's encoding: the format byte; the topics by
// number, each with its partitions by index, each with its extents and its producers by id.
// Numbers are differences from the element before where that is shorter.
func (s *State) AppendSnapshot(dst []byte) []byte {
	topics := s.sorted()
	format := byte(snapshotFormat)
	for _, t := range topics {
		if slices.ContainsFunc(t.partitions, (*partition).hasTransactions) {
			format |= snapshotTransactions
		}
		if slices.ContainsFunc(t.partitions, func(p *partition) bool { return p.merged != Merged{} }) {
			format |= snapshotMerged
		}
		if slices.ContainsFunc(t.partitions, func(p *partition) bool { return len(p.holes) > 0 }) {
			format |= snapshotHoles
		}
		if slices.ContainsFunc(t.partitions, func(p *partition) bool { return p.archived > 0 }) {
			format |= snapshotArchived
		}
		if format == snapshotFormats {
			break
		}
	}
	dst = append(dst, format)
	dst = binary.AppendUvarint(dst, uint64(len(topics)))
	before := uint64(0)
	for _, t := range topics {
		dst = binary.AppendUvarint(dst, t.number-before)
		before = t.number
		dst = append(dst, t.id[:]...)
		dst = appendUint(dst, t.stride)
		dst = binary.AppendUvarint(dst, uint64(len(t.partitions)))
		index := int32(0)
		for _, p := range t.partitions {
			dst = appendUint(dst, p.id.Index-index)
			index = p.id.Index
			dst = p.appendSnapshot(dst, format)
		}
	}
	return dst
}

// hasTransactions tells whether anything of transactions must be coded.
func (p *partition) hasTransactions() bool {
	if len(p.aborted) > 0 {
		return true
	}
	for i := range p.producers {
		if p.producers[i].state.transactions != nil {
			return true
		}
	}
	for i := range p.extents {
		if p.extents[i].isMarker() {
			return true
		}
	}
	return false
}

func (p *partition) appendSnapshot(dst []byte, format byte) []byte {
	dst = appendUint(dst, p.logStart)
	dst = appendUint(dst, p.highWatermark-p.logStart)
	if format&snapshotHoles != 0 {
		dst = p.appendHoles(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.extents)))
	// Backwards from the high watermark each extent's count of offsets gives its base.
	end := p.before(p.highWatermark)
	var before extent
	for i := len(p.extents) - 1; i >= 0; i-- {
		e := p.extents[i]
		if e.isMarker() {
			dst = append(dst, 0) // no extent has no offsets
			dst = binary.AppendVarint(dst, e.maxTimestamp-before.maxTimestamp)
			dst = binary.AppendUvarint(dst, e.term)
			dst = binary.AppendUvarint(dst, e.number)
			end, before.maxTimestamp = p.before(e.base), e.maxTimestamp
			continue
		}
		dst = appendUint(dst, end-e.base)
		dst = binary.AppendVarint(dst, e.maxTimestamp-before.maxTimestamp)
		dst = binary.AppendVarint(dst, int64(e.term-before.term))
		dst = binary.AppendVarint(dst, int64(e.number-before.number))
		dst = binary.AppendUvarint(dst, uint64(e.position))
		dst = binary.AppendUvarint(dst, uint64(e.length))
		end, before = p.before(e.base), e
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.producers)))
	id, touched := int64(0), int64(0)
	for _, slot := range p.producers {
		dst = appendUint(dst, slot.id-id)
		dst = binary.AppendVarint(dst, slot.state.touched-touched)
		id, touched = slot.id, slot.state.touched
		dst = slot.state.appendSnapshot(dst, p.highWatermark)
	}
	if format&snapshotTransactions != 0 {
		dst = p.appendAborted(dst)
	}
	if format&snapshotMerged != 0 {
		dst = p.appendMerged(dst)
	}
	if format&snapshotArchived != 0 {
		dst = appendUint(dst, p.archived)
	}
	return dst
}

func (p *partition) appendAborted(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p.aborted)))
	last := int64(0)
	for _, a := range p.aborted {
		dst = appendUint(dst, a.last-last)
		dst = appendUint(dst, a.last-a.first)
		dst = appendUint(dst, a.last+1-a.stable)
		dst = appendUint(dst, a.producer)
		last = a.last
	}
	return dst
}

func (p *producer) appendSnapshot(dst []byte, highWatermark int64) []byte {
	dst = appendUint(dst, p.epoch)
	dst = appendLast(dst, p.last)
	flags := p.batches << producerBatches
	if p.closed {
		flags |= producerClosed
	}
	if p.transactions != nil {
		flags |= producerTransactions
	}
	if !p.known {
		flags |= producerUnknown
	}
	dst = append(dst, flags)
	if t := p.transactions; t != nil {
		dst = binary.AppendUvarint(dst, t.ended)
		dst = binary.AppendUvarint(dst, t.open)
		if t.open != NoTransaction {
			dst = appendUint(dst, highWatermark-t.first)
		}
		dst = appendUint(dst, int64(t.coordinator)+1)
	}
	if p.batches == 0 {
		return dst
	}
	dst = appendUint(dst, p.epoch-p.windowEpoch)
	dst = appendUint(dst, p.window[0].first)
	base := int64(0)
	for _, b := range p.window[:p.batches] {
		dst = appendUint(dst, (b.last-b.first)&math.MaxInt32)
		dst = appendUint(dst, b.base-base)
		dst = binary.AppendVarint(dst, b.logAppendTime)
		base = b.base
	}
	return dst
}

// Restore replaces the state by the one encoded, and tells OnGrow of every
// partition. After an error the state is as it was.
func (s *State) Restore(snapshot []byte) error {
	d := metastore.Decoder{Rest: snapshot}
	format := byte(0)
	if f := d.Fixed(1); d.Err == nil {
		if format = f[0]; format&snapshotFormat == 0 || format&^snapshotFormats != 0 {
			d.Fail("unknown format of a shard's snapshot")
		}
	}
	n := d.Count(topicBytesMin)
	topics := make(map[uint64]*topic, n)
	opened := 0
	number := uint64(0)
	for i := range n {
		delta := d.Uvarint()
		if number += delta; i > 0 && (delta == 0 || number < delta) {
			d.Fail("topics out of order")
		}
		t := restoreTopic(&d, number, format)
		if d.Err != nil {
			return d.Err
		}
		if opened += len(t.partitions); opened > partitionsMax {
			d.Fail("too many partitions")
		}
		topics[number] = t
	}
	if err := atEnd(&d); err != nil {
		return err
	}
	s.topics, s.opened = topics, opened
	if s.OnGrow != nil {
		for _, t := range s.sorted() {
			for _, p := range t.partitions {
				s.grew(p)
			}
		}
	}
	return nil
}

func restoreTopic(d *metastore.Decoder, number uint64, format byte) *topic {
	t := &topic{number: number}
	copy(t.id[:], d.Fixed(len(t.id)))
	t.stride = int32(decodeUint(d, math.MaxInt32, "stride"))
	n := d.Count(partitionBytesMin)
	if d.Err == nil && (n == 0 || t.stride < 1) {
		d.Fail("a topic without partitions or stride")
	}
	t.partitions = make([]*partition, 0, n)
	block := make([]partition, n)
	index := int64(0)
	for i := range n {
		delta := decodeUint(d, math.MaxInt32, "partition")
		if index += delta; index > math.MaxInt32 || i > 0 && delta == 0 {
			d.Fail("partitions out of order")
		}
		p := &block[i]
		p.id = PartitionID{number, int32(index)}
		p.restore(d, format)
		if d.Err != nil {
			return nil
		}
		t.partitions = append(t.partitions, p)
	}
	return t
}

func (p *partition) restore(d *metastore.Decoder, format byte) {
	p.logStart = decodeUint(d, math.MaxInt64, "log start")
	p.highWatermark = p.logStart + decodeUint(d, uint64(math.MaxInt64-p.logStart), "high watermark")
	if format&snapshotHoles != 0 {
		p.restoreHoles(d)
	}
	p.restoreExtents(d, format)
	n := d.Count(producerBytesMin)
	if n > 0 {
		p.producers = make([]producerSlot, 0, n)
	}
	id, touched := int64(0), int64(0)
	for i := range n {
		delta := decodeUint(d, uint64(math.MaxInt64-id), "producer")
		if id += delta; i > 0 && delta == 0 {
			d.Fail("producers out of order")
		}
		touched += d.Varint()
		state := &producer{touched: touched}
		state.restore(d, p.highWatermark, format)
		if d.Err != nil {
			return
		}
		p.producers = append(p.producers, producerSlot{id, state})
	}
	if format&snapshotTransactions != 0 {
		p.restoreAborted(d)
		p.derive()
	}
	if format&snapshotMerged != 0 {
		p.restoreMerged(d)
	}
	if format&snapshotArchived != 0 {
		p.archived = decodeUint(d, uint64(p.highWatermark), "archived offset")
	}
}

func (p *partition) restoreAborted(d *metastore.Decoder) {
	n := d.Count(abortedBytesMin)
	if n > 0 {
		p.aborted = make([]aborted, 0, n)
	}
	last := int64(0)
	for i := range n {
		delta := decodeUint(d, uint64(p.highWatermark-last), "offset")
		if last += delta; i > 0 && delta == 0 || last >= p.highWatermark {
			d.Fail("aborted transactions out of order")
		}
		if d.Err != nil {
			return
		}
		p.aborted = append(p.aborted, aborted{
			last:     last,
			first:    last - decodeUint(d, uint64(last), "offset"),
			stable:   last + 1 - decodeUint(d, uint64(last)+1, "offset"),
			producer: decodeUint(d, math.MaxInt64, "producer"),
		})
	}
}

func (p *partition) restoreExtents(d *metastore.Decoder, format byte) {
	n := d.Count(extentBytesMin)
	if n > 0 {
		p.extents = make(extents, n)
	}
	end := p.before(p.highWatermark)
	var before extent
	for i := n - 1; i >= 0; i-- {
		if d.Err == nil && end <= p.logStart {
			d.Fail("an extent below the log start")
		}
		records := decodeUint(d, math.MaxInt32, "offsets")
		if records == 0 && format&snapshotTransactions != 0 {
			e := extent{base: end - 1, maxTimestamp: before.maxTimestamp + d.Varint()}
			e.term = uint64(decodeUint(d, math.MaxInt64, "producer"))
			e.number = uint64(decodeUint(d, 1<<47-1, "marker"))
			if d.Err != nil {
				return
			}
			p.extents[i], end, before.maxTimestamp = e, p.before(e.base), e.maxTimestamp
			continue
		}
		e := extent{
			base:         end - records,
			maxTimestamp: before.maxTimestamp + d.Varint(),
			term:         before.term + uint64(d.Varint()),
			number:       before.number + uint64(d.Varint()),
			position:     uint32(decodeUint(d, segmentBytesMax, "position")),
			length:       uint32(decodeUint(d, segmentBytesMax, "length")),
		}
		if d.Err == nil && (records < 1 || e.base < 0 || e.length < 1 || uint64(e.position)+uint64(e.length) > segmentBytesMax) {
			d.Fail("extent out of range")
		}
		if d.Err != nil {
			return
		}
		p.extents[i], end, before = e, p.before(e.base), e
	}
	if n > 0 {
		p.extents[0].highest = p.extents[0].maxTimestamp
		for i := 1; i < n; i++ {
			p.extents[i].highest = max(p.extents[i-1].highest, p.extents[i].maxTimestamp)
		}
	}
}

func (p *producer) restore(d *metastore.Decoder, highWatermark int64, format byte) {
	p.epoch = int16(decodeUint(d, math.MaxInt16, "epoch"))
	p.last = decodeLast(d)
	flags := d.Fixed(1)
	if d.Err != nil {
		return
	}
	p.known = true
	f := flags[0]
	if format&snapshotTransactions != 0 {
		p.known = f&producerUnknown == 0
		if f&producerTransactions != 0 {
			p.restoreTransactions(d, highWatermark)
		}
		f &^= producerTransactions | producerUnknown
	}
	p.closed, p.batches = f&producerClosed != 0, f>>producerBatches
	switch {
	case p.batches > windowBatches, p.known && p.last == noSequence && !p.closed:
		d.Fail("producer out of range")
	case !p.known && (p.transactions == nil || p.batches > 0 || p.closed || p.epoch != 0 || p.last != noSequence):
		d.Fail("an unknown producer with batches, or without transactions")
	}
	if d.Err != nil || p.batches == 0 {
		return
	}
	p.windowEpoch = p.epoch - int16(decodeUint(d, uint64(p.epoch), "epoch"))
	next := int32(decodeUint(d, math.MaxInt32, "sequence"))
	base := int64(0)
	for i := range p.batches {
		b := &p.window[i]
		b.first = next
		b.last = (b.first + int32(decodeUint(d, math.MaxInt32, "sequence"))) & math.MaxInt32
		base += decodeUint(d, uint64(highWatermark-base), "offset")
		b.base = base
		b.logAppendTime = d.Varint()
		next = NextSequence(b.last)
	}
}

func (p *producer) restoreTransactions(d *metastore.Decoder, highWatermark int64) {
	t := &transactions{ended: d.Uvarint(), open: d.Uvarint()}
	if t.open != NoTransaction {
		t.first = highWatermark - decodeUint(d, uint64(highWatermark), "offset")
	}
	t.coordinator = int32(decodeUint(d, math.MaxInt32+1, "coordinator epoch") - 1)
	if d.Err == nil && t.open <= t.ended && (t.open != NoTransaction || t.ended == NoTransaction) {
		d.Fail("transactions out of order")
	}
	p.transactions = t
}
