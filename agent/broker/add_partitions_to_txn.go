package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
)

// AddPartitionsToTxn, versions 0–5 (several transactions, and verification, from 4 on): partitions take part in a
// transaction, and begin it.
//
// All of a transaction's partitions are added or none is.
//
// What differs from Apache Kafka: where the transaction before is still being ended, the request waits for it, up
// to addWaitMax, before it gets CONCURRENT_TRANSACTIONS. Versions 4 and 5, which brokers send, are answered to anybody.

// The first versions of AddPartitionsToTxn in which something is so.
const (
	addSeveralVersionMin  = 4
	addVersion2VersionMin = 5 // KIP-890: an epoch has one transaction
)

// txnPartitions are the partitions of a request's topic.
type txnPartitions struct {
	name       string
	partitions []int32
}

func (b *Broker) handleAddPartitionsToTxn(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.AddPartitionsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version < addSeveralVersionMin {
		asked := make([]txnPartitions, len(req.Topics))
		for i, t := range req.Topics {
			asked[i] = txnPartitions{t.Topic, t.Partitions}
		}
		codes := b.addPartitions(ctx, transaction.Entry{ID: req.TransactionalID, ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, Wait: addWaitMax}, req.Version, asked)
		for i, t := range asked {
			out := kmsg.NewAddPartitionsToTxnResponseTopic()
			out.Topic = t.name
			for j, p := range t.partitions {
				out.Partitions = append(out.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p, ErrorCode: codes[i][j]})
			}
			resp.Topics = append(resp.Topics, out)
		}
		return wire.Answer{Message: resp}
	}
	for _, tx := range req.Transactions {
		asked := make([]txnPartitions, len(tx.Topics))
		for i, t := range tx.Topics {
			asked[i] = txnPartitions{t.Topic, t.Partitions}
		}
		e := transaction.Entry{ID: tx.TransactionalID, ProducerID: tx.ProducerID, Epoch: tx.ProducerEpoch,
			Version2: req.Version >= addVersion2VersionMin, Verify: tx.VerifyOnly, Wait: addWaitMax}
		codes := b.addPartitions(ctx, e, req.Version, asked)
		out := kmsg.NewAddPartitionsToTxnResponseTransaction()
		out.TransactionalID = tx.TransactionalID
		for i, t := range asked {
			topic := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
			topic.Topic = t.name
			for j, p := range t.partitions {
				topic.Partitions = append(topic.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: p, ErrorCode: codes[i][j]})
			}
			out.Topics = append(out.Topics, topic)
		}
		resp.Transactions = append(resp.Transactions, out)
	}
	return wire.Answer{Message: resp}
}

// addPartitions adds partitions to a transaction, or verifies them, and returns their codes.
func (b *Broker) addPartitions(ctx context.Context, e transaction.Entry, version int16, asked []txnPartitions) [][]int16 {
	codes := make([][]int16, len(asked))
	for i := range asked {
		codes[i] = make([]int16, len(asked[i].partitions))
	}
	every := func(code int16) [][]int16 {
		for i := range codes {
			for j := range codes[i] {
				codes[i][j] = code
			}
		}
		return codes
	}
	if e.ID == "" {
		return every(wire.CodeInvalidRequest)
	}
	unknown, topics := b.txnTopics(asked)
	if unknown != nil {
		if err := b.confirmCatalog(ctx); err != nil {
			return every(wire.CodeCoordinatorNotAvailable)
		}
		unknown, topics = b.txnTopics(asked)
	}
	if unknown != nil {
		every(wire.CodeOperationNotAttempted)
		for i := range unknown {
			for j := range unknown[i] {
				if unknown[i][j] {
					codes[i][j] = wire.CodeUnknownTopicOrPartition
				}
			}
		}
		return codes
	}
	if len(topics) == 0 {
		return codes
	}
	if e.Verify {
		return b.verifyPartitions(ctx, e, asked, codes, every)
	}
	e.Topics = ordered(topics)
	return every(fencedCode(b.deps.Transactions.EnterOwned(ctx, e), version >= addFencedVersionMin))
}

// verifyPartitions says of each partition whether it is in the transaction.
func (b *Broker) verifyPartitions(ctx context.Context, e transaction.Entry, asked []txnPartitions, codes [][]int16, every func(int16) [][]int16) [][]int16 {
	t, err := b.deps.Transactions.Describe(ctx, e.ID)
	if err == nil {
		err = e.Check(t)
	}
	if codeOf(err) == wire.CodeTransactionalIDNotFound {
		return every(wire.CodeInvalidProducerIDMapping)
	}
	if err != nil {
		return every(codeOf(err))
	}
	b.viewCatalog(func(s *catalog.State) {
		for i, in := range asked {
			topic := s.Topic(in.name)
			for j, p := range in.partitions {
				if topic == nil || t.Status != stored.Ongoing || !t.Has(topic.Number, p) {
					codes[i][j] = wire.CodeTransactionAbortable
				}
			}
		}
	})
	return codes
}

// txnTopics resolves topics by their names. unknown says of each partition whether there is none
// such; nil: there are all.
func (b *Broker) txnTopics(asked []txnPartitions) (unknown [][]bool, topics []stored.Topic) {
	byNumber := map[uint64]int{}
	b.viewCatalog(func(s *catalog.State) {
		for i, in := range asked {
			t := s.Topic(in.name)
			for j, p := range in.partitions {
				if t == nil || p < 0 || p >= t.Partitions {
					if unknown == nil {
						unknown = make([][]bool, len(asked))
						for k := range asked {
							unknown[k] = make([]bool, len(asked[k].partitions))
						}
					}
					unknown[i][j] = true
					continue
				}
				at, ok := byNumber[t.Number]
				if !ok {
					at = len(topics)
					byNumber[t.Number] = at
					topics = append(topics, stored.Topic{Number: t.Number, FirstShard: t.FirstShard})
				}
				topics[at].Partitions = append(topics[at].Partitions, p)
			}
		}
	})
	return unknown, topics
}
