package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	stored "github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
)

// WriteTxnMarkers, versions 1–2: an admin aborts a transaction that hangs in partitions (KIP-664).
//
// What differs from Apache Kafka: coordinators here don't send it, so it is for what no transactional id
// knows of. A transaction that one does know of is refused with TRANSACTION_COORDINATOR_FENCED, and a
// marker that commits with INVALID_REQUEST; where nothing is open, nothing is written. Any agent takes it.

func (b *Broker) handleWriteTxnMarkers(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.WriteTxnMarkersRequest)
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for i := range req.Markers {
		resp.Markers = append(resp.Markers, b.writeMarker(ctx, &req.Markers[i]))
	}
	return wire.Answer{Message: resp}
}

// hanging is a partition in which a transaction is to be aborted.
type hanging struct {
	place
	answer *int16
}

func (b *Broker) writeMarker(ctx context.Context, m *kmsg.WriteTxnMarkersRequestMarker) kmsg.WriteTxnMarkersResponseMarker {
	out := kmsg.NewWriteTxnMarkersResponseMarker()
	out.ProducerID = m.ProducerID
	whole := b.confirmCatalog(ctx)
	if m.Committed || m.ProducerID < 0 || m.ProducerEpoch < 0 {
		whole = refuse(wire.CodeInvalidRequest, "only the abort of a producer's transaction can be asked for")
	}
	var list []hanging
	shards := map[int]bool{}
	out.Topics = make([]kmsg.WriteTxnMarkersResponseMarkerTopic, len(m.Topics))
	for i, in := range m.Topics {
		topic := b.topic(in.Topic)
		out.Topics[i].Default()
		out.Topics[i].Topic = in.Topic
		out.Topics[i].Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(in.Partitions))
		for j, p := range in.Partitions {
			answer := &out.Topics[i].Partitions[j]
			answer.Default()
			answer.Partition = p
			at, err := b.place(topic, p)
			if whole != nil {
				err = whole
			}
			if answer.ErrorCode = codeOf(err); err == nil {
				list = append(list, hanging{at, &answer.ErrorCode})
				shards[at.shard] = true
			}
		}
	}
	if len(list) == 0 {
		return out
	}
	owner, err := b.deps.Transactions.OfProducer(ctx, m.ProducerID)
	if err == nil {
		err = b.confirmShards(ctx, shards)
	}
	for _, h := range list {
		code := codeOf(err)
		if err == nil {
			code = b.abortHanging(m, h.place, owner)
		}
		*h.answer = code
	}
	return out
}

// abortHanging writes the marker of one partition if there is a transaction to abort. owner is the
// id that the producer belongs to, nil for none.
func (b *Broker) abortHanging(m *kmsg.WriteTxnMarkersRequestMarker, p place, owner *stored.Transaction) int16 {
	var open uint64
	var producer shard.ProducerState
	if err := b.viewShard(p.shard, func(s *shard.State) {
		open, producer = s.Transactions(p.id, m.ProducerID).Open, s.Producer(p.id, m.ProducerID)
	}); err != nil {
		return codeOf(err)
	}
	switch {
	case open == shard.NoTransaction:
		return wire.CodeNone
	case producer.Known && producer.Epoch > m.ProducerEpoch:
		return wire.CodeInvalidProducerEpoch
	case owner != nil && owner.Number == open && (owner.Status == stored.Ongoing || owner.Status.Prepared()):
		return wire.CodeTransactionCoordinatorFenced
	}
	effect := shard.AppendMarker(nil, shard.Marker{Producer: m.ProducerID, Transaction: open, Epoch: m.ProducerEpoch,
		CoordinatorEpoch: max(0, m.CoordinatorEpoch), Timestamp: max(0, b.now()), Partitions: []shard.PartitionID{p.id}})
	_, err := b.deps.Writer.Append(b.deps.Term, []metastore.Draft{{Journal: metastore.ShardJournal(p.shard), Effects: effect}})
	if err == nil {
		b.deps.Log.Info("a hanging transaction was aborted", "producer", m.ProducerID, "epoch", m.ProducerEpoch, "partition", p.id)
	}
	return codeOf(err)
}
