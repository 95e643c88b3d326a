package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// Produce, versions 0–13 (topics by id from 13; 0–2 are refused).
//
// Each partition brings one record batch of format 2. A batch is checked (topic,
// size, CRC, header) and its records walked over (count, offset deltas, timestamps; keys
// where the topic is compacted: produce_records.go), a wrong max timestamp is corrected, and
// the batch enters the ingest buffer in the order in which the requests of the connection
// were read; the answer waits until it is durable and ordered.
//
// What differs from Apache Kafka:
//   - acks 1 and −1 are the same; TimeoutMillis is not looked at: the answer
//     comes when the outcome is certain, or the connection closes.
//   - Versions 0 to 2 get UNSUPPORTED_FOR_MESSAGE_FORMAT; Kafka closes the connection.
//   - Records whose offset deltas aren't 0, 1, 2 … are refused; Kafka keeps them in an
//     uncompressed batch and makes a compressed one anew.
//   - Records may decompress to Limits.DecompressedBytesMax.
//   - With Config.TrustCompressed compressed batches are judged by their header alone, but
//     where the topic is compacted or compression.type asks for another codec.
//   - Batches of one request that compression.type has recompressed take at most
//     Limits.DecompressedBytesMax together; those beyond get MESSAGE_TOO_LARGE.
//   - Stricter: bytes behind the batch, unknown attribute bits, the log-append-time bit, a
//     producer id without an epoch and negative timestamps other than −1 are refused.
//   - A partition that comes twice in a request is appended to twice, in order.
//   - Transactional batches: produce_transaction.go. Where Kafka answers CONCURRENT_TRANSACTIONS or
//     NOT_ENOUGH_REPLICAS, the request waits, and after enterWaitMax the connection closes.
//   - Sequences are judged by GUARDS 6 and 7: an unknown producer begins with 0.

// refreshWaitMax bounds the wait for the catalog before a topic is called unknown.
const refreshWaitMax = 5 * time.Second

// leaderEpoch is every partition's, for ever.
const leaderEpoch = batch.StoredEpoch

// produceVersionMin is the first version that speaks of record batches of format 2.
const produceVersionMin = 3

// zstdVersionMin is the first version whose clients know zstd.
const zstdVersionMin = 7

// topicIDVersionMin is the first version that names topics by id.
const topicIDVersionMin = 13

// produce is one request on its way.
type produce struct {
	b        *Broker
	req      *kmsg.ProduceRequest
	resp     kmsg.ProduceResponse
	batches  []ingest.Batch
	places   []*kmsg.ProduceResponseTopicPartition // of batches, in their order
	sub      *ingest.Submission
	refused  error // the first partition's, where acks=0 leaves nobody to tell
	closeErr error // nothing can be answered

	inspector    *batch.Inspector // while the batches are checked
	recompressed int              // bytes of the batches that were made anew

	topics  []*catalog.Topic // of the request; nil: unknown
	lacking bool             // a topic or a partition is unknown

	tracing produceTrace

	reused produceReused
}

// startProduce checks a request's batches and enters them into the buffer.
func (b *Broker) startProduce(ctx context.Context, r *wire.Request) wire.Pending {
	p := newProduce(b, r.Message.(*kmsg.ProduceRequest))
	p.traceBegin()
	p.check(ctx)
	ctx = p.traceChecked(ctx, r)
	p.enter(ctx)
	if p.closeErr == nil && len(p.batches) > 0 {
		r.Frame.Retain()
		if p.sub, p.closeErr = b.deps.Ingest.Append(ctx, p.batches, r.Conn.Done(), r.Frame.Releaser()); p.closeErr != nil {
			r.Frame.Release()
		}
	}
	return p
}

// check fills the answer with what can be refused at once, and batches with the rest.
func (p *produce) check(ctx context.Context) {
	partitions := 0
	for i := range p.req.Topics {
		partitions += len(p.req.Topics[i].Partitions)
	}
	all := p.makeRoom(partitions)
	unknown := p.findTopics(ctx)
	topics := p.topics
	if len(topics) == 1 && topics[0] != nil {
		p.tracing.topic = topics[0].Name
	}
	whole := p.checkWhole()
	now := p.b.now()
	p.inspector = <-p.b.inspectors
	defer func() { p.b.inspectors <- p.inspector }()
	for i := range p.req.Topics {
		in, out := &p.req.Topics[i], &p.resp.Topics[i]
		out.Topic, out.TopicID = in.Topic, in.TopicID
		out.Partitions, all = all[:len(in.Partitions):len(in.Partitions)], all[len(in.Partitions):]
		var config *produceConfig
		if topics[i] != nil {
			config = p.b.topics.produce(topics[i])
		}
		for j := range in.Partitions {
			answer := &out.Partitions[j]
			answer.Default()
			answer.Partition, answer.BaseOffset = in.Partitions[j].Partition, -1
			err := whole
			if err == nil && topics[i] == nil {
				err = unknown
			}
			if err == nil {
				err = p.take(topics[i], config, &in.Partitions[j], answer, now)
			}
			if err != nil {
				p.refuse(answer, err)
			}
		}
	}
}

// checkWhole returns what the request as a whole is refused for.
func (p *produce) checkWhole() error {
	switch {
	case p.req.Version < produceVersionMin:
		return refuse(wire.CodeUnsupportedForMessageFormat, "Produce requests before version %d carry formats of records that are not stored.", produceVersionMin)
	case p.req.Acks < -1 || p.req.Acks > 1:
		return refuse(wire.CodeInvalidRequiredAcks, "acks is %d; it can be -1, 0 or 1", p.req.Acks)
	}
	return nil
}

// findTopics finds the topics of the request, and returns what unknown ones are refused
// with. The catalog is read once more before a topic or a partition is called unknown:
// another agent may have created it just now.
func (p *produce) findTopics(ctx context.Context) (unknown error) {
	p.b.viewCatalog(p.reused.find)
	if !p.lacking {
		return nil
	}
	refreshCtx, cancel := context.WithTimeout(ctx, refreshWaitMax)
	defer cancel()
	if err := p.b.refreshCatalog(refreshCtx); err != nil {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	p.b.viewCatalog(p.reused.find)
	return p.unknownTopic()
}

// findIn finds the topics in the catalog.
func (p *produce) findIn(s *catalog.State) {
	p.lacking = false
	for i := range p.req.Topics {
		in := &p.req.Topics[i]
		t := s.Topic(in.Topic)
		if p.req.Version >= topicIDVersionMin {
			t = s.ByID(in.TopicID)
		}
		p.topics[i] = t
		p.lacking = p.lacking || t == nil
		for j := 0; j < len(in.Partitions) && !p.lacking; j++ {
			p.lacking = in.Partitions[j].Partition >= t.Partitions
		}
	}
}

func (p *produce) unknownTopic() error {
	if p.req.Version >= topicIDVersionMin {
		return refuse(wire.CodeUnknownTopicID, "This server does not host this topic ID.")
	}
	return refuse(wire.CodeUnknownTopicOrPartition, "This server does not host this topic-partition.")
}

// take checks one partition's batch and puts it among the batches.
func (p *produce) take(t *catalog.Topic, c *produceConfig, in *kmsg.ProduceRequestTopicPartition, answer *kmsg.ProduceResponseTopicPartition, now int64) error {
	if in.Partition < 0 || in.Partition >= t.Partitions {
		return refuse(wire.CodeUnknownTopicOrPartition, "Topic %s has %d partitions.", t.Name, t.Partitions)
	}
	if err := checkFrame(in.Records, p.req.Version); err != nil {
		return err
	}
	h, err := checkBatch(in.Records, c)
	if err == nil {
		h, err = p.checkRecords(t, c, in.Records, h, answer, now)
	}
	if err != nil {
		p.tellLogStart(t, answer, err)
		return err
	}
	records := in.Records
	if c.recompress && h.Codec() != c.codec {
		if records, h, err = p.recompress(records, c); err != nil {
			return err
		}
	}
	if c.logAppendTime {
		batch.SetLogAppendTime(records, now)
		if h, err = batch.Parse(records); err != nil {
			return err
		}
	}
	batch.SetLeaderEpoch(records, leaderEpoch)
	p.batches = append(p.batches, ingest.Batch{
		Partition: shard.PartitionID{Topic: t.Number, Index: in.Partition},
		Topic:     t.ID,
		Shard:     t.Shard(in.Partition, p.b.cfg.Shards),
		Header:    h,
		Bytes:     records,
	})
	p.places = append(p.places, answer)
	return nil
}

// checkFrame takes the bytes that a partition brings for one whole batch.
func checkFrame(b []byte, version int16) error {
	if len(b) == 0 {
		return refuse(wire.CodeInvalidRecord, "Produce requests with version %d must have at least one record batch per partition", version)
	}
	h, err := batch.Parse(b)
	switch {
	case len(b) < batch.HeaderSize || err == nil && h.Size() > len(b):
		return refuse(wire.CodeInvalidRecord, "%d bytes hold no whole record batch", len(b))
	case err != nil:
		return err
	case h.Codec() == batch.Zstd && version < zstdVersionMin:
		return refuse(wire.CodeUnsupportedCompressionType, "Produce requests with version %d are not allowed to use ZStandard compression", version)
	case h.Size() < len(b):
		return refuse(wire.CodeInvalidRecord, "Produce requests with version %d are only allowed to contain exactly one record batch per partition", version)
	}
	return nil
}

// checkBatch holds the rules for a batch but for its records, in Kafka's order.
func checkBatch(b []byte, c *produceConfig) (batch.Header, error) {
	h, err := batch.Parse(b)
	switch {
	case err != nil:
		return h, err
	case h.BaseOffset != 0:
		return h, refuse(wire.CodeInvalidRecord, "The baseOffset of the record batch should be 0, but it is %d", h.BaseOffset)
	case int64(h.Size()) > c.batchBytesMax:
		return h, refuse(wire.CodeMessageTooLarge, "The record batch size is %d bytes which exceeds the maximum configured value of %d.", h.Size(), c.batchBytesMax)
	}
	if h, err = batch.Check(b); err != nil {
		return h, err
	}
	return h, nil
}

// recompress makes a batch anew in the topic's codec. It is held against the largest size
// again, as in Kafka.
func (p *produce) recompress(b []byte, c *produceConfig) ([]byte, batch.Header, error) {
	b, err := batch.Recompress(b, c.codec, c.level, p.b.cfg.Limits.DecompressedBytesMax)
	if err != nil {
		return nil, batch.Header{}, err
	}
	switch {
	case int64(len(b)) > c.batchBytesMax:
		err = refuse(wire.CodeMessageTooLarge, "The record batch size is %d bytes in the topic's codec, which exceeds the maximum configured value of %d.", len(b), c.batchBytesMax)
	case p.recompressed+len(b) > p.b.cfg.Limits.DecompressedBytesMax:
		err = refuse(wire.CodeMessageTooLarge, "The record batches of the request take more than %d bytes in their topics' codecs.", p.b.cfg.Limits.DecompressedBytesMax)
	}
	if err != nil {
		return nil, batch.Header{}, err
	}
	p.recompressed += len(b)
	h, err := batch.Parse(b)
	return b, h, err
}

// refuse answers one partition with an error.
func (p *produce) refuse(answer *kmsg.ProduceResponseTopicPartition, err error) {
	answer.ErrorCode, answer.ErrorMessage = codeOf(err), messageOf(err)
	if errors.Is(err, ingest.ErrPartitionClosed) && p.req.Version >= topicIDVersionMin {
		answer.ErrorCode = wire.CodeUnknownTopicID
	}
	if p.refused == nil {
		p.refused = fmt.Errorf("partition %d: %w", answer.Partition, err)
	}
}

// Ready implements wire.Pending.
func (p *produce) Ready() bool { return p.closeErr != nil || p.sub == nil || p.sub.Answered() }

// Answer implements wire.Pending: it returns the answer once all batches have one.
func (p *produce) Answer(ctx context.Context) wire.Answer {
	a := p.answer(ctx)
	a.Release = p.reused.release
	if p.tracing.span != nil {
		end := p.traceAnswer(a.Close)
		a.Release = func() { end(); p.release() }
	}
	return a
}

// AppendTo encodes the answer: it is what wire.Answer has as Body.
func (p *produce) AppendTo(dst []byte) []byte { return appendProduce(dst, &p.resp) }

func (p *produce) answer(ctx context.Context) wire.Answer {
	if p.closeErr == nil && p.sub != nil {
		p.closeErr = p.results(ctx)
	}
	p.tellOutcomes()
	switch {
	case p.closeErr != nil:
		return wire.Answer{Close: fmt.Errorf("produce: %w", p.closeErr)}
	case p.req.Acks == 0 && p.refused != nil:
		// As in Kafka: the only way to tell a client that expects no answer.
		return wire.Answer{Close: fmt.Errorf("produce with acks=0: %w", p.refused)}
	case p.req.Acks == 0:
		return wire.Answer{None: true}
	}
	if p.req.Version < produceVersionMin {
		return wire.Answer{Message: &p.resp}
	}
	return wire.Answer{Body: p}
}

// tellOutcomes counts the partitions' codes.
func (p *produce) tellOutcomes() {
	if p.closeErr != nil {
		p.b.deps.Outcome(keyProduce, outcomeClosed, 1)
	}
	fine := 0
	for i := range p.resp.Topics {
		for j := range p.resp.Topics[i].Partitions {
			if code := p.resp.Topics[i].Partitions[j].ErrorCode; code != wire.CodeNone {
				p.b.deps.Outcome(keyProduce, code, 1)
			} else {
				fine++
			}
		}
	}
	if fine > 0 && p.closeErr == nil {
		p.b.deps.Outcome(keyProduce, wire.CodeNone, fine)
	}
}

// results fills in what became of the batches. An error says that the connection must close.
func (p *produce) results(ctx context.Context) error {
	results, err := p.sub.Wait(ctx)
	if err != nil {
		return err
	}
	for i := range results {
		r, answer := &results[i], p.places[i]
		if errors.Is(r.Err, ingest.ErrUnknown) {
			return r.Err // I5: no answer is true (GUARDS 9)
		}
		answer.BaseOffset, answer.LogAppendTime, answer.LogStartOffset = r.BaseOffset, r.LogAppendTime, r.LogStart
		if r.Err != nil {
			p.refuse(answer, r.Err)
		}
		if errors.Is(r.Err, ingest.ErrTransactionEnded) {
			answer.ErrorCode = p.endedCode(ctx, &p.batches[i])
		}
	}
	return nil
}
