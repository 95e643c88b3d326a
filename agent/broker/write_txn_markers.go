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

// hanging is a partition in which a transaction is to be aborted, and what its shard knows of that.
type hanging struct {
	place
	answer   *int16
	open     uint64
	producer shard.ProducerState
	err      error
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
				list = append(list, hanging{place: at, answer: &answer.ErrorCode})
				shards[at.shard] = true
			}
		}
	}
	if len(list) == 0 {
		return out
	}
	// First the shards, then who the producer is: a transaction that is open there has begun before it was
	// seen, so whoever is read after that knows of it, if anybody does.
	err := b.confirmShards(ctx, shards)
	for i := range list {
		h := &list[i]
		h.err = b.viewShard(h.shard, func(s *shard.State) {
			h.open, h.producer = s.Transactions(h.id, m.ProducerID).Open, s.Producer(h.id, m.ProducerID)
		})
	}
	var owner *stored.Transaction
	if err == nil {
		owner, err = b.deps.Transactions.OfProducer(ctx, m.ProducerID)
	}
	for _, h := range list {
		code := codeOf(err)
		if err == nil {
			code = b.abortHanging(m, h, owner)
		}
		*h.answer = code
	}
	return out
}

// abortHanging writes the marker of one partition if there is a transaction to abort. owner is the
// id that the producer belongs to, nil for none.
func (b *Broker) abortHanging(m *kmsg.WriteTxnMarkersRequestMarker, h hanging, owner *stored.Transaction) int16 {
	switch {
	case h.err != nil:
		return codeOf(h.err)
	case h.open == shard.NoTransaction:
		return wire.CodeNone
	case h.producer.Known && h.producer.Epoch > m.ProducerEpoch:
		return wire.CodeInvalidProducerEpoch
	case owner != nil && owner.Number == h.open && (owner.Status == stored.Ongoing || owner.Status.Prepared()):
		return wire.CodeTransactionCoordinatorFenced
	}
	effect := shard.AppendMarker(nil, shard.Marker{Producer: m.ProducerID, Transaction: h.open, Epoch: m.ProducerEpoch,
		CoordinatorEpoch: max(0, m.CoordinatorEpoch), Timestamp: max(0, b.now()), Partitions: []shard.PartitionID{h.id}})
	_, err := b.deps.Writer.Append(b.deps.Term, []metastore.Draft{{Journal: metastore.ShardJournal(h.shard), Effects: effect}})
	if err == nil {
		b.deps.Log.Info("a hanging transaction was aborted", "producer", m.ProducerID, "epoch", m.ProducerEpoch, "partition", h.id)
	}
	return codeOf(err)
}
