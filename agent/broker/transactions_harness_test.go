package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/batch"
)

// txn is a transactional producer of a test, and who it is told that it is.
type txn struct {
	a     *agent
	id    string
	who   int64
	epoch int16
}

// initTxn initialises an id as a client that expects nothing.
func (a *agent) initTxn(id string) txn {
	a.t.Helper()
	for range 20 {
		if x, code := a.tryInit(4, id, txn{who: -1, epoch: -1}, 60_000); code == 0 {
			return x
		}
	}
	a.t.Fatalf("%s is not initialised", id)
	return txn{}
}

func (a *agent) tryInit(version int16, id string, as txn, timeoutMs int32) (txn, int16) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = version, &id, timeoutMs
	req.ProducerID, req.ProducerEpoch = as.who, as.epoch
	resp := call[*kmsg.InitProducerIDResponse](a, req)
	return txn{a, id, resp.ProducerID, resp.ProducerEpoch}, resp.ErrorCode
}

// at is the producer at another agent.
func (x txn) at(a *agent) txn { return txn{a, x.id, x.who, x.epoch} }

// as is one whose epoch is another.
func (x txn) as(change int16) txn { return txn{x.a, x.id, x.who, x.epoch + change} }

// other is another producer id under the same name.
func (x txn) other() txn { return txn{x.a, x.id, x.who + 1000, x.epoch} }

// add adds partitions of a topic, and returns their codes.
func (x txn) add(version int16, topic string, partitions ...int32) (codes []int16) {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, x.id, x.who, x.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{TransactionalID: x.id, ProducerID: x.who, ProducerEpoch: x.epoch,
		Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}}}}
	resp := call[*kmsg.AddPartitionsToTxnResponse](x.a, req)
	if version < addSeveralVersionMin {
		for _, p := range resp.Topics[0].Partitions {
			codes = append(codes, p.ErrorCode)
		}
		return codes
	}
	for _, p := range resp.Transactions[0].Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
	}
	return codes
}

func (x txn) addGroup(version int16, group string) int16 {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = version, x.id, x.who, x.epoch, group
	return call[*kmsg.AddOffsetsToTxnResponse](x.a, req).ErrorCode
}

func (x txn) commitOffset(version int16, group, topic string, offset int64) int16 {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = version, x.id, x.who, x.epoch, group, -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset, p.LeaderEpoch = offset, -1
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	return call[*kmsg.TxnOffsetCommitResponse](x.a, req).Topics[0].Partitions[0].ErrorCode
}

// end ends the transaction, and returns who the producer is then.
func (x txn) end(version int16, commit bool) (txn, int16) {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = version, x.id, x.who, x.epoch, commit
	resp := call[*kmsg.EndTxnResponse](x.a, req)
	if version >= endBumpsVersionMin && resp.ErrorCode == 0 {
		x.who, x.epoch = resp.ProducerID, resp.ProducerEpoch
	}
	return x, resp.ErrorCode
}

// mustEnd is end that has to be.
func (x txn) mustEnd(version int16, commit bool) txn {
	x.a.t.Helper()
	next, code := x.end(version, commit)
	if code != 0 {
		x.a.t.Fatalf("the end of %s: %d", x.id, code)
	}
	return next
}

// batch is a transactional batch from a sequence on.
func (x txn) batch(sequence int32, values ...string) []byte {
	h := plain()
	h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Attributes = x.who, x.epoch, sequence, 0x10
	return records(h, values...)
}

// produceRequest puts the same batch into each of the partitions.
func (x txn) produceRequest(version int16, topic string, sequence int32, partitions ...int32) *kmsg.ProduceRequest {
	req := produceRequest(version, topic, [16]byte{}, x.batch(sequence, "value"))
	req.TransactionID = &x.id
	for i, p := range partitions {
		if i > 0 {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
		}
		req.Topics[0].Partitions[i].Partition = p
	}
	return req
}

// produce returns the codes of the partitions, together if they are all the same.
func (x txn) produce(version int16, topic string, sequence int32, partitions ...int32) (codes []int16) {
	x.a.t.Helper()
	resp := call[*kmsg.ProduceResponse](x.a, x.produceRequest(version, topic, sequence, partitions...))
	for _, p := range resp.Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
	}
	return slices.Compact(codes)
}

// committed are the values that a reader of committed records gets of partitions.
func (a *agent) committed(topic string, partitions ...int32) (values []string) {
	a.t.Helper()
	a.catchUp()
	for _, p := range partitions {
		values = append(values, a.read(topic, p, 1)...)
	}
	return values
}

// catchUp reads what other agents have appended; nothing is pushed here.
func (a *agent) catchUp() {
	a.t.Helper()
	journals := []metastore.JournalID{metastore.GroupsJournal(0)}
	for i := range testShards {
		journals = append(journals, metastore.ShardJournal(i))
	}
	if err := a.follower.Refresh(a.t.Context(), journals...); err != nil {
		a.t.Fatal(err)
	}
}

// read is what a partition holds for an isolation level. Batches of aborted transactions are left out as clients do.
func (a *agent) read(topic string, partition int32, isolation int8) (values []string) {
	a.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = 12, 50<<20, isolation, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = partition, 50<<20, -1, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got := call[*kmsg.FetchResponse](a, req).Topics[0].Partitions[0]
	if got.ErrorCode != 0 {
		a.t.Fatalf("fetch %s-%d: %d", topic, partition, got.ErrorCode)
	}
	aborted := map[int64]int64{} // of a producer, from an offset on
	for b := got.RecordBatches; len(b) > 0; {
		h, one, rest, err := batch.Next(b)
		if err != nil {
			a.t.Fatal(err)
		}
		b = rest
		for _, x := range got.AbortedTransactions {
			if x.FirstOffset <= h.BaseOffset {
				if _, known := aborted[x.ProducerID]; !known {
					aborted[x.ProducerID] = x.FirstOffset
				}
			}
		}
		if h.Control() {
			delete(aborted, h.ProducerID)
			got.AbortedTransactions = slices.DeleteFunc(got.AbortedTransactions, func(x kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
				return x.ProducerID == h.ProducerID && x.FirstOffset < h.BaseOffset
			})
			continue
		}
		if _, skip := aborted[h.ProducerID]; skip && h.Transactional() {
			continue
		}
		for r, err := range batch.Records(one, 1<<20) {
			if err != nil {
				a.t.Fatal(err)
			}
			values = append(values, string(r.Value))
		}
	}
	return values
}
