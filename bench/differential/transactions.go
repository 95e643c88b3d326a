package main

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// codeConcurrentTransactions is what Kafka answers while it still ends the transaction before.
const codeConcurrentTransactions = 51

// transactional is a producer's transactional id, and who the broker says that it is.
type transactional struct {
	id    string
	who   int64
	epoch int16
}

func (x transactional) initRequest() *kmsg.InitProducerIDRequest {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionalID, r.TransactionTimeoutMillis = kmsg.StringPtr(x.id), 60_000
	return r
}

// transactional initialises an id, quietly.
func (s *session) transactional(id string) transactional {
	x := transactional{id: id}
	response, _ := s.await(4, x.initRequest(), func(r kmsg.Response) bool { return r.(*kmsg.InitProducerIDResponse).ErrorCode == 0 })
	x.who, x.epoch = response.(*kmsg.InitProducerIDResponse).ProducerID, response.(*kmsg.InitProducerIDResponse).ProducerEpoch
	return x
}

// add asks for partitions of a topic, as version 3 does and as versions 4 and 5 do.
func (x transactional) add(topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = x.id, x.who, x.epoch
	t := kmsg.NewAddPartitionsToTxnRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	r.Topics = append(r.Topics, t)
	one := kmsg.NewAddPartitionsToTxnRequestTransaction()
	one.TransactionalID, one.ProducerID, one.ProducerEpoch = x.id, x.who, x.epoch
	in := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
	in.Topic, in.Partitions = topic, partitions
	one.Topics = append(one.Topics, in)
	r.Transactions = append(r.Transactions, one)
	return r
}

// verify only asks whether they are in it.
func (x transactional) verify(topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	r := x.add(topic, partitions...)
	r.Transactions[0].VerifyOnly = true
	return r
}

// added is the code of an answer's first partition, of the version of its request.
func added(r kmsg.Response) int16 {
	a := r.(*kmsg.AddPartitionsToTxnResponse)
	if len(a.Transactions) > 0 && len(a.Transactions[0].Topics) > 0 {
		return a.Transactions[0].Topics[0].Partitions[0].ErrorCode
	}
	if len(a.Topics) > 0 {
		return a.Topics[0].Partitions[0].ErrorCode
	}
	return a.ErrorCode
}

// begin adds partitions, quietly, and waits for the end of the transaction before.
func (s *session) begin(x transactional, topic string, partitions ...int32) {
	s.await(3, x.add(topic, partitions...), func(r kmsg.Response) bool { return added(r) == 0 })
}

func (x transactional) addOffsets(group string) *kmsg.AddOffsetsToTxnRequest {
	r := kmsg.NewPtrAddOffsetsToTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = x.id, x.who, x.epoch, group
	return r
}

func (x transactional) end(commit bool) *kmsg.EndTxnRequest {
	r := kmsg.NewPtrEndTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = x.id, x.who, x.epoch, commit
	return r
}

// ended waits until an end is complete, and tells who the producer is then.
func (s *session) ended(x transactional, version int16, commit bool) transactional {
	response, _ := s.await(version, x.end(commit), func(r kmsg.Response) bool { return r.(*kmsg.EndTxnResponse).ErrorCode == 0 })
	if a := response.(*kmsg.EndTxnResponse); version >= 5 && a.ErrorCode == 0 {
		x.who, x.epoch = a.ProducerID, a.ProducerEpoch
	}
	s.await(0, describeTransactions(x.id), func(r kmsg.Response) bool {
		state := r.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].State
		return state == "CompleteCommit" || state == "CompleteAbort" || state == "Empty"
	})
	return x
}

func (x transactional) commitOffset(group, topic string, partition int32, offset int64) *kmsg.TxnOffsetCommitRequest {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group, r.Generation = x.id, x.who, x.epoch, group, -1
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, -1, kmsg.StringPtr("note")
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// produce is a transactional batch from a sequence on. It is of now: markers are, and Kafka would
// begin a new segment between the two, where its fetches end.
func (x transactional) produce(topic string, partition, sequence int32, texts ...string) *kmsg.ProduceRequest {
	r := producing(topic, partition, -1, batchOf{
		records: values(texts...), first: time.Now().UnixMilli(), attributes: 0x10, producer: x.who, epoch: x.epoch, sequence: sequence}.bytes())
	r.TransactionID = kmsg.StringPtr(x.id)
	return r
}

func produced(r kmsg.Response) int16 {
	if a := r.(*kmsg.ProduceResponse); len(a.Topics) > 0 {
		return a.Topics[0].Partitions[0].ErrorCode
	}
	return 0
}

func describeTransactions(ids ...string) *kmsg.DescribeTransactionsRequest {
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = ids
	return r
}

// committed asks for what is committed of a partition.
func (s *session) committed(call, topic string, partition int32) {
	r := fetching(topic, partition, 0)
	r.IsolationLevel = 1
	ask[*kmsg.FetchResponse](s, call, 12, r)
}
