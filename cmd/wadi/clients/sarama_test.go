package clients

import (
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// saramaClient is IBM/sarama.
type saramaClient struct{}

// config returns a configuration, and where the client finds the cluster.
func (saramaClient) config(t *testing.T, address string) ([]string, *sarama.Config) {
	c, at := sarama.NewConfig(), placeOf(t, address, "sarama")
	c.ClientID = at.clientID
	c.Version = sarama.MaxVersion
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1 // sarama's condition for idempotence
	c.Producer.Return.Successes = true
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 20 * time.Millisecond // its Close waits for an answer
	return []string{at.bootstrap}, c
}

func (s saramaClient) produce(t *testing.T, address, topic, codec string, records []record) {
	t.Helper()
	brokers, config := s.config(t, address)
	if err := config.Producer.Compression.UnmarshalText([]byte(codec)); err != nil {
		t.Fatal(err)
	}
	p, err := sarama.NewSyncProducer(brokers, config)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	messages := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		m := &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(r.at)}
		if r.key != nil {
			m.Key = sarama.ByteEncoder(r.key)
		}
		if r.value != nil {
			m.Value = sarama.ByteEncoder(r.value)
		}
		for _, h := range r.headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.key), Value: h.value})
		}
		messages[i] = m
	}
	if err := p.SendMessages(messages); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

func (s saramaClient) connect(t *testing.T, address string) sarama.Client {
	t.Helper()
	c, err := sarama.NewClient(s.config(t, address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s saramaClient) read(t *testing.T, address, topic string, since int64) []record {
	t.Helper()
	c := s.connect(t, address)
	consumer, err := sarama.NewConsumerFromClient(c)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	partitions, err := c.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	var records []record
	for _, partition := range partitions {
		records = append(records, s.readPartition(t, c, consumer, topic, partition, since)...)
	}
	return records
}

func (saramaClient) readPartition(t *testing.T, c sarama.Client, consumer sarama.Consumer, topic string, partition int32, since int64) []record {
	t.Helper()
	offset := func(at int64) int64 {
		offset, err := c.GetOffset(topic, partition, at)
		if err != nil {
			t.Fatal(err)
		}
		return offset
	}
	if since == anyTime {
		since = sarama.OffsetOldest
	}
	begin, end := offset(since), offset(sarama.OffsetNewest)
	if begin < 0 || begin >= end {
		return nil
	}
	reader, err := consumer.ConsumePartition(topic, partition, begin)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	deadline := time.After(patience)
	var records []record
	for {
		select {
		case m := <-reader.Messages():
			r := record{partition: m.Partition, offset: m.Offset, at: m.Timestamp.UnixMilli(), key: m.Key, value: m.Value}
			for _, h := range m.Headers {
				r.headers = append(r.headers, header{string(h.Key), h.Value})
			}
			if records = append(records, r); m.Offset == end-1 {
				return records
			}
		case err := <-reader.Errors():
			t.Fatalf("read %s: %v", topic, err)
		case <-deadline:
			t.Fatalf("read %s: the end did not come within %v", topic, patience)
		}
	}
}

func (s saramaClient) admin(t *testing.T, address string) sarama.ClusterAdmin {
	t.Helper()
	a, err := sarama.NewClusterAdmin(s.config(t, address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func (s saramaClient) create(t *testing.T, address, topic string, partitions int, configs map[string]string) {
	t.Helper()
	detail := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
	for name, value := range configs {
		detail.ConfigEntries[name] = &value
	}
	if err := s.admin(t, address).CreateTopic(topic, detail, false); err != nil {
		t.Fatal(err)
	}
}

func (s saramaClient) list(t *testing.T, address string) []string {
	t.Helper()
	topics, err := s.admin(t, address).ListTopics()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range topics {
		names = append(names, name)
	}
	return names
}

func (s saramaClient) partitions(t *testing.T, address, topic string) int {
	t.Helper()
	found, err := s.admin(t, address).DescribeTopics([]string{topic})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Err != sarama.ErrNoError {
		t.Fatalf("%+v", found)
	}
	return len(found[0].Partitions)
}

func (s saramaClient) remove(t *testing.T, address, topic string) {
	t.Helper()
	if err := s.admin(t, address).DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
}
