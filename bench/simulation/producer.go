package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/bench/history"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// inFlightMax bounds the records that a producer has not been answered.
const inFlightMax = 20

// produce sends values until ctx ends, by an idempotent producer: franz-go's own
// retry rules decide. Now and then it is replaced by a new one.
func (w *world) produce(ctx context.Context, n int) {
	r := w.stream(fmt.Sprint("producer ", n))
	host, zone := fmt.Sprintf("producer-%d", n), w.zone(n)
	sequence := 0
	for life := 1; ctx.Err() == nil; life++ {
		process := fmt.Sprintf("p%d.%d", n, life)
		client := w.newClient(host, zone,
			kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.RecordDeliveryTimeout(30*time.Second),
			kgo.ProducerLinger(0),
		)
		until, cancel := context.WithTimeout(ctx, time.Duration(10+r.IntN(40))*time.Second)
		free := make(chan struct{}, inFlightMax)
		open := &openSends{}
		for pause(until, time.Duration(1+r.IntN(2*int(w.cfg.SendEvery/time.Millisecond)))*time.Millisecond) {
			for range 1 + r.IntN(3) {
				p, ok := w.topics.some(r)
				if !ok {
					break
				}
				select {
				case free <- struct{}{}:
				case <-until.Done():
					continue
				}
				sequence++
				value, id := valueFor(p, fmt.Sprintf("p%d/%d", n, sequence), r), fmt.Sprint(sequence)
				w.record(history.Event{Process: process, Type: history.Invoke, Function: history.Send, ID: id,
					Ops: []history.Op{history.SendOp(p.key(), value, -1)}})
				began := time.Now()
				open.begin(openSend{id, value, p})
				client.Produce(context.WithoutCancel(ctx), recordFor(p, value), func(rec *kgo.Record, err error) {
					defer func() { <-free }()
					if !open.end(id) {
						return
					}
					w.sent(process, id, p, value, rec.Offset, time.Since(began), err)
				})
			}
		}
		cancel()
		// What is under way ends by its own time-out; its outcome is awaited, since a
		// client that is closed tells none.
		open.wait(sendPatience)
		for _, s := range open.giveUp() {
			if !w.topics.isRetired(s.to.topic) {
				w.bug("%s: %s was neither answered nor refused in %v", process, s.value, sendPatience)
			}
			w.sent(process, s.id, s.to, s.value, -1, 0, errors.New("given up: its topic is gone"))
		}
		client.Close()
	}
}

// sendPatience is how long the sends of a producer that stops are awaited. franz-go asks
// for ever after a batch whose outcome it doesn't know, also where the topic has been deleted.
const sendPatience = 5 * time.Minute

// openSend is a send without an outcome.
type openSend struct {
	id, value string
	to        partition
}

// openSends are the sends of one client that have none.
type openSends struct {
	mu   sync.Mutex
	list []openSend // as they were sent
}

func (o *openSends) begin(s openSend) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, s)
}

// end removes a send; false if it was given up.
func (o *openSends) end(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.list, func(s openSend) bool { return s.id == id })
	if i < 0 {
		return false
	}
	o.list = slices.Delete(o.list, i, i+1)
	return true
}

// wait returns once none is left, or the time is over.
func (o *openSends) wait(patience time.Duration) {
	const every = 50 * time.Millisecond
	for passed := time.Duration(0); passed < patience; passed += every {
		o.mu.Lock()
		left := len(o.list)
		o.mu.Unlock()
		if left == 0 {
			return
		}
		time.Sleep(every)
	}
}

// giveUp removes those that are left, and returns them.
func (o *openSends) giveUp() []openSend {
	o.mu.Lock()
	defer o.mu.Unlock()
	left := o.list
	o.list = nil
	return left
}

// sent records the outcome of a send.
func (w *world) sent(process, id string, p partition, value string, offset int64, took time.Duration, err error) {
	e := history.Event{Process: process, Type: history.OK, Function: history.Send, ID: id}
	var code errorCode
	switch {
	case err == nil:
		e.Ops = []history.Op{history.SendOp(p.key(), value, offset)}
		w.ends.acknowledged("", p, offset+1)
		if offset < 0 {
			w.bug("%s: %s was acknowledged without an offset", process, value)
		}
	case errors.As(err, &code) && code.definite():
		e.Type, e.Error = history.Fail, err.Error()
	default:
		e.Type, e.Error = history.Info, err.Error()
	}
	w.record(e)
	w.count(func(c *counts) {
		c.sends++
		if err == nil {
			c.acknowledged++
			c.stall = max(c.stall, took)
		}
	})
}

// producePlain sends values without producer ids: each once, since a retry could
// stand twice.
func (w *world) producePlain(ctx context.Context, n int) {
	r := w.stream(fmt.Sprint("plain producer ", n))
	client := w.newClient(fmt.Sprintf("plain-%d", n), w.zone(n), kgo.RequestRetries(0))
	defer client.Close()
	for sequence := 1; pause(ctx, time.Duration(1+r.IntN(2*int(w.cfg.SendEvery/time.Millisecond)))*time.Millisecond); sequence++ {
		p, ok := w.topics.some(r)
		if !ok {
			continue
		}
		process, value := fmt.Sprintf("q%d.%d", n, sequence), valueFor(p, fmt.Sprintf("q%d/%d", n, sequence), r)
		w.record(history.Event{Process: process, Type: history.Invoke, Function: history.Send,
			Ops: []history.Op{history.SendOp(p.key(), value, -1)}})
		began := time.Now()
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		offset, err := sendOnce(try, client, p, value)
		cancel()
		w.sent(process, "", p, value, offset, time.Since(began), err)
	}
}

// sendOnce sends one batch in one request that no one repeats.
func sendOnce(ctx context.Context, to kmsg.Requestor, p partition, value string) (int64, error) {
	return sendBatch(ctx, to, p, value, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
}

// sendBatch sends a batch of one value in one request that no one repeats; h says whose it is.
func sendBatch(ctx context.Context, to kmsg.Requestor, p partition, value string, h batch.Header) (int64, error) {
	now := time.Now().UnixMilli()
	rec := recordFor(p, value)
	stored := batch.Record{Timestamp: now, Key: rec.Key, Value: rec.Value}
	for _, h := range rec.Headers {
		stored.Headers = append(stored.Headers, batch.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	h.Magic, h.FirstTimestamp, h.MaxTimestamp, h.Records = 2, now, now, 1
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = p.topic
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = p.index, batch.Append(nil, h, []batch.Record{stored})
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	req.SetVersion(9)
	resp, err := req.RequestWith(ctx, to)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("an answer of %d topics", len(resp.Topics))
	}
	a := resp.Topics[0].Partitions[0]
	if a.ErrorCode != 0 {
		return 0, errorCode(a.ErrorCode)
	}
	return a.BaseOffset, nil
}

// errorCode is Kafka's code of a produce answer.
type errorCode int16

func (c errorCode) Error() string { return fmt.Sprintf("error code %d", int16(c)) }

// definite tells whether the code says that the batch did not happen, nor will.
func (c errorCode) definite() bool {
	switch int16(c) {
	case wire.CodeUnknownTopicOrPartition, wire.CodeUnknownTopicID, wire.CodeInvalidTopicException, wire.CodeCorruptMessage,
		wire.CodeInvalidRecord, wire.CodeMessageTooLarge, wire.CodeInvalidTimestamp, wire.CodeOutOfOrderSequenceNumber,
		wire.CodeInvalidProducerEpoch, wire.CodeKafkaStorageError:
		return true
	}
	return false
}
