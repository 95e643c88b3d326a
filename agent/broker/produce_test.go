package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

func TestProduce_EveryVersionGetsOffsets(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("flights", 1, nil)
	next := int64(0)
	for version := int16(3); version <= 13; version++ {
		p := a.produce(version, "flights", id, records(plain(), "a", "b"))
		if p.ErrorCode != 0 || p.BaseOffset != next || p.LogAppendTime != -1 {
			t.Errorf("version %d: %+v", version, p)
		}
		if version >= 5 && p.LogStartOffset != 0 {
			t.Errorf("version %d: log start %d", version, p.LogStartOffset)
		}
		next += 2
	}
}

func TestProduce_OldVersionsAreRefused(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("flights", 1, nil)
	for version := int16(0); version < 3; version++ {
		p := a.produce(version, "flights", [16]byte{}, records(plain(), "a"))
		if p.ErrorCode != wire.CodeUnsupportedForMessageFormat || p.BaseOffset != -1 {
			t.Errorf("version %d: %+v", version, p)
		}
	}
}

// damaged returns a batch with some bytes changed, its CRC as it was.
func damaged(b []byte, at int, value ...byte) []byte {
	b = append([]byte(nil), b...)
	copy(b[at:], value)
	return b
}

func TestProduce_Refusals(t *testing.T) {
	now := time.Now()
	a := newAgent(t, newStore(), options{clock: func() time.Time { return now }, settings: map[string]string{"log.message.timestamp.after.max.ms": "1000"}})
	ids := map[string][16]byte{
		"plain":     a.create("plain", 1, nil),
		"small":     a.create("small", 1, map[string]string{"max.message.bytes": "100"}),
		"compacted": a.create("compacted", 1, map[string]string{"cleanup.policy": "compact"}),
		"recent":    a.create("recent", 1, map[string]string{"message.timestamp.before.max.ms": "60000"}),
	}
	at := func(d time.Duration) []byte {
		return batch.Append(nil, plain(), []batch.Record{{Timestamp: now.Add(d).UnixMilli(), Value: []byte("v")}})
	}
	one := at(0)
	offset := append([]byte(nil), one...)
	batch.SetBaseOffset(offset, 7)
	withProducer := plain()
	withProducer.ProducerID, withProducer.ProducerEpoch, withProducer.BaseSequence = 9, 0, -1
	control := plain()
	control.Attributes = 0x20
	transactional := plain()
	transactional.ProducerID, transactional.ProducerEpoch, transactional.BaseSequence, transactional.Attributes = 9, 0, 0, 0x10
	appendTime := plain()
	appendTime.Attributes, appendTime.MaxTimestamp = 0x08, now.UnixMilli()
	zstd := damaged(one, 22, 4)

	rows := []struct {
		name    string
		topic   string
		version int16
		bytes   []byte
		code    int16
	}{
		{"no batch", "plain", 9, nil, wire.CodeInvalidRecord},
		{"two batches", "plain", 9, append(append([]byte(nil), one...), one...), wire.CodeInvalidRecord},
		{"magic 0", "plain", 9, damaged(one, 16, 0), wire.CodeInvalidRecord},
		{"magic 1", "plain", 9, damaged(one, 16, 1), wire.CodeInvalidRecord},
		{"a flipped bit", "plain", 9, damaged(one, len(one)-2, one[len(one)-2]^1), wire.CodeCorruptMessage},
		{"cut off", "plain", 9, one[:len(one)-1], wire.CodeInvalidRecord},
		{"less than a header", "plain", 9, one[:30], wire.CodeInvalidRecord},
		{"a base offset", "plain", 9, offset, wire.CodeInvalidRecord},
		{"a control batch", "plain", 9, batch.Append(nil, control, []batch.Record{{Timestamp: now.UnixMilli()}}), wire.CodeInvalidRecord},
		{"a producer without sequence", "plain", 9, batch.Append(nil, withProducer, []batch.Record{{Timestamp: now.UnixMilli()}}), wire.CodeInvalidRecord},
		{"transactional", "plain", 9, batch.Append(nil, transactional, []batch.Record{{Timestamp: now.UnixMilli()}}), wire.CodeTransactionalIDAuthorizationFailed},
		{"append time set by the client", "plain", 9, batch.Append(nil, appendTime, []batch.Record{{Timestamp: now.UnixMilli()}}), wire.CodeInvalidTimestamp},
		{"zstd before version 7", "plain", 6, zstd, wire.CodeUnsupportedCompressionType},
		{"too large", "small", 9, records(plain(), strings.Repeat("x", 100)), wire.CodeMessageTooLarge},
		{"too early", "recent", 9, at(-61 * time.Second), wire.CodeInvalidTimestamp},
		{"just in time", "recent", 9, at(-60 * time.Second), 0},
		{"too late", "plain", 9, at(1001 * time.Millisecond), wire.CodeInvalidTimestamp},
		{"not too late", "plain", 9, at(1000 * time.Millisecond), 0},
		{"no timestamp", "recent", 9, batch.Append(nil, plain(), []batch.Record{{Timestamp: -1, Value: []byte("v")}}), 0},
		{"no key where compacted", "compacted", 9, one, wire.CodeInvalidRecord},
		{"unknown topic", "nowhere", 9, one, wire.CodeUnknownTopicOrPartition},
		{"unknown topic id", "nowhere", 13, one, wire.CodeUnknownTopicID},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			p := a.produce(r.version, r.topic, ids[r.topic], append([]byte(nil), r.bytes...))
			if p.ErrorCode != r.code {
				t.Errorf("code %d, want %d", p.ErrorCode, r.code)
			}
			if (p.BaseOffset == -1) != (r.code != 0) {
				t.Errorf("base offset %d", p.BaseOffset)
			}
			if (p.ErrorMessage == nil) != (r.code == 0) && r.version >= 8 {
				t.Errorf("message %v", p.ErrorMessage)
			}
		})
	}
}

func TestProduce_RecordErrorsNameTheRecords(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("compacted", 1, map[string]string{"cleanup.policy": "compact,delete"})
	b := batch.Append(nil, plain(), []batch.Record{
		{Offset: 0, Timestamp: time.Now().UnixMilli(), Key: []byte("k")},
		{Offset: 1, Timestamp: time.Now().UnixMilli(), Value: []byte("v")},
	})
	p := a.produce(13, "compacted", id, b)
	if len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorCode != wire.CodeInvalidRecord {
		t.Errorf("%+v", p)
	}
	keyed := batch.Append(nil, plain(), []batch.Record{{Timestamp: time.Now().UnixMilli(), Key: []byte("k")}})
	if p := a.produce(13, "compacted", id, keyed); p.ErrorCode != 0 {
		t.Errorf("keyed: %+v", p)
	}
}

func TestProduce_LogAppendTime(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	a := newAgent(t, newStore(), options{clock: func() time.Time { return now }})
	id := a.create("stamped", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	b := batch.Append(nil, plain(), []batch.Record{{Timestamp: 5, Value: []byte("v")}})
	if p := a.produce(9, "stamped", id, b); p.ErrorCode != 0 || p.LogAppendTime != now.UnixMilli() {
		t.Errorf("%+v", p)
	}
	var extent shard.Extent
	topic := a.broker.topic("stamped")
	metastore.View(a.follower.Replica(metastore.ShardJournal(topic.Shard(0, testShards))), func(s *shard.State) {
		extent, _ = s.MaxTimestamp(shard.PartitionID{Topic: topic.Number})
	})
	if extent.MaxTimestamp != now.UnixMilli() {
		t.Errorf("stored with %d", extent.MaxTimestamp)
	}
}

func TestProduce_Acks(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("flights", 1, nil)
	for _, row := range []struct{ acks, code int16 }{{1, 0}, {-1, 0}, {2, wire.CodeInvalidRequiredAcks}, {-2, wire.CodeInvalidRequiredAcks}} {
		req := produceRequest(9, "flights", [16]byte{}, records(plain(), "a"))
		req.Acks = row.acks
		if code := call[*kmsg.ProduceResponse](a, req).Topics[0].Partitions[0].ErrorCode; code != row.code {
			t.Errorf("acks %d: code %d", row.acks, code)
		}
	}
}

func TestProduce_NoAcks(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("flights", 1, nil)
	c := a.connect()
	silent := produceRequest(9, "flights", [16]byte{}, records(plain(), "a"))
	silent.Acks = 0
	c.send(silent)
	c.send(produceRequest(9, "flights", [16]byte{}, records(plain(), "b")))
	resp, err := c.receive(silent)
	if err != nil {
		t.Fatal(err)
	}
	if p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.BaseOffset != 1 {
		t.Errorf("the batch behind the silent one is at %d", p.BaseOffset)
	}
	silent = produceRequest(9, "nowhere", [16]byte{}, records(plain(), "a"))
	silent.Acks = 0
	c.send(silent)
	if resp, err := c.receive(silent); !errors.Is(err, io.EOF) {
		t.Errorf("an error under acks=0 does not close the connection: %v, %v", resp, err)
	}
}

func TestProduce_RequestsInFlightKeepTheirOrder(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("flights", 1, nil)
	c := a.connect()
	id := call[*kmsg.InitProducerIDResponse](a, &kmsg.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1}).ProducerID
	var reqs []*kmsg.ProduceRequest
	for i := range 5 {
		h := batch.Header{ProducerID: id, BaseSequence: int32(i), LeaderEpoch: -1}
		reqs = append(reqs, produceRequest(11, "flights", [16]byte{}, records(h, fmt.Sprint(i))))
		c.send(reqs[i])
	}
	for i, req := range reqs {
		resp, err := c.receive(req)
		if err != nil {
			t.Fatal(err)
		}
		if p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Errorf("request %d: %+v", i, p)
		}
	}
	// A retried one gets its first offset.
	h := batch.Header{ProducerID: id, BaseSequence: 2, LeaderEpoch: -1}
	if p := a.produce(11, "flights", [16]byte{}, records(h, "2")); p.ErrorCode != 0 || p.BaseOffset != 2 {
		t.Errorf("the duplicate: %+v", p)
	}
	h = batch.Header{ProducerID: id, ProducerEpoch: 1, BaseSequence: 0, LeaderEpoch: -1}
	if p := a.produce(11, "flights", [16]byte{}, records(h, "new epoch")); p.BaseOffset != 5 {
		t.Errorf("the new epoch: %+v", p)
	}
	h = batch.Header{ProducerID: id, BaseSequence: 5, LeaderEpoch: -1}
	if p := a.produce(11, "flights", [16]byte{}, records(h, "old epoch")); p.ErrorCode != wire.CodeInvalidProducerEpoch {
		t.Errorf("the old epoch: %+v", p)
	}
}

func TestProduce_UnknownPartition(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("flights", 2, nil)
	for _, index := range []int32{-1, 2, 1 << 30} {
		req := produceRequest(13, "", id, records(plain(), "a"))
		req.Topics[0].Partitions[0].Partition = index
		if p := call[*kmsg.ProduceResponse](a, req).Topics[0].Partitions[0]; p.ErrorCode != wire.CodeUnknownTopicOrPartition {
			t.Errorf("partition %d: %+v", index, p)
		}
	}
}

func TestProduce_MixedRequest(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("flights", 3, nil)
	req := produceRequest(13, "", [16]byte{1}, records(plain(), "lost"))
	t2 := kmsg.NewProduceRequestTopic()
	t2.TopicID = id
	for i := range int32(3) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i, records(plain(), "a", "b")
		if i == 1 {
			p.Records[len(p.Records)-1] ^= 1
		}
		t2.Partitions = append(t2.Partitions, p)
	}
	req.Topics = append(req.Topics, t2)
	resp := call[*kmsg.ProduceResponse](a, req)
	if got := resp.Topics[0].Partitions[0].ErrorCode; got != wire.CodeUnknownTopicID || resp.Topics[0].TopicID != [16]byte{1} {
		t.Errorf("the unknown topic: %d", got)
	}
	for i, want := range []int16{0, wire.CodeCorruptMessage, 0} {
		if p := resp.Topics[1].Partitions[i]; p.ErrorCode != want || p.Partition != int32(i) {
			t.Errorf("partition %d: %+v", i, p)
		}
	}
}

func TestProduce_TopicOfAnotherAgent(t *testing.T) {
	store := newStore()
	a, b := newAgent(t, store, options{}), newAgent(t, store, options{})
	id := a.create("flights", 1, nil)
	if p := b.produce(13, "", id, records(plain(), "a")); p.ErrorCode != 0 {
		t.Errorf("%+v", p)
	}
}

func TestProduce_DeletedTopic(t *testing.T) {
	store := newStore()
	a, b := newAgent(t, store, options{}), newAgent(t, store, options{})
	id := a.create("flights", 1, nil)
	if err := b.broker.refreshCatalog(t.Context()); err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TopicNames = 5, []string{"flights"}
	call[*kmsg.DeleteTopicsResponse](a, req)
	// The other agent still knows the topic; the fold of its shard refuses the batch.
	if p := b.produce(13, "", id, records(plain(), "a")); p.ErrorCode != wire.CodeUnknownTopicID {
		t.Errorf("%+v", p)
	}
}

// failing is a bucket that refuses every PUT.
type failing struct{ bucket.Bucket }

func (failing) Put(context.Context, string, []byte) error { return errors.New("no space left") }

func TestProduce_StorageFails(t *testing.T) {
	a := newAgent(t, newStore(), options{bucket: func(b bucket.Bucket) bucket.Bucket { return failing{b} }})
	a.create("flights", 1, nil)
	if p := a.produce(9, "flights", [16]byte{}, records(plain(), "a")); p.ErrorCode != wire.CodeKafkaStorageError {
		t.Errorf("%+v", p)
	}
	c := a.connect()
	req := produceRequest(9, "flights", [16]byte{}, records(batch.Header{ProducerID: 5, LeaderEpoch: -1}, "a"))
	c.send(req)
	if resp, err := c.receive(req); !errors.Is(err, io.EOF) {
		t.Errorf("an idempotent batch whose fate is open is answered with %v, %v", resp, err)
	}
}

// hotRequest makes a request of n batches for n partitions of a topic.
func hotRequest(id [16]byte, n int) *kmsg.ProduceRequest {
	req := produceRequest(13, "", id, nil)
	req.Topics[0].Partitions = nil
	for i := range n {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), records(plain(), "value")
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	return req
}

func BenchmarkProduce_Check(b *testing.B) {
	a := newAgent(b, newStore(), options{})
	req := hotRequest(a.create("hot", 600, nil), 600)
	b.ReportAllocs()
	for b.Loop() {
		p := newProduce(a.broker, req)
		p.check(b.Context())
		p.release()
	}
}
