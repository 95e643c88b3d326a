package shard

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// The model is GUARDS.md taken at its word: every batch that ever stood is kept in a
// list, and everything is looked for in it. It shares no code with the package.

type modelEntry struct {
	term, number uint64
	time         int64
	effects      []any // modelFlush, Fence, Forget, Marker, Swap, logStart, Opened, modelClosed, modelEnded
}

type (
	modelFlush struct {
		segment uint64
		batches []FlushBatch
	}
	modelClosed struct{ topic uint64 }
	modelJump   struct {
		partition PartitionID
		offset    int64
	}
	modelEnded struct{ term uint64 }
)

type model struct {
	numbers    map[uint64]uint64
	partitions map[string]*modelPartition // by "topic/index"
}

type modelPartition struct {
	logStart  int64
	merged    int64        // what is below lies in rows
	jumped    int64        // where the last hole ends
	batches   []modelBatch // all that ever stood, and holes
	extents   [][]modelBatch
	producers map[int64]*modelProducer
	ended     map[int64]uint64           // by producer
	open      map[int64]modelTransaction // the same
	aborted   []AbortedTransaction
}

type modelTransaction struct {
	x     uint64
	first int64
}

type modelBatch struct {
	FlushBatch
	segment segment.ID
	base    int64
	marker  *MarkerAt
}

type modelProducer struct {
	epoch   int64
	last    *big.Int // nil: nothing of the epoch stood
	closed  bool
	touched int64
	stood   []modelBatch // since it became known
}

func newModel() *model {
	return &model{numbers: map[uint64]uint64{}, partitions: map[string]*modelPartition{}}
}

var two31 = new(big.Int).Lsh(big.NewInt(1), 31)

func (m *model) partition(p PartitionID) *modelPartition {
	return m.partitions[fmt.Sprintf("%d/%d", p.Topic, p.Index)]
}

func (p *modelPartition) end() int64 {
	sum := int64(0)
	for _, b := range p.batches {
		sum += int64(b.Offsets)
	}
	return sum
}

// apply returns the outcomes, or nil for an entry that is void.
func (m *model) apply(e modelEntry) []any {
	if e.number <= m.numbers[e.term] {
		return nil
	}
	m.numbers[e.term] = e.number
	outcomes := []any{}
	for _, effect := range e.effects {
		var outcome any
		switch x := effect.(type) {
		case modelFlush:
			became := []BatchOutcome{}
			for _, b := range x.batches {
				became = append(became, m.batch(e, x.segment, b))
			}
			outcome = became
		case Fence:
			outcome = m.fence(e, x)
		case Forget:
			outcome = m.forget(x)
		case Marker:
			became := []MarkerOutcome{}
			for _, p := range x.Partitions {
				became = append(became, m.mark(p, x))
			}
			outcome = became
		case Swap:
			outcome = m.merge(x)
		case logStart:
			outcome = m.logStart(x)
		case modelJump:
			outcome = m.jump(x)
		case Opened:
			for i := range x.Count {
				name := fmt.Sprintf("%d/%d", x.Topic, x.First+i*x.Stride)
				m.partitions[name] = &modelPartition{producers: map[int64]*modelProducer{}, ended: map[int64]uint64{}, open: map[int64]modelTransaction{}}
			}
		case modelClosed:
			found := false
			for name := range m.partitions {
				var topic, index uint64
				fmt.Sscanf(name, "%d/%d", &topic, &index)
				if topic == x.topic {
					delete(m.partitions, name)
					found = true
				}
			}
			outcome = found
		case modelEnded:
			delete(m.numbers, x.term)
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes
}

// accept is rule 3.
func (p *modelProducer) accept(epoch int64, first int64) bool {
	if p == nil || epoch > p.epoch {
		return first == 0
	}
	if epoch < p.epoch || p.closed {
		return false
	}
	next := new(big.Int).Add(p.last, big.NewInt(1))
	return next.Mod(next, two31).Int64() == first
}

// batch is rule 2.
func (m *model) batch(e modelEntry, number uint64, b FlushBatch) BatchOutcome {
	p := m.partition(b.Partition)
	if p == nil {
		return BatchOutcome{}
	}
	stands := modelBatch{b, segment.ID{Term: e.term, Number: number}, p.end(), nil}
	if b.ProducerID >= 0 {
		producer := p.producers[b.ProducerID]
		if !producer.accept(int64(b.Epoch), int64(b.BaseSequence)) || b.Transaction > 0 && b.Transaction <= p.ended[b.ProducerID] {
			return BatchOutcome{}
		}
		if _, open := p.open[b.ProducerID]; b.Transaction > 0 && !open {
			p.open[b.ProducerID] = modelTransaction{b.Transaction, p.end()}
		}
		if producer == nil {
			producer = &modelProducer{touched: e.time}
			p.producers[b.ProducerID] = producer
		}
		producer.epoch, producer.closed = int64(b.Epoch), false
		last := big.NewInt(int64(b.BaseSequence) + int64(b.Offsets) - 1)
		producer.last = last.Mod(last, two31)
		producer.touched = max(producer.touched, e.time)
		producer.stood = append(producer.stood, stands)
	}
	p.batches = append(p.batches, stands)
	if n := len(p.extents); n > 0 {
		before := p.extents[n-1]
		x := before[len(before)-1]
		offsets, length := int64(0), int64(0)
		for _, y := range append(slices.Clone(before), stands) {
			offsets += int64(y.Offsets)
			length += y.Length
		}
		if x.marker == nil && p.jumped != stands.base && x.segment == stands.segment && x.Position+x.Length == b.Position && offsets < 1<<31 && length < 1<<32 {
			p.extents[n-1] = append(before, stands)
			return BatchOutcome{true, stands.base}
		}
	}
	p.extents = append(p.extents, []modelBatch{stands})
	return BatchOutcome{true, stands.base}
}

// window is the last five batches of the newest epoch of which any stood.
func (p *modelProducer) window() []modelBatch {
	var w []modelBatch
	for i := len(p.stood) - 1; i >= 0 && len(w) < 5 && p.stood[i].Epoch == p.stood[len(p.stood)-1].Epoch; i-- {
		w = append(w, p.stood[i])
	}
	return w
}

func (p *modelProducer) matches(x Expected) bool {
	if p == nil {
		return x.Unknown
	}
	if x.Unknown || p.epoch != int64(x.Epoch) {
		return false
	}
	if p.last == nil {
		return x.Last == -1
	}
	return p.last.Int64() == int64(x.Last)
}

// fence is rule 8.
func (m *model) fence(e modelEntry, f Fence) bool {
	p := m.partition(f.Partition)
	if p == nil || !p.producers[f.Producer].matches(f.Expect) {
		return false
	}
	producer := p.producers[f.Producer]
	if producer == nil {
		producer = &modelProducer{epoch: int64(f.Epoch), touched: e.time}
		p.producers[f.Producer] = producer
	}
	if int64(f.Epoch) > producer.epoch {
		producer.epoch, producer.last = int64(f.Epoch), nil
	}
	producer.closed = true
	producer.touched = max(producer.touched, e.time)
	return true
}

// forget is rule 13.
func (m *model) forget(f Forget) bool {
	p := m.partition(f.Partition)
	if p == nil {
		return false
	}
	x := p.producers[f.Producer]
	_, open := p.open[f.Producer]
	if open || p.ended[f.Producer] != f.Ended || f.Unknown != (x == nil) || x != nil && !x.matches(Expected{Epoch: f.Epoch, Last: f.Last}) ||
		x == nil && f.Ended == 0 {
		return false
	}
	delete(p.producers, f.Producer)
	delete(p.ended, f.Producer)
	return true
}

// mark is rule 16.
func (m *model) mark(id PartitionID, x Marker) MarkerOutcome {
	p := m.partition(id)
	if p == nil || x.Transaction <= p.ended[x.Producer] {
		return MarkerOutcome{}
	}
	offset := p.end()
	if open, ok := p.open[x.Producer]; ok {
		delete(p.open, x.Producer)
		if !x.Commit {
			p.aborted = append(p.aborted, AbortedTransaction{x.Producer, open.first, offset})
		}
	}
	p.ended[x.Producer] = x.Transaction
	b := modelBatch{FlushBatch: FlushBatch{Offsets: 1, MaxTimestamp: x.Timestamp}, base: offset,
		marker: &MarkerAt{x.Producer, x.Epoch, x.CoordinatorEpoch, x.Commit}}
	p.batches = append(p.batches, b)
	p.extents = append(p.extents, []modelBatch{b})
	return MarkerOutcome{true, offset}
}

// merge takes what is stable out of the state.
func (m *model) merge(x Swap) bool {
	p := m.partition(x.Partition)
	if p == nil || x.Expected != p.merged || x.To > p.stable() {
		return false
	}
	p.merged = x.To
	p.dropBefore(x.To)
	return true
}

// dropBefore drops the extents that lie wholly below an offset.
func (p *modelPartition) dropBefore(offset int64) {
	p.extents = slices.DeleteFunc(p.extents, func(x []modelBatch) bool {
		last := x[len(x)-1]
		return last.base+int64(last.Offsets) <= offset
	})
}

// stable is the last stable offset.
func (p *modelPartition) stable() int64 {
	stable := p.end()
	for _, open := range p.open {
		stable = min(stable, max(p.logStart, open.first))
	}
	return stable
}

// abortedIn are the aborted transactions that readers of [from, to) must know of.
func (p *modelPartition) abortedIn(from, to int64) []AbortedTransaction {
	var in []AbortedTransaction
	for _, a := range p.aborted {
		if a.LastOffset >= max(from, p.logStart) && a.FirstOffset < to {
			in = append(in, a)
		}
	}
	return in
}

// logStart is rule 17.
func (m *model) logStart(l logStart) int64 {
	p := m.partition(l.partition)
	if p == nil {
		return -1
	}
	p.logStart = max(p.logStart, min(l.offset, p.end()))
	p.dropBefore(p.logStart)
	return p.logStart
}

// jump leaves a hole.
func (m *model) jump(j modelJump) int64 {
	p := m.partition(j.partition)
	if p == nil {
		return -1
	}
	for p.end() < j.offset {
		n := min(j.offset-p.end(), math.MaxInt32)
		p.batches = append(p.batches, modelBatch{FlushBatch: FlushBatch{Offsets: int32(n)}, base: p.end()})
		p.jumped = p.end()
	}
	return p.end()
}

// judge is rule 6.
func (m *model) judge(id PartitionID, producerID int64, epoch, first, last int64, transaction uint64) Judgement {
	p := m.partition(id)
	if p == nil {
		return Judgement{Verdict: PartitionClosed}
	}
	producer := p.producers[producerID]
	if producer != nil {
		for _, b := range producer.window() {
			end := (int64(b.BaseSequence) + int64(b.Offsets) - 1) % (1 << 31)
			if int64(b.Epoch) == epoch && int64(b.BaseSequence) == first && end == last {
				timestamp := int64(-1)
				if b.LogAppendTime {
					timestamp = b.MaxTimestamp
				}
				return Judgement{Duplicate, b.base, timestamp}
			}
		}
		if epoch < producer.epoch {
			return Judgement{Verdict: StaleEpoch}
		}
		if epoch == producer.epoch && producer.last != nil {
			behind := new(big.Int).Sub(producer.last, big.NewInt(first))
			if behind.Mod(behind, two31).Int64() < 1<<30 {
				return Judgement{Verdict: Behind}
			}
		}
		if epoch == producer.epoch && producer.closed {
			return Judgement{Verdict: Closed}
		}
	}
	if transaction > 0 && transaction <= p.ended[producerID] {
		return Judgement{Verdict: TransactionEnded}
	}
	if _, open := p.open[producerID]; open && transaction == 0 {
		return Judgement{Verdict: TransactionOpen}
	}
	if producer.accept(epoch, first) {
		return Judgement{Verdict: Accepted}
	}
	return Judgement{Verdict: Gap}
}

// plan returns all extents.
func (p *modelPartition) plan() []Extent {
	var all []Extent
	for _, batches := range p.extents {
		x := Extent{BaseOffset: batches[0].base, Segment: batches[0].segment, Position: batches[0].Position, MaxTimestamp: batches[0].MaxTimestamp}
		if batches[0].marker != nil {
			x.Marker = *batches[0].marker
		}
		for _, b := range batches {
			x.Records += b.Offsets
			x.Length += b.Length
			x.MaxTimestamp = max(x.MaxTimestamp, b.MaxTimestamp)
		}
		all = append(all, x)
	}
	return all
}

// encode returns the entry's bytes.
func (e modelEntry) encode() []byte {
	b := metastore.AppendHeader(nil, metastore.Header{Term: metastore.Term(e.term), Number: e.number, Time: e.time})
	for _, effect := range e.effects {
		switch x := effect.(type) {
		case modelFlush:
			b = AppendFlush(b, x.segment, x.batches)
		case Fence:
			b = AppendFence(b, x)
		case Forget:
			b = AppendForget(b, x)
		case Marker:
			b = AppendMarker(b, x)
		case Swap:
			b = AppendSwap(b, x)
		case logStart:
			b = AppendLogStart(b, x.partition, x.offset)
		case modelJump:
			b = AppendJump(b, x.partition, x.offset)
		case Opened:
			b = AppendOpened(b, x)
		case modelClosed:
			b = AppendClosed(b, x.topic)
		case modelEnded:
			b = metastore.AppendTermEnded(b, metastore.Term(x.term))
		}
	}
	return b
}
