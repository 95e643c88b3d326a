package shard

import (
	"cmp"
	"math"
	"slices"
)

// NoProducer is the producer id of a batch without one.
const NoProducer = -1

// noSequence is the last sequence of a producer of whose epoch nothing has stood.
const noSequence = -1

// windowBatches is how many of a producer's last batches a partition remembers, as
// Kafka does. Part of the frozen rules.
const windowBatches = 5

// producer is the state of a (partition, producer).
type producer struct {
	touched      int64 // ms; the latest writer's clock among the entries that changed it
	last         int32 // the last sequence, or noSequence
	epoch        int16
	windowEpoch  int16 // of the batches in window: a fence raises epoch and keeps them
	known        bool  // else there are its transactions only: no batch and no fence has stood
	closed       bool
	batches      uint8
	transactions *transactions              // nil: never had any
	window       [windowBatches]windowBatch // the first batches of it, oldest first
}

// windowBatch is one of the last batches of a producer.
type windowBatch struct {
	first, last   int32
	base          int64
	logAppendTime int64 // ms, -1 when the batch has its creator's time
}

// NextSequence returns the sequence after s: 0 after 2³¹−1.
func NextSequence(s int32) int32 { return (s + 1) & math.MaxInt32 }

// LastSequence returns the last of count sequences that begin with first.
func LastSequence(first, count int32) int32 { return (first + count - 1) & math.MaxInt32 }

// ProducerState is what is known of a producer in a partition, but for its window.
// The zero value is an unknown producer.
type ProducerState struct {
	Known  bool
	Epoch  int16
	Last   int32 // the last sequence, -1 when nothing of this epoch stood
	Closed bool  // by a fence: nothing of this epoch stands any more
}

// Accept says whether a batch stands that begins with sequence first (GUARDS 3).
// Frozen: replicas fold old entries by it.
func Accept(s ProducerState, epoch int16, first int32) bool {
	switch {
	case !s.Known || epoch > s.Epoch:
		return first == 0
	case epoch == s.Epoch:
		return !s.Closed && first == NextSequence(s.Last)
	}
	return false
}

// Stood returns the state after a batch that was accepted.
func (s ProducerState) Stood(epoch int16, first, count int32) ProducerState {
	return ProducerState{Known: true, Epoch: epoch, Last: LastSequence(first, count)}
}

// Verdict is what holds for a batch on some state.
type Verdict uint8

// The verdicts, in the order in which they are looked for (GUARDS 6, 7).
const (
	PartitionClosed  Verdict = iota // or unknown
	Duplicate                       // it has stood: its first offset is known
	StaleEpoch                      // lower than the producer's
	Behind                          // it, or a batch over it, stood longer ago than the window
	Closed                          // its epoch was fenced
	TransactionEnded                // its transaction has ended here: it can't stand under that number
	TransactionOpen                 // it is of no transaction, and its producer has one open here
	Accepted                        // it would stand
	Gap                             // its predecessor may be in another agent's hands
)

func (v Verdict) String() string {
	names := [...]string{"partition closed", "duplicate", "stale epoch", "behind", "closed", "transaction ended", "transaction open", "accepted", "gap"}
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown verdict"
}

// Judge is State.Judge without the window: for states that add the agent's own
// appends in flight, where a duplicate is Behind.
func (s ProducerState) Judge(epoch int16, first int32) Verdict {
	if s.Known && epoch < s.Epoch {
		return StaleEpoch
	}
	if s.Known && epoch == s.Epoch {
		if s.Last != noSequence && (s.Last-first)&math.MaxInt32 < 1<<30 {
			return Behind
		}
		if s.Closed {
			return Closed
		}
	}
	if Accept(s, epoch, first) {
		return Accepted
	}
	return Gap
}

// Judgement is a verdict and, for a Duplicate, where its batch stands.
type Judgement struct {
	Verdict    Verdict
	BaseOffset int64
	Timestamp  int64 // its log append time in ms, -1 when it has its creator's time
}

// Judge says what holds for a batch of sequences first to last, in a transaction or in
// none, on the folded state (GUARDS 6). A batch without producer id is Accepted by any open partition.
func (s *State) Judge(id PartitionID, producerID int64, epoch int16, first, last int32, transaction uint64) Judgement {
	p := s.partition(id)
	if p == nil {
		return Judgement{Verdict: PartitionClosed}
	}
	if producerID < 0 {
		return Judgement{Verdict: Accepted}
	}
	state := p.producer(producerID)
	if state != nil && epoch == state.windowEpoch {
		for i := state.batches; i > 0; i-- {
			if b := &state.window[i-1]; b.first == first && b.last == last {
				return Judgement{Verdict: Duplicate, BaseOffset: b.base, Timestamp: b.logAppendTime}
			}
		}
	}
	v := state.public().Judge(epoch, first)
	if v == Accepted || v == Gap {
		switch {
		case transaction != NoTransaction && transaction <= state.ended():
			v = TransactionEnded
		case transaction == NoTransaction && state.open() != NoTransaction:
			v = TransactionOpen
		}
	}
	return Judgement{Verdict: v}
}

// Producer returns what is known of a producer: what a fence or forget of it
// expects, and what its next batches are decided on. It is unknown in a closed partition.
func (s *State) Producer(id PartitionID, producerID int64) ProducerState {
	p := s.partition(id)
	if p == nil {
		return ProducerState{}
	}
	return p.producer(producerID).public()
}

// public returns the exported state; p may be nil.
func (p *producer) public() ProducerState {
	if p == nil || !p.known {
		return ProducerState{}
	}
	return ProducerState{Known: true, Epoch: p.epoch, Last: p.last, Closed: p.closed}
}

// stood changes the state by a batch that was accepted.
func (p *producer) stood(epoch int16, b windowBatch, time int64) {
	p.known = true
	if epoch != p.epoch || p.batches == 0 {
		p.batches = 0
		p.epoch, p.windowEpoch = epoch, epoch
	}
	if p.batches == windowBatches {
		copy(p.window[:], p.window[1:])
		p.batches--
	}
	p.window[p.batches] = b
	p.batches++
	p.last = b.last
	p.closed = false
	p.touched = max(p.touched, time)
}

// Expired is a producer that may be forgotten.
type Expired struct {
	Partition PartitionID
	Producer  int64
	State     ProducerState
	Touched   int64  // ms; the latest writer's clock among the entries that changed it
	Ended     uint64 // the highest transaction that ended
}

// ExpiredAfter is the place of a walk over the producers; zero at its begin.
type ExpiredAfter struct {
	Partition PartitionID
	Producer  int64
	begun     bool
}

// ExpiredProducers returns up to resultsMax producers that no entry has touched
// since before (ms, writers' clocks), looking at up to visitedMax, in order, from after on.
// Those with an open transaction are none. They are candidates: who forgets them judges by the database's clock. done says
// that the walk has come to its end.
func (s *State) ExpiredProducers(after ExpiredAfter, before int64, resultsMax, visitedMax int) (found []Expired, next ExpiredAfter, done bool) {
	next = after
	for _, t := range s.sorted() {
		if after.begun && t.number < after.Partition.Topic {
			continue
		}
		i := 0
		if after.begun && t.number == after.Partition.Topic {
			i, _ = t.search(after.Partition.Index)
		}
		for _, p := range t.partitions[i:] {
			j := 0
			if after.begun && p.id == after.Partition {
				j, _ = slices.BinarySearchFunc(p.producers, after.Producer, func(s producerSlot, id int64) int {
					return cmp.Or(cmp.Compare(s.id, id), -1)
				})
			}
			for _, slot := range p.producers[j:] {
				if len(found) == resultsMax || visitedMax == 0 {
					return found, next, false
				}
				visitedMax--
				next = ExpiredAfter{p.id, slot.id, true}
				if slot.state.touched < before && slot.state.open() == NoTransaction {
					found = append(found, Expired{p.id, slot.id, slot.state.public(), slot.state.touched, slot.state.ended()})
				}
			}
		}
	}
	return found, next, true
}
