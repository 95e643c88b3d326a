package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
)

// Produce of transactional batches. The first batch of a producer in a partition waits until the
// transactions journal is known to have the partition in its transaction (GUARDS 14): from version 12 on
// (KIP-890) it adds it, and begins the transaction; before, AddPartitionsToTxn must have done so.

// The first versions of Produce in which something is so.
const (
	produceVersionAbortable = 11 // what was not added is TRANSACTION_ABORTABLE
	produceVersionAdds      = 12
)

// enterWaitMax bounds the wait of a produce for the end of its producer's transaction before. The
// connection is closed after it: what follows on it must not overtake (GUARDS 9).
const enterWaitMax = 30 * time.Second

// enter gives the transactional batches the number of their transaction, or refuses them.
func (p *produce) enter(ctx context.Context) {
	i := slices.IndexFunc(p.batches, func(b ingest.Batch) bool { return b.Header.Transactional() })
	if i < 0 {
		return
	}
	h := p.batches[i].Header
	mixed := func(b ingest.Batch) bool {
		return b.Header.Transactional() && (b.Header.ProducerID != h.ProducerID || b.Header.ProducerEpoch != h.ProducerEpoch)
	}
	switch {
	case p.req.TransactionID == nil || *p.req.TransactionID == "":
		p.refuseEach(all, refuse(wire.CodeTransactionalIDAuthorizationFailed, "A request with transactional batches names their transactional id."))
		return
	case slices.ContainsFunc(p.batches, mixed):
		p.refuseEach(all, refuse(wire.CodeInvalidProducerIDMapping, "Transactional records contained more than one producer ID"))
		return
	}
	stage := p.traceEnter()
	number, err := p.b.deps.Transactions.Enter(ctx, transaction.Entry{
		ID: *p.req.TransactionID, ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, Topics: p.entered(),
		Version2: p.req.Version >= produceVersionAdds, Verify: p.req.Version < produceVersionAdds, Wait: enterWaitMax,
	})
	p.traceEntered(stage, err)
	if err != nil {
		if code := p.entryCode(err); code != wire.CodeNone {
			p.refuseEach(transactional, refuse(code, "%v", err))
		} else {
			p.closeErr = err // The next batch on this connection must not go on without this one (GUARDS 9).
		}
		return
	}
	for i := range p.batches {
		if p.batches[i].Header.Transactional() {
			p.batches[i].Transaction = number
		}
	}
}

func all(ingest.Batch) bool             { return true }
func transactional(b ingest.Batch) bool { return b.Header.Transactional() }

// entered are the partitions of the transactional batches.
func (p *produce) entered() []stored.Topic {
	byTopic := map[uint64]*stored.Topic{}
	var topics []stored.Topic
	p.b.viewCatalog(func(s *catalog.State) {
		for i := range p.batches {
			b := &p.batches[i]
			if !b.Header.Transactional() {
				continue
			}
			t := byTopic[b.Partition.Topic]
			if t == nil {
				t = &stored.Topic{Number: b.Partition.Topic}
				if known := s.ByNumber(b.Partition.Topic); known != nil {
					t.FirstShard = known.FirstShard
				} else {
					// Deleted just now; its shard tells where it began.
					t.FirstShard = int32((b.Shard + p.b.cfg.Shards - int(b.Partition.Index)%p.b.cfg.Shards) % p.b.cfg.Shards)
				}
				byTopic[b.Partition.Topic] = t
			}
			t.Partitions = append(t.Partitions, b.Partition.Index)
		}
	})
	for _, t := range byTopic {
		topics = append(topics, *t)
	}
	return ordered(topics)
}

// ordered orders topics and their partitions, each once.
func ordered(topics []stored.Topic) []stored.Topic {
	slices.SortFunc(topics, func(a, b stored.Topic) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
	for i := range topics {
		slices.Sort(topics[i].Partitions)
		topics[i].Partitions = slices.Compact(topics[i].Partitions)
	}
	return topics
}

// entryCode is what a batch is refused with that is in no transaction; none where only closing the
// connection is truthful.
func (p *produce) entryCode(err error) int16 {
	switch {
	case errors.Is(err, transaction.ErrFenced):
		return wire.CodeInvalidProducerEpoch
	case errors.Is(err, transaction.ErrUnknownID):
		return wire.CodeInvalidProducerIDMapping
	case errors.Is(err, transaction.ErrNotAdded), errors.Is(err, transaction.ErrTooLarge):
		return p.notInTransaction()
	}
	return wire.CodeNone
}

func (p *produce) notInTransaction() int16 {
	if p.req.Version >= produceVersionAbortable {
		return wire.CodeTransactionAbortable
	}
	return wire.CodeInvalidTxnState
}

// refuseEach refuses the batches that which holds for, and leaves the others.
func (p *produce) refuseEach(which func(ingest.Batch) bool, err error) {
	batches, places := p.batches[:0], p.places[:0]
	for i, b := range p.batches {
		if which(b) {
			p.refuse(p.places[i], err)
			continue
		}
		batches, places = append(batches, b), append(places, p.places[i])
	}
	clear(p.batches[len(batches):])
	clear(p.places[len(places):])
	p.batches, p.places = batches, places
}

// endedCode refines what a batch is refused with whose transaction has ended: where the producer has been
// given another epoch since, it is that.
func (p *produce) endedCode(ctx context.Context, b *ingest.Batch) int16 {
	if p.req.TransactionID != nil && p.b.deps.Transactions.Epoch(ctx, *p.req.TransactionID, b.Header.ProducerID) > b.Header.ProducerEpoch {
		return wire.CodeInvalidProducerEpoch
	}
	return p.notInTransaction()
}
