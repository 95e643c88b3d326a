package broker

import (
	"context"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	stored "github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
)

// ListTransactions, versions 0–2 (KIP-664; by duration from 1 on, by pattern from 2 on): the transactional ids that
// this agent coordinates.
//
// What differs from Apache Kafka: ids come in their order; the pattern is one of Go's regular expressions, which
// are RE2's; the duration of what is complete counts from its end, which is kept, and not from its beginning.

func (b *Broker) handleListTransactions(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ListTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	pattern, err := regexp.Compile("^(?:" + orEmpty(req.TransactionalIDPattern) + ")$")
	if err != nil {
		resp.ErrorCode = wire.CodeInvalidRegularExpression
		return wire.Answer{Message: resp}
	}
	for _, name := range req.StateFilters {
		if !isTransactionState(name) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	now := b.now()
	list, err := b.deps.Transactions.List(ctx, func(t *stored.Transaction) bool {
		return (len(req.StateFilters) == 0 || slices.Contains(req.StateFilters, t.Status.String())) &&
			(len(req.ProducerIDFilters) == 0 || slices.Contains(req.ProducerIDFilters, t.ProducerID)) &&
			(req.DurationFilterMillis < 0 || req.Version < 1 || now-since(t) > req.DurationFilterMillis) &&
			(orEmpty(req.TransactionalIDPattern) == "" || pattern.MatchString(t.ID))
	})
	if err != nil {
		resp.ErrorCode = codeOf(err)
		return wire.Answer{Message: resp}
	}
	for _, t := range list {
		out := kmsg.NewListTransactionsResponseTransactionState()
		out.TransactionalID, out.ProducerID, out.TransactionState = t.ID, t.ProducerID, t.Status.String()
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return wire.Answer{Message: resp}
}

// since is when an id's last transaction began, as far as that is known; −1, as in Kafka, if it never had one.
func since(t *stored.Transaction) int64 {
	if t.Status == stored.CompleteCommit || t.Status == stored.CompleteAbort {
		return t.Updated
	}
	return t.Started
}

// isTransactionState tells whether a name is one of Kafka's states.
func isTransactionState(name string) bool {
	for s := stored.Empty; s <= stored.CompleteAbort; s++ {
		if s.String() == name {
			return true
		}
	}
	return name == "Dead" || name == "PrepareEpochFence" // which ids here are never in
}
