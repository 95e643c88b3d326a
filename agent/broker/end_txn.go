package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/wire"
)

// EndTxn, versions 0–5: commit or abort a transaction.
//
// The answer comes when the decision stands. From version 5 on (KIP-890) each end raises the
// producer's epoch, also that of a transaction which nothing was added to, and the answer tells it.
//
// What differs from Apache Kafka: mostly the markers stand with the decision, so that readers of committed
// records have them before the producer has its answer. Where they don't, and the producer aborts its next
// transaction before anything of it got here, that is CONCURRENT_TRANSACTIONS for a moment, not PRODUCER_FENCED.

// The first versions of EndTxn in which something is so.
const (
	endFencedVersionMin = 2 // PRODUCER_FENCED is known
	endBumpsVersionMin  = 5
)

func (b *Broker) handleEndTxn(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.EndTxnRequest)
	resp := req.ResponseKind().(*kmsg.EndTxnResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID == "" {
		resp.ErrorCode = wire.CodeInvalidRequest
		return wire.Answer{Message: resp}
	}
	a, err := b.deps.Transactions.End(ctx, transaction.End{
		ID: req.TransactionalID, ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, Commit: req.Commit,
		Version2: req.Version >= endBumpsVersionMin, NewID: b.nextProducerID,
	})
	if err != nil {
		resp.ErrorCode = fencedCode(err, req.Version >= endFencedVersionMin)
		return wire.Answer{Message: resp}
	}
	resp.ProducerID, resp.ProducerEpoch = a.ProducerID, a.Epoch
	return wire.Answer{Message: resp}
}
