package clients

import (
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// librdkafka is the C library, through confluent-kafka-go; kcat and the clients
// of Python, .NET and Node are the same code.
type librdkafka struct{}

func (librdkafka) config(t *testing.T, address string, more kafka.ConfigMap) *kafka.ConfigMap {
	at := placeOf(t, address, "librdkafka")
	config := kafka.ConfigMap{"bootstrap.servers": at.bootstrap, "client.id": at.clientID, "broker.address.family": "v4", "log_level": 2}
	for name, value := range more {
		config[name] = value
	}
	return &config
}

func (l librdkafka) produce(t *testing.T, address, topic, codec string, records []record) {
	t.Helper()
	p, err := kafka.NewProducer(l.config(t, address, kafka.ConfigMap{
		"compression.type": codec, "enable.idempotence": true, "go.delivery.report.fields": "none",
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	acknowledged := make(chan error, 1)
	go func() {
		deadline := time.NewTimer(patience)
		defer deadline.Stop()
		for left := len(records); left > 0; {
			select {
			case event := <-p.Events():
				switch e := event.(type) {
				case *kafka.Message:
					if e.TopicPartition.Error != nil {
						acknowledged <- e.TopicPartition.Error
						return
					}
					left--
				case kafka.Error:
					t.Logf("librdkafka says: %v", e)
				}
			case <-deadline.C:
				acknowledged <- kafka.NewError(kafka.ErrTimedOut, "not all were acknowledged", false)
				return
			}
		}
		acknowledged <- nil
	}()
	for _, r := range records {
		m := &kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny},
			Key:            r.key, Value: r.value, Timestamp: time.UnixMilli(r.at),
		}
		for _, h := range r.headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.key, Value: h.value})
		}
		for err := p.Produce(m, nil); err != nil; err = p.Produce(m, nil) {
			if e, ok := err.(kafka.Error); !ok || e.Code() != kafka.ErrQueueFull {
				t.Fatalf("produce to %s: %v", topic, err)
			}
			p.Flush(10)
		}
	}
	if err := <-acknowledged; err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

func (l librdkafka) consumer(t *testing.T, address string, more kafka.ConfigMap) *kafka.Consumer {
	t.Helper()
	config := l.config(t, address, kafka.ConfigMap{
		"group.id": "none", "enable.auto.commit": false, "enable.partition.eof": true, "auto.offset.reset": "error",
		"fetch.wait.max.ms": 20, // an end is told by an answer without records
	})
	for name, value := range more {
		config.SetKey(name, value)
	}
	c, err := kafka.NewConsumer(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (l librdkafka) read(t *testing.T, address, topic string, since int64) []record {
	t.Helper()
	c := l.consumer(t, address, nil)
	defer c.Close()
	var places []kafka.TopicPartition
	for i := range l.partitions(t, address, topic) {
		place := kafka.TopicPartition{Topic: &topic, Partition: int32(i), Offset: kafka.OffsetBeginning}
		if since != anyTime {
			place.Offset = kafka.Offset(since)
		}
		places = append(places, place)
	}
	if since != anyTime {
		var err error
		if places, err = c.OffsetsForTimes(places, int(patience.Milliseconds())); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Assign(places); err != nil {
		t.Fatal(err)
	}
	var records []record
	deadline := time.Now().Add(patience)
	for open := len(places); open > 0; {
		switch e := c.Poll(100).(type) {
		case *kafka.Message:
			if e.TopicPartition.Error != nil {
				t.Fatalf("read %s: %v", topic, e.TopicPartition.Error)
			}
			records = append(records, librdkafkaRecord(e))
		case kafka.PartitionEOF:
			open--
		case kafka.Error:
			t.Fatalf("read %s: %v", topic, e)
		}
		if time.Now().After(deadline) {
			t.Fatalf("read %s: %d partitions not at their end after %v", topic, open, patience)
		}
	}
	return records
}

func librdkafkaRecord(m *kafka.Message) record {
	r := record{
		partition: m.TopicPartition.Partition, offset: int64(m.TopicPartition.Offset),
		at: m.Timestamp.UnixMilli(), key: m.Key, value: m.Value,
	}
	for _, h := range m.Headers {
		r.headers = append(r.headers, header{h.Key, h.Value})
	}
	return r
}

func (l librdkafka) admin(t *testing.T, address string) *kafka.AdminClient {
	t.Helper()
	a, err := kafka.NewAdminClient(l.config(t, address, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func (l librdkafka) create(t *testing.T, address, topic string, partitions int, configs map[string]string) {
	t.Helper()
	results, err := l.admin(t, address).CreateTopics(patient(t), []kafka.TopicSpecification{
		{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, Config: configs},
	})
	l.done(t, results, err)
}

func (librdkafka) done(t *testing.T, results []kafka.TopicResult, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Error.Code() != kafka.ErrNoError {
			t.Fatal(r)
		}
	}
}

func (l librdkafka) list(t *testing.T, address string) []string {
	t.Helper()
	metadata, err := l.admin(t, address).GetMetadata(nil, true, int(patience.Milliseconds()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range metadata.Topics {
		names = append(names, name)
	}
	return names
}

func (l librdkafka) partitions(t *testing.T, address, topic string) int {
	t.Helper()
	found, err := l.admin(t, address).DescribeTopics(patient(t), kafka.NewTopicCollectionOfTopicNames([]string{topic}))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found.TopicDescriptions {
		if d.Error.Code() != kafka.ErrNoError {
			t.Fatal(d.Error)
		}
		return len(d.Partitions)
	}
	t.Fatalf("no description of %s", topic)
	return 0
}

func (l librdkafka) remove(t *testing.T, address, topic string) {
	t.Helper()
	results, err := l.admin(t, address).DeleteTopics(patient(t), []string{topic})
	l.done(t, results, err)
}
