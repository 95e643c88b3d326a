package main

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactionEnds: what the end of a transaction is answered in each state.
func transactionEnds(s *session) {
	s.topic("ends", 2)
	for _, version := range []int16{0, 1, 2, 3, 4, 5} {
		end := func(what string, r *kmsg.EndTxnRequest) {
			ask[*kmsg.EndTxnResponse](s, named("end version %d, %s", version, what), version, r)
		}
		x := s.transactional(named("end-%d", version))
		x = s.transactional(x.id)
		before := transactional{x.id, x.who, x.epoch - 1}
		end("an unknown id", transactional{named("end-nobody-%d", version), noSuchProducer, 0}.end(true))
		end("an empty id", transactional{"", x.who, x.epoch}.end(true))
		end("another producer", transactional{x.id, noSuchProducer, x.epoch}.end(true))
		end("the epoch before", before.end(true))
		end("the epoch after", transactional{x.id, x.who, x.epoch + 1}.end(true))
		end("commit of nothing", x.end(true))
		if version < 5 {
			end("abort of nothing", x.end(false))
		}
		for i, commit := range []bool{true, false} {
			verb := []string{"commit", "abort"}[i]
			s.begin(x, "ends", 0)
			end(verb+", another producer", transactional{x.id, noSuchProducer, x.epoch}.end(commit))
			end(verb+", the epoch before", before.end(commit))
			end(verb+", the epoch after", transactional{x.id, x.who, x.epoch + 1}.end(commit))
			next := s.ended(x, version, commit)
			end(verb+", the other", x.end(!commit))
			end(verb+", again", x.end(commit))
			end(verb+", the epoch before, later", before.end(commit))
			if version >= 5 {
				end(verb+", then commit of nothing", next.end(true))
			}
			if version >= 5 {
				before = x
			}
			x = next
		}
		if version < 5 {
			continue
		}
		next := s.ended(x, version, false)
		end("abort of nothing, again", x.end(false))
		end("commit after an abort of nothing", x.end(true))
		end("commit of nothing after an abort of nothing", next.end(true))
		x = s.ended(next, version, false)
		s.begin(x, "ends", 1)
		end("commit after them", x.end(true))
	}
	s.committed("what was kept", "ends", 0)
	s.committed("what was kept of the other", "ends", 1)
}

// transactionBatches: transactional batches in each version of Produce, and what is read of them.
func transactionBatches(s *session) {
	s.topic("batches", 4)
	for i, version := range []int16{9, 10, 11, 12} {
		partition := int32(i)
		send := func(what string, r *kmsg.ProduceRequest) {
			// Kafka answers that the end of the transaction before is under way.
			until(s, named("produce version %d, %s", version, what), version, r, func(r *kmsg.ProduceResponse) bool {
				return produced(r) != codeConcurrentTransactions
			})
		}
		nobody := transactional{named("batches-nobody-%d", version), noSuchProducer, 0}
		send("an unknown id", nobody.produce("batches", partition, 0, "a"))
		x := s.transactional(named("batches-%d", version))
		x = s.transactional(x.id)
		before := transactional{x.id, x.who, x.epoch - 1}
		send("another producer", transactional{x.id, noSuchProducer, x.epoch}.produce("batches", partition, 0, "a"))
		send("the epoch before", before.produce("batches", partition, 0, "a"))
		send("the epoch after", transactional{x.id, x.who, x.epoch + 1}.produce("batches", partition, 0, "a"))
		without := x.produce("batches", partition, 0, "a")
		without.TransactionID = nil
		send("without its id", without)
		if version < 12 {
			send("not added", x.produce("batches", partition, 0, "a"))
			s.begin(x, "batches", partition)
		}
		send("the first", x.produce("batches", partition, 0, "a", "b"))
		send("again", x.produce("batches", partition, 0, "a", "b"))
		send("the second", x.produce("batches", partition, 2, "c"))
		send("a batch without a transaction", func() *kmsg.ProduceRequest {
			r := producing("batches", partition, -1, batchOf{records: values("plain"), first: time.Now().UnixMilli(), producer: x.who, epoch: x.epoch, sequence: 3}.bytes())
			r.TransactionID = kmsg.StringPtr(x.id)
			return r
		}())
		send("another's batch", transactional{x.id, noSuchProducer, x.epoch}.produce("batches", partition, 0, "a"))
		send("the epoch before, ongoing", before.produce("batches", partition, 0, "a"))
		s.committed(named("produce version %d, read while it is ongoing", version), "batches", partition)
		end := int16(4)
		if version >= 12 {
			end = 5
		}
		next := s.ended(x, end, true)
		send("late", x.produce("batches", partition, 3, "late"))
		if version >= 12 { // Kafka remembers the lowest sequence that it refused, and wants none above it.
			send("late, a retry", x.produce("batches", partition, 2, "c"))
		} else {
			s.begin(next, "batches", partition)
		}
		first := int32(0)
		if next.epoch == x.epoch {
			first = 3
		}
		send("in the next", next.produce("batches", partition, first, "d"))
		last := s.ended(next, end, false)
		s.committed(named("produce version %d, read at the end", version), "batches", partition)
		s.topicsAnswer(named("produce version %d, what was kept", version), "batches", partition)
		if last.epoch != next.epoch {
			send("in the one after", last.produce("batches", partition, 0, "e"))
			s.ended(last, end, true)
			s.committed(named("produce version %d, read after it", version), "batches", partition)
		}
	}
}

// transactionAdmin: what an admin is told of transactions, and how one that hangs is aborted.
func transactionAdmin(s *session) {
	s.topic("told", 2)
	describe := func(call string, ids ...string) {
		ask[*kmsg.DescribeTransactionsResponse](s, "describe "+call, 0, describeTransactions(ids...))
	}
	describe("nobody", "told-nobody")
	describe("an empty id", "")
	describe("nothing")
	x := s.transactional("told-1")
	describe("one without a transaction", x.id)
	s.begin(x, "told", 0, 1)
	old := producing("told", 0, -1, batchOf{records: values("a"), first: past, attributes: 0x10, producer: x.who, epoch: x.epoch}.bytes())
	old.TransactionID = kmsg.StringPtr(x.id)
	quiet[*kmsg.ProduceResponse](s, 9, old)
	describe("one with", x.id)
	describe("two", x.id, "told-nobody")
	list := func(call string, version int16, change func(r *kmsg.ListTransactionsRequest)) {
		r := kmsg.NewPtrListTransactionsRequest()
		r.StateFilters, r.ProducerIDFilters = []string{"Ongoing"}, []int64{x.who}
		change(r)
		ask[*kmsg.ListTransactionsResponse](s, "list "+call, version, r)
	}
	for _, version := range []int16{0, 1, 2} {
		list(named("version %d", version), version, func(*kmsg.ListTransactionsRequest) {})
	}
	list("another state", 1, func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Empty"} })
	list("a state that there isn't", 1, func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Sleepy", "Ongoing"} })
	list("longer than an hour", 1, func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = time.Hour.Milliseconds() })
	list("by a pattern", 2, func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("told-[0-9]") })
	list("by a pattern that fits none", 2, func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("told-") })
	list("by a bad pattern", 2, func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("told-[") })
	producers := kmsg.NewPtrDescribeProducersRequest()
	topic := kmsg.NewDescribeProducersRequestTopic()
	topic.Topic, topic.Partitions = "told", []int32{0, 1}
	producers.Topics = append(producers.Topics, topic)
	ask[*kmsg.DescribeProducersResponse](s, "describe the producers", 0, producers)

	mark := func(call string, version int16, who int64, epoch int16, partitions ...int32) {
		r := kmsg.NewPtrWriteTxnMarkersRequest()
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch = who, epoch, -1
		t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		t.Topic, t.Partitions = "told", partitions
		m.Topics = append(m.Topics, t)
		r.Markers = append(r.Markers, m)
		ask[*kmsg.WriteTxnMarkersResponse](s, "mark "+call, version, r)
	}
	for _, version := range []int16{1, 2} {
		mark(named("version %d, an unknown partition", version), version, x.who, x.epoch, 9)
	}
	s.ended(x, 3, true)
	describe("one that is complete", x.id)
	ask[*kmsg.DescribeProducersResponse](s, "describe the producers at the end", 0, producers)
}
