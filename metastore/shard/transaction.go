package shard

import (
	"cmp"
	"slices"
	"sort"
)

// NoTransaction is the number of a batch outside of transactions. Transactions count
// from 1: a number is the version of the entry that began it in its transactions
// journal, so it rises with each transaction of a producer (GUARDS 14).
const NoTransaction = 0

// noCoordinator is the coordinator epoch before the first marker.
const noCoordinator = -1

// transactions are what a partition knows of one producer's transactions.
type transactions struct {
	ended       uint64 // the highest number that ended here; never goes back
	open        uint64 // NoTransaction, or the one that has batches here and no marker yet
	first       int64  // offset of the open one's first batch
	coordinator int32  // epoch of the coordinator of the last marker, or noCoordinator
}

// openTransaction keeps a partition's open transactions in order of their first
// offsets. It is derived from the producers.
type openTransaction struct {
	first    int64
	producer int64
}

// aborted is a transaction whose records in first to last are not to be read; last
// is its marker.
type aborted struct {
	producer    int64
	first, last int64
	// stable is the last stable offset once the marker stood: no transaction that
	// ended later has a first offset below it. So a search by offset ends early.
	stable int64
}

// AbortedTransaction is a producer's records in [FirstOffset, LastOffset] that were
// aborted; its marker is at LastOffset.
type AbortedTransaction struct {
	ProducerID              int64
	FirstOffset, LastOffset int64
}

// Aborted appends to dst the aborted transactions that have records in [from, to),
// by the offset of their markers. To be true beside Bounds and Plan it must be asked
// within the same view.
func (s *State) Aborted(id PartitionID, from, to int64, dst []AbortedTransaction) []AbortedTransaction {
	p := s.partition(id)
	if p == nil {
		return dst
	}
	i := sort.Search(len(p.aborted), func(i int) bool { return p.aborted[i].last >= from })
	for _, a := range p.aborted[i:] {
		if a.first < to {
			dst = append(dst, AbortedTransaction{a.producer, a.first, a.last})
		}
		if a.stable >= to {
			break
		}
	}
	return dst
}

// lastStable is the lowest offset that an open transaction may still abort, else the
// high watermark (GUARDS 17). Records below the log start are gone either way.
func (p *partition) lastStable() int64 {
	if len(p.open) > 0 {
		return max(p.open[0].first, p.logStart)
	}
	return p.highWatermark
}

// begin notes that the first batch of transaction x stands at offset base, the end of the log.
func (p *partition) begin(producerID int64, t *transactions, x uint64, base int64) {
	t.open, t.first = x, base
	p.open = append(p.open, openTransaction{base, producerID})
}

// end notes that the open transaction has ended.
func (p *partition) end(producerID int64, t *transactions) {
	p.open = slices.DeleteFunc(p.open, func(o openTransaction) bool { return o.producer == producerID })
	t.open, t.first = NoTransaction, 0
}

// dropAbortedBefore forgets the aborted transactions that lie wholly below the log start.
func (p *partition) dropAbortedBefore(logStart int64) {
	i := sort.Search(len(p.aborted), func(i int) bool { return p.aborted[i].last >= logStart })
	switch {
	case i == len(p.aborted):
		p.aborted = nil
	case i > len(p.aborted)/2:
		p.aborted = slices.Clone(p.aborted[i:]) // let go of the memory
	default:
		p.aborted = p.aborted[i:]
	}
}

// derive makes what is derived of the producers' transactions.
func (p *partition) derive() {
	p.open = nil
	for _, slot := range p.producers {
		if t := slot.state.transactions; t != nil && t.open != NoTransaction {
			p.open = append(p.open, openTransaction{t.first, slot.id})
		}
	}
	slices.SortFunc(p.open, func(a, b openTransaction) int { return cmp.Compare(a.first, b.first) })
}

// transactional returns the producer's transactions, made if there are none.
func (p *producer) transactional() *transactions {
	if p.transactions == nil {
		p.transactions = &transactions{coordinator: noCoordinator}
	}
	return p.transactions
}

// ended returns the highest transaction that ended here; p may be nil.
func (p *producer) ended() uint64 {
	if p == nil || p.transactions == nil {
		return NoTransaction
	}
	return p.transactions.ended
}

// open returns the transaction that is open here; p may be nil.
func (p *producer) open() uint64 {
	if p == nil || p.transactions == nil {
		return NoTransaction
	}
	return p.transactions.open
}

// ProducerTransactions is what a partition knows of a producer's transactions.
type ProducerTransactions struct {
	Ended            uint64 // highest number that ended here
	Open             uint64 // NoTransaction when none is
	FirstOffset      int64  // of the open one, -1 when none is
	CoordinatorEpoch int32  // of the last marker, -1 before the first
}

// Transactions returns what the partition knows of a producer's transactions.
func (s *State) Transactions(id PartitionID, producerID int64) ProducerTransactions {
	p := s.partition(id)
	if p == nil {
		return (*producer)(nil).publicTransactions()
	}
	return p.producer(producerID).publicTransactions()
}

func (p *producer) publicTransactions() ProducerTransactions {
	if p == nil || p.transactions == nil {
		return ProducerTransactions{FirstOffset: -1, CoordinatorEpoch: noCoordinator}
	}
	t := p.transactions
	out := ProducerTransactions{Ended: t.ended, Open: t.open, FirstOffset: t.first, CoordinatorEpoch: t.coordinator}
	if t.open == NoTransaction {
		out.FirstOffset = -1
	}
	return out
}
