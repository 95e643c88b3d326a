package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/wire"
)

// AddOffsetsToTxn, versions 0–4: a group takes part in a transaction, whose offsets TxnOffsetCommit then brings.
//
// What differs from Apache Kafka: where the transaction before is still being ended, the request waits for it, up
// to addWaitMax, before it gets CONCURRENT_TRANSACTIONS.

// addFencedVersionMin is the first version of AddOffsetsToTxn and AddPartitionsToTxn that
// knows PRODUCER_FENCED.
const addFencedVersionMin = 2

// addWaitMax bounds the wait for the end of the producer's transaction before.
const addWaitMax = time.Second

func (b *Broker) handleAddOffsetsToTxn(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.AddOffsetsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	switch {
	case req.TransactionalID == "":
		resp.ErrorCode = wire.CodeInvalidRequest
		return wire.Answer{Message: resp}
	case req.Group == "":
		resp.ErrorCode = wire.CodeInvalidGroupID
		return wire.Answer{Message: resp}
	}
	err := b.deps.Transactions.EnterOwned(ctx, transaction.Entry{
		ID: req.TransactionalID, ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, Groups: []string{req.Group}, Wait: addWaitMax,
	})
	resp.ErrorCode = fencedCode(err, req.Version >= addFencedVersionMin)
	return wire.Answer{Message: resp}
}
