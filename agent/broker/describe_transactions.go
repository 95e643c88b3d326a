package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
)

// DescribeTransactions, version 0 (KIP-664): the state of transactional ids, by their coordinator.
//
// What differs from Apache Kafka: groups that take part aren't shown as partitions of __consumer_offsets, since
// there is no such topic; a topic that was deleted meanwhile is left out.

func (b *Broker) handleDescribeTransactions(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DescribeTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range req.TransactionalIDs {
		out := kmsg.NewDescribeTransactionsResponseTransactionState()
		out.TransactionalID = id
		if t, err := b.describeTransaction(ctx, id); err != nil {
			out.ErrorCode = codeOf(err)
		} else {
			out.State, out.TimeoutMillis, out.StartTimestamp = t.Status.String(), t.TimeoutMs, t.Started
			out.ProducerID, out.ProducerEpoch = t.ProducerID, t.Epoch
			out.Topics = b.transactionTopics(t)
		}
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return wire.Answer{Message: resp}
}

func (b *Broker) describeTransaction(ctx context.Context, id string) (*stored.Transaction, error) {
	if id == "" {
		return nil, refuse(wire.CodeInvalidRequest, "the transactional id is empty")
	}
	return b.deps.Transactions.Describe(ctx, id)
}

// transactionTopics are the partitions of a transaction, by their topics' names.
func (b *Broker) transactionTopics(t *stored.Transaction) (topics []kmsg.DescribeTransactionsResponseTransactionStateTopic) {
	b.viewCatalog(func(s *catalog.State) {
		for _, in := range t.Topics {
			if topic := s.ByNumber(in.Number); topic != nil {
				out := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
				out.Topic, out.Partitions = topic.Name, in.Partitions
				topics = append(topics, out)
			}
		}
	})
	return topics
}
