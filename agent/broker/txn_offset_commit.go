package broker

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// TxnOffsetCommit, versions 0–5: offsets that a transaction commits with itself. From version 5
// on (KIP-890) the group takes part in the transaction by it; before, AddOffsetsToTxn must have said so.
//
// What differs from Apache Kafka: where the transaction before is still being ended, the request waits for it, up
// to addWaitMax. REBALANCE_IN_PROGRESS, which producers don't know, is ILLEGAL_GENERATION.

// The first versions of TxnOffsetCommit in which something is so.
const (
	txnCommitAbortableVersionMin = 4 // what was not added is TRANSACTION_ABORTABLE
	txnCommitAddsVersionMin      = 5
)

func (b *Broker) handleTxnOffsetCommit(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.TxnOffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	m := group.Pending{Producer: req.ProducerID, Identity: group.Identity{
		Group: req.Group, Generation: req.Generation, MemberID: req.MemberID, Instance: orEmpty(req.InstanceID)}}
	metadataMax := int(b.cfg.Settings.Int64("offset.metadata.max.bytes"))
	var admitted []*int16
	resp.Topics = make([]kmsg.TxnOffsetCommitResponseTopic, len(req.Topics))
	b.hear(ctx, func(s *catalog.State) bool {
		return slices.ContainsFunc(req.Topics, func(in kmsg.TxnOffsetCommitRequestTopic) bool {
			topic := s.Topic(in.Topic)
			return topic == nil || slices.ContainsFunc(in.Partitions, func(p kmsg.TxnOffsetCommitRequestTopicPartition) bool { return p.Partition >= topic.Partitions })
		})
	})
	b.viewCatalog(func(s *catalog.State) {
		for i := range req.Topics {
			in, out := &req.Topics[i], &resp.Topics[i]
			out.Default()
			out.Topic = in.Topic
			topic := s.Topic(in.Topic)
			out.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(in.Partitions))
			for j := range in.Partitions {
				p, answer := &in.Partitions[j], &out.Partitions[j]
				answer.Default()
				answer.Partition = p.Partition
				switch {
				case topic == nil || p.Partition < 0 || p.Partition >= topic.Partitions:
					answer.ErrorCode = wire.CodeUnknownTopicOrPartition
					continue
				case len(orEmpty(p.Metadata)) > metadataMax:
					answer.ErrorCode = wire.CodeOffsetMetadataTooLarge
					continue
				}
				admitted = append(admitted, &answer.ErrorCode)
				m.Offsets = append(m.Offsets, stored.PlacedOffset{
					Place:  stored.Place{Topic: topic.Number, Partition: p.Partition},
					Offset: stored.Offset{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata)},
				})
			}
		}
	})
	if len(admitted) == 0 {
		return wire.Answer{Message: resp}
	}
	if code := txnCommitCode(b.commitPending(ctx, req, m), req.Version); code != wire.CodeNone {
		for _, answer := range admitted {
			*answer = code
		}
	}
	return wire.Answer{Message: resp}
}

func (b *Broker) commitPending(ctx context.Context, req *kmsg.TxnOffsetCommitRequest, m group.Pending) error {
	switch {
	case req.TransactionalID == "":
		return refuse(wire.CodeInvalidRequest, "the transactional id is empty")
	case req.Group == "":
		return group.ErrInvalidGroupID
	}
	adds := req.Version >= txnCommitAddsVersionMin
	number, err := b.deps.Transactions.Enter(ctx, transaction.Entry{
		ID: req.TransactionalID, ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, Groups: []string{req.Group},
		Version2: adds, Verify: !adds, Wait: addWaitMax,
	})
	if err != nil {
		return err
	}
	m.Transaction = number
	return b.deps.Groups.CommitPending(ctx, m)
}

// txnCommitCode is an error's code in a version of TxnOffsetCommit.
func txnCommitCode(err error, version int16) int16 {
	switch {
	case errors.Is(err, transaction.ErrFenced):
		return wire.CodeInvalidProducerEpoch
	case errors.Is(err, transaction.ErrNotAdded) && version < txnCommitAbortableVersionMin:
		return wire.CodeInvalidTxnState
	case errors.Is(err, transaction.ErrConcurrent) && version < txnCommitAddsVersionMin:
		return wire.CodeCoordinatorNotAvailable
	case errors.Is(err, transaction.ErrNotCoordinator):
		return wire.CodeCoordinatorNotAvailable // It is the group's that was asked.
	case errors.Is(err, group.ErrRebalanceInProgress):
		return wire.CodeIllegalGeneration
	case errors.Is(err, group.ErrTransactionEnded) && version >= txnCommitAddsVersionMin:
		return wire.CodeInvalidProducerEpoch // Its end has raised it.
	}
	return codeOf(err)
}
