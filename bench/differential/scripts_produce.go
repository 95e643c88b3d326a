package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// past is a timestamp that no broker takes for now.
const past = int64(1_600_000_000_000)

// future is a timestamp that is too far ahead.
const future = int64(4_000_000_000_000)

func produce(s *session) {
	id := s.topic("out", 2)
	s.topic("small", 1, "max.message.bytes", "500")
	s.topic("compacted", 1, "cleanup.policy", "compact")
	send := func(call string, version int16, r *kmsg.ProduceRequest) {
		ask[*kmsg.ProduceResponse](s, call, version, r)
	}
	good := func() []byte { return batchOf{records: values("a", "b"), first: past}.bytes() }
	for _, version := range []int16{3, 5, 7, 8, 9, 11, 12} {
		send(named("version %d", version), version, producing("out", 0, -1, good()))
	}
	byID := producing("", 0, -1, good())
	byID.Topics[0].TopicID = id
	send("version 13", 13, byID)
	byID.Topics[0].TopicID = noSuchID()
	send("an unknown id", 13, byID)
	byID.Topics[0].TopicID = [16]byte{}
	send("no id", 13, byID)
	send("version 2", 2, producing("out", 0, -1, good()))
	send("acks 1", 9, producing("out", 0, 1, good()))
	send("acks 2", 9, producing("out", 0, 2, good()))
	send("acks -2", 9, producing("out", 0, -2, good()))
	send("an unknown topic", 9, producing("nobody", 0, -1, good()))
	send("an unknown partition", 9, producing("out", 7, -1, good()))
	send("partition -1", 9, producing("out", -1, -1, good()))
	send("a bad topic name", 9, producing("a b", 0, -1, good()))
	nowhere := kmsg.NewPtrProduceRequest()
	nowhere.Acks = -1
	send("no topics", 9, nowhere)
	for codec, name := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd", "codec 5", "codec 6", "codec 7"} {
		send(name, 9, producing("out", 0, -1, batchOf{records: values(strings.Repeat("x", 300)), first: past, codec: int16(codec)}.bytes()))
	}
	send("zstd in version 6", 6, producing("out", 0, -1, batchOf{records: values("x"), first: past, codec: 4}.bytes()))

	bad := func(call string, b batchOf) {
		if b.records == nil {
			b.records = values("a", "b")
		}
		if b.first == 0 {
			b.first = past
		}
		send(call, 9, producing("out", 1, -1, b.bytes()))
	}
	bad("a bad CRC", batchOf{spoil: func(b []byte) { b[17] ^= 1 }})
	for _, magic := range []byte{0, 1, 3, 255} {
		bad(named("magic %d", magic), batchOf{spoil: func(b []byte) { b[16] = magic }})
	}
	bad("a length that is too short", batchOf{spoil: func(b []byte) { binary.BigEndian.PutUint32(b[8:], 10) }})
	bad("a length that is too long", batchOf{spoil: func(b []byte) { binary.BigEndian.PutUint32(b[8:], 1000) }})
	bad("a length below 0", batchOf{spoil: func(b []byte) { binary.BigEndian.PutUint32(b[8:], 1<<31) }})
	bad("a base offset", batchOf{spoil: func(b []byte) { b[7] = 9 }})
	bad("a leader epoch", batchOf{spoil: func(b []byte) { b[15] = 9 }})
	bad("too high a count", batchOf{count: 3})
	bad("too low a count", batchOf{count: 1})
	bad("too high a last delta", batchOf{lastDelta: 5})
	bad("too low a last delta", batchOf{records: values("a", "b", "c"), lastDelta: 1})
	bad("a control batch", batchOf{attributes: 0x20, producer: 9})
	bad("a transactional batch", batchOf{attributes: 0x10, producer: noSuchProducer})
	bad("a transactional batch without a producer", batchOf{attributes: 0x10})
	bad("log append time as the producer's", batchOf{attributes: 0x08})
	bad("a delete horizon", batchOf{attributes: 0x40})
	bad("an unknown attribute", batchOf{attributes: 0x100})
	bad("no records", batchOf{records: []record{}, lastDelta: -1})
	bad("records that are no records", batchOf{before: func(b []byte) { b[61] = 0x7e }})
	bad("gzip that isn't", batchOf{attributes: 1})
	bad("zstd that isn't", batchOf{attributes: 4})
	bad("an empty value", batchOf{records: []record{{value: []byte{}}}})
	bad("null key and value", batchOf{records: []record{{}}})
	send("no batch", 9, producing("out", 1, -1))
	null := producing("out", 1, -1)
	null.Topics[0].Partitions[0].Records = nil
	send("null records", 9, null)
	send("half a header", 9, producing("out", 1, -1, good()[:30]))
	send("a cut-off batch", 9, producing("out", 1, -1, good()[:70]))
	send("two batches", 9, producing("out", 1, -1, good(), good()))
	send("a batch and a cut-off one", 9, producing("out", 1, -1, good(), good()[:70]))
	twice := producing("out", 1, -1, good())
	twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
	send("a partition twice", 9, twice)
	mixed := producing("out", 1, -1, good())
	mixed.Topics = append(mixed.Topics, producing("nobody", 0, -1, good()).Topics...)
	mixed.Topics = append(mixed.Topics, producing("out", 0, -1, batchOf{records: values("a"), spoil: func(b []byte) { b[17] ^= 1 }}.bytes()).Topics...)
	send("good, unknown and bad", 9, mixed)

	big := strings.Repeat("z", 600)
	send("too large for the topic", 9, producing("small", 0, -1, batchOf{records: values(big), first: past}.bytes()))
	send("too large before compression only", 9, producing("small", 0, -1, batchOf{records: values(big), first: past, codec: 1}.bytes()))
	send("too large together", 9, producing("small", 0, -1,
		batchOf{records: values(big[:300]), first: past}.bytes(), batchOf{records: values(big[:300]), first: past}.bytes()))
	send("2 MB", 9, producing("out", 1, -1, batchOf{records: values(string(bytes.Repeat([]byte{1}, 2<<20))), first: past}.bytes()))
	send("no key for a compacted topic", 9, producing("compacted", 0, -1, batchOf{records: values("a"), first: past}.bytes()))
	send("some keys for a compacted topic", 9, producing("compacted", 0, -1,
		batchOf{records: []record{{key: []byte("k"), value: []byte("v")}, {value: []byte("w")}}, first: past}.bytes()))
	send("keys for a compacted topic", 9, producing("compacted", 0, -1,
		batchOf{records: []record{{key: []byte("k"), value: []byte("v")}}, first: past}.bytes()))
	transactional := producing("out", 0, -1, good())
	transactional.TransactionID = kmsg.StringPtr("some-transaction")
	send("a transaction's id and a batch without", 9, transactional)

	// Acks 0 has no answer; the next request's comes first.
	quietly := producing("out", 0, 0, good())
	quietly.SetVersion(9)
	if c, err := s.conn(); err == nil {
		c.send(quietly)
	}
	ask[*kmsg.ListOffsetsResponse](s, "after acks 0", 9, listOffsets("out", 0, -1))
	wrong := producing("nobody", 0, 0, good())
	wrong.SetVersion(9)
	if c, err := s.conn(); err == nil {
		c.send(wrong)
	}
	ask[*kmsg.ListOffsetsResponse](s, "after acks 0 for an unknown topic", 9, listOffsets("out", 0, -1))
	s.drop()
	ask[*kmsg.ListOffsetsResponse](s, "the other partition's end", 9, listOffsets("out", 1, -1))
	s.topicsAnswer("what was kept", "out", 0)
	s.topicsAnswer("what was kept of the bad ones", "out", 1)
}

// topicsAnswer fetches a partition from its begin and keeps the answer.
func (s *session) topicsAnswer(call, topic string, partition int32) {
	ask[*kmsg.FetchResponse](s, call, 12, fetching(topic, partition, 0))
}

func sequences(s *session) {
	s.topic("seq", 3)
	newProducer := func() (int64, int16) {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.ProducerID, r.ProducerEpoch = -1, -1
		answer := quiet[*kmsg.InitProducerIDResponse](s, 4, r)
		return answer.ProducerID, answer.ProducerEpoch
	}
	id, _ := newProducer()
	send := func(call string, partition int32, producer int64, epoch int16, sequence int32, texts ...string) {
		ask[*kmsg.ProduceResponse](s, call, 9, producing("seq", partition, -1,
			batchOf{records: values(texts...), first: past, producer: producer, epoch: epoch, sequence: sequence}.bytes()))
	}
	send("0", 0, id, 0, 0, "a", "b")
	send("2", 0, id, 0, 2, "c")
	send("2 again", 0, id, 0, 2, "c")
	send("0 again", 0, id, 0, 0, "a", "b")
	send("0 again, shorter", 0, id, 0, 0, "a")
	send("0 again, longer", 0, id, 0, 0, "a", "b", "c")
	for i := range int32(5) {
		send(named("%d", 3+i), 0, id, 0, 3+i, "d")
	}
	send("behind the window", 0, id, 0, 0, "a", "b")
	send("a gap", 0, id, 0, 20, "e")
	send("after the gap", 0, id, 0, 8, "e")
	send("epoch 1 from 0", 0, id, 1, 0, "f")
	send("epoch 0 after epoch 1", 0, id, 0, 8, "g")
	send("epoch 1, next", 0, id, 1, 1, "h")
	send("epoch 2 from 5", 0, id, 2, 5, "h")
	send("epoch 2 from 0", 0, id, 2, 0, "h")
	send("a producer unknown here, from 0", 1, id, 2, 0, "a")
	other, _ := newProducer()
	send("a producer unknown here, from 7", 1, other, 0, 7, "a")
	send("a producer that nobody made, from 0", 2, noSuchProducer, 0, 0, "a")
	send("a sequence below 0", 2, noSuchProducer+1, 0, -1, "a")
	send("an epoch below 0", 2, noSuchProducer+2, -1, 0, "a")
	two := producing("seq", 2, -1,
		batchOf{records: values("x"), first: past, producer: noSuchProducer, sequence: 1}.bytes(),
		batchOf{records: values("y"), first: past, producer: noSuchProducer, sequence: 2}.bytes())
	ask[*kmsg.ProduceResponse](s, "two batches of a producer in one request", 9, two)
	s.topicsAnswer("what was kept", "seq", 0)
	describe := kmsg.NewPtrDescribeProducersRequest()
	for _, name := range []string{"seq", "nobody"} {
		topic := kmsg.NewDescribeProducersRequestTopic()
		topic.Topic, topic.Partitions = name, []int32{0}
		describe.Topics = append(describe.Topics, topic)
	}
	describe.Topics[0].Partitions = []int32{0, 9}
	ask[*kmsg.DescribeProducersResponse](s, "describe the producers", 0, describe)
}

func timestamps(s *session) {
	s.topic("times", 2)
	s.topic("times-append", 1, "message.timestamp.type", "LogAppendTime")
	s.topic("times-bound", 1, "message.timestamp.before.max.ms", "3600000", "message.timestamp.after.max.ms", "3600000")
	send := func(call, topic string, first int64, deltas ...int64) {
		var records []record
		for _, delta := range deltas {
			records = append(records, record{value: []byte("t"), delta: delta})
		}
		ask[*kmsg.ProduceResponse](s, call, 9, producing(topic, 0, -1, batchOf{records: records, first: first}.bytes()))
	}
	now := time.Now().UnixMilli()
	hour := time.Hour.Milliseconds()
	send("the producer's", "times", past, 0, 5, 3)
	send("falling", "times", past, 0, -5, -3)
	send("none", "times", -1, 0)
	send("below none", "times", -2, 0)
	send("0", "times", 0, 0)
	send("far ahead", "times", future, 0)
	send("a little ahead", "times", now+hour/20, 0)
	send("the append's", "times-append", past, 0, 5)
	send("the append's, far ahead", "times-append", future, 0)
	send("within the bound", "times-bound", now, 0)
	send("too old", "times-bound", now-2*hour, 0)
	send("too new", "times-bound", now+2*hour, 0)
	send("one of them too old", "times-bound", now, 0, -2*hour)
	ask[*kmsg.ProduceResponse](s, "a max timestamp that isn't the records'", 9, producing("times", 1, -1,
		batchOf{records: values("a"), first: past, before: func(b []byte) { binary.BigEndian.PutUint64(b[35:], uint64(past+99)) }}.bytes()))
	s.topicsAnswer("the kept", "times", 0)
	s.topicsAnswer("the kept with another max timestamp", "times", 1)
	s.topicsAnswer("the kept with the append's", "times-append", 0)
}
