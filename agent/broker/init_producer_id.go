package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// InitProducerId, versions 0–5.
//
// Answers a producer id that nobody else has ever had, with epoch 0. As in Kafka, a
// producer without a transactional id gets a new id whatever id and epoch it names:
// it bumps its epoch itself (KIP-360) and comes back when that is exhausted. Ids
// come from blocks that a strict append to the catalog reserves; the rest of a
// block is lost with the term.
//
// A transactional id gets its producer id and the next epoch, which fences whoever had it. A transaction
// that is ongoing is aborted, and the answer is CONCURRENT_TRANSACTIONS: the client tries again.
//
// No differences from Apache Kafka.

// initFencedVersionMin is the first version that knows PRODUCER_FENCED.
const initFencedVersionMin = 4

// producerIDsBlock is how many ids one append reserves, as in Apache Kafka.
const producerIDsBlock = 1000

// producerIDs hands out the ids of a block.
type producerIDs struct {
	reserving chan struct{} // holds a token while nobody reserves a block
	mu        struct {
		sync.Mutex
		next, end int64
	}
}

func (p *producerIDs) init() {
	p.reserving = make(chan struct{}, 1)
	p.reserving <- struct{}{}
}

// take returns the next id of the block, false when it is used up.
func (p *producerIDs) take() (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.next >= p.mu.end {
		return 0, false
	}
	p.mu.next++
	return p.mu.next - 1, true
}

func (b *Broker) handleInitProducerID(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.InitProducerIDRequest)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	id, epoch, err := b.initProducerID(ctx, req)
	if err != nil {
		resp.ErrorCode = fencedCode(err, req.Version >= initFencedVersionMin)
	} else {
		resp.ProducerID, resp.ProducerEpoch = id, epoch
	}
	return wire.Answer{Message: resp}
}

// fencedCode is an error's code for a client that knows PRODUCER_FENCED, or doesn't.
func fencedCode(err error, known bool) int16 {
	code := codeOf(err)
	if code == wire.CodeProducerFenced && !known {
		return wire.CodeInvalidProducerEpoch
	}
	return code
}

func (b *Broker) initProducerID(ctx context.Context, req *kmsg.InitProducerIDRequest) (id int64, epoch int16, err error) {
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "":
		return 0, 0, refuse(wire.CodeInvalidRequest, "the transactional id is empty")
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		return 0, 0, refuse(wire.CodeInvalidRequest, "producer id %d with epoch %d", req.ProducerID, req.ProducerEpoch)
	case req.TransactionalID != nil:
		a, err := b.deps.Transactions.Init(ctx, transaction.Init{
			ID: *req.TransactionalID, Timeout: time.Duration(req.TransactionTimeoutMillis) * time.Millisecond,
			ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, NewID: b.nextProducerID,
		})
		return a.ProducerID, a.Epoch, err
	}
	id, err = b.nextProducerID(ctx)
	if err != nil {
		b.tellFailed("producer ids could not be reserved", err)
		return 0, 0, refuse(wire.CodeCoordinatorLoadInProgress, "%v", err) // as in Kafka: clients try again
	}
	return id, 0, nil
}

func (b *Broker) nextProducerID(ctx context.Context) (int64, error) {
	p := &b.producers
	if id, ok := p.take(); ok {
		return id, nil
	}
	select {
	case <-p.reserving:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { p.reserving <- struct{}{} }()
	if id, ok := p.take(); ok {
		return id, nil // reserved while we waited
	}
	landed, err := b.change(ctx, func(*catalog.State) []metastore.Draft {
		return []metastore.Draft{{Journal: metastore.CatalogJournal, Effects: catalog.AppendProducerIDs(nil, producerIDsBlock)}}
	})
	if err != nil {
		return 0, err
	}
	first, err := firstProducerID(landed)
	if err != nil {
		return 0, err
	}
	// Reserved for good. If we die here, nobody gets these ids.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.next, p.mu.end = first+1, first+producerIDsBlock
	return first, nil
}

func firstProducerID(landed *metastore.Landed) (int64, error) {
	if len(landed.Parts) != 1 || len(landed.Parts[0].Outcomes) != 1 {
		return 0, errors.New("the append of producer ids came to nothing: a bug")
	}
	first, ok := landed.Parts[0].Outcomes[0].(int64)
	if !ok {
		return 0, fmt.Errorf("the append of producer ids came to %T: a bug", landed.Parts[0].Outcomes[0])
	}
	return first, nil
}
