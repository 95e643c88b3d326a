package clients

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// load is writers and readers that go on while agents come and go. Only what no
// restart excuses is a failure.
type load struct {
	t          *testing.T
	address    string
	topic      string
	partitions int32
	ledger     *ledger
	writing    context.Context // ends: no further records are sent
	stop       context.CancelFunc
	writers    sync.WaitGroup
	readers    sync.WaitGroup
	reading    context.Context // ends: the readers go
	mu         struct {
		sync.Mutex
		failures []error
	}
}

// inFlightMax bounds a writer's records without an answer.
const inFlightMax = 50

func newLoad(t *testing.T, address, topic string, partitions int32) *load {
	l := &load{t: t, address: address, topic: topic, partitions: partitions, ledger: newLedger()}
	l.writing, l.stop = context.WithCancel(t.Context())
	var leave context.CancelFunc
	l.reading, leave = context.WithCancel(t.Context())
	t.Cleanup(func() {
		l.stop()
		leave()
		l.readers.Wait()
	})
	return l
}

func (l *load) failed(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.failures = append(l.mu.failures, fmt.Errorf(format, args...))
}

// check fails the test for what went wrong so far.
func (l *load) check() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, err := range l.mu.failures {
		if i == 10 {
			break
		}
		l.t.Error(err)
	}
	if n := len(l.mu.failures); n > 0 {
		l.t.Fatalf("%d failures under load", n)
	}
}

// writeFranz is an idempotent franz-go producer.
func (l *load) writeFranz(writer int) {
	c := franz{}.connect(l.t, l.address, kgo.DefaultProduceTopic(l.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(inFlightMax), kgo.ProducerLinger(0), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20*time.Millisecond))
	l.writers.Add(1)
	go func() {
		defer l.writers.Done()
		defer c.Close()
		for i := int32(0); l.writing.Err() == nil; i++ {
			to := lane{writer, i % l.partitions}
			v := l.ledger.next(to)
			// The record's own context never ends: what was begun is answered.
			c.Produce(context.Background(), &kgo.Record{Partition: to.partition, Value: v.bytes()}, func(r *kgo.Record, err error) {
				if err == nil {
					err = l.ledger.acknowledge(r.Partition, r.Offset, v)
				}
				if err != nil {
					l.failed("writer %d (franz-go): %v: %w", writer, v, err)
				}
			})
		}
		flushed, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Flush(flushed); err != nil {
			l.failed("writer %d (franz-go): not all answered: %w", writer, err)
		}
	}()
}

// writeLibrdkafka is an idempotent librdkafka producer.
func (l *load) writeLibrdkafka(writer int) {
	p, err := kafka.NewProducer(librdkafka{}.config(l.t, l.address, kafka.ConfigMap{
		"enable.idempotence": true, "linger.ms": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 20,
	}))
	if err != nil {
		l.t.Fatal(err)
	}
	room, reported := make(chan struct{}, inFlightMax), make(chan struct{})
	go func() {
		defer close(reported)
		for event := range p.Events() {
			switch e := event.(type) {
			case *kafka.Message:
				v, _ := e.Opaque.(value)
				err := e.TopicPartition.Error
				if err == nil {
					err = l.ledger.acknowledge(e.TopicPartition.Partition, int64(e.TopicPartition.Offset), v)
				}
				if err != nil {
					l.failed("writer %d (librdkafka): %v: %w", writer, v, err)
				}
				<-room
			case kafka.Error:
				if e.IsFatal() {
					l.failed("writer %d (librdkafka): %w", writer, e)
				}
			}
		}
	}()
	l.writers.Add(1)
	go func() {
		defer l.writers.Done()
		for i := int32(0); l.writing.Err() == nil; i++ {
			room <- struct{}{}
			to := lane{writer, i % l.partitions}
			v := l.ledger.next(to)
			place := kafka.TopicPartition{Topic: &l.topic, Partition: to.partition}
			if err := p.Produce(&kafka.Message{TopicPartition: place, Value: v.bytes(), Opaque: v}, nil); err != nil {
				l.failed("writer %d (librdkafka): %v: %w", writer, v, err)
				return
			}
		}
		if left := p.Flush(int(patience.Milliseconds())); left > 0 {
			l.failed("writer %d (librdkafka): %d not answered", writer, left)
		}
		p.Close()
		<-reported
	}()
}

// readFranz follows all partitions from their beginning.
func (l *load) readFranz() *follower {
	from := map[int32]kgo.Offset{}
	for i := range l.partitions {
		from[i] = kgo.NewOffset().At(0)
	}
	c := franz{}.connect(l.t, l.address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic: from}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20*time.Millisecond), kgo.FetchMaxWait(200*time.Millisecond))
	f := newFollower()
	l.readers.Add(1)
	go func() {
		defer l.readers.Done()
		defer c.Close()
		for l.reading.Err() == nil {
			fetches := c.PollFetches(l.reading)
			fetches.EachError(func(topic string, partition int32, err error) {
				if l.reading.Err() == nil && !errors.Is(err, context.Canceled) {
					l.failed("reader (franz-go), partition %d: %w", partition, err)
				}
			})
			fetches.EachRecord(func(r *kgo.Record) {
				if err := f.saw(r.Partition, r.Offset, r.Value); err != nil {
					l.failed("reader (franz-go): %w", err)
				}
			})
		}
	}()
	return f
}

// readLibrdkafka follows all partitions from their beginning.
func (l *load) readLibrdkafka() *follower {
	c := librdkafka{}.consumer(l.t, l.address, kafka.ConfigMap{
		"enable.partition.eof": false, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "fetch.error.backoff.ms": 20, "fetch.wait.max.ms": 200,
	})
	var places []kafka.TopicPartition
	for i := range l.partitions {
		places = append(places, kafka.TopicPartition{Topic: &l.topic, Partition: i, Offset: 0})
	}
	if err := c.Assign(places); err != nil {
		l.t.Fatal(err)
	}
	f := newFollower()
	l.readers.Add(1)
	go func() {
		defer l.readers.Done()
		defer c.Close()
		for l.reading.Err() == nil {
			switch e := c.Poll(100).(type) {
			case *kafka.Message:
				err := e.TopicPartition.Error
				if err == nil {
					err = f.saw(e.TopicPartition.Partition, int64(e.TopicPartition.Offset), e.Value)
				}
				if err != nil {
					l.failed("reader (librdkafka): %w", err)
				}
			case kafka.Error:
				if !gone(e) {
					l.failed("reader (librdkafka): %w", e)
				}
			}
		}
	}()
	return f
}

// gone says that librdkafka only tells of an agent that is not there now.
func gone(e kafka.Error) bool {
	switch e.Code() {
	case kafka.ErrTransport, kafka.ErrAllBrokersDown, kafka.ErrResolve, kafka.ErrTimedOut:
		return true
	}
	return false
}

// finish ends the writers, waits for every answer and for the readers to have
// read all, and settles each stream and a fresh reading of everything.
func (l *load) finish(streams map[string]*follower) {
	l.t.Helper()
	l.stop()
	l.writers.Wait()
	l.check()
	if sent, acknowledged := l.ledger.sent(), l.ledger.acknowledged(); sent != acknowledged {
		l.t.Fatalf("%d records sent, %d acknowledged", sent, acknowledged)
	}
	fresh := map[string]*follower{"a fresh franz-go": l.readFranz(), "a fresh librdkafka": l.readLibrdkafka()}
	for _, group := range []map[string]*follower{streams, fresh} {
		for name, f := range group {
			eventually(l.t, name+" reads all", func() bool { l.check(); return f.count() >= l.ledger.acknowledged() })
			if err := l.ledger.settle(f); err != nil {
				l.t.Errorf("%s: %v", name, err)
			}
		}
	}
	l.check()
}
