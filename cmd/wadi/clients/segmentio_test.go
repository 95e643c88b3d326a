package clients

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// segmentio is segmentio/kafka-go. It has no idempotent producer.
type segmentio struct{}

// client has a transport of its own: the shared one remembers topics for seconds.
func (segmentio) client(t *testing.T, address string) *kafka.Client {
	at := placeOf(t, address, "kafka-go")
	transport := &kafka.Transport{ClientID: at.clientID}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(at.bootstrap), Timeout: patience, Transport: transport}
}

func (segmentio) produce(t *testing.T, address, topic, codec string, records []record) {
	t.Helper()
	compression := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}[codec]
	at := placeOf(t, address, "kafka-go")
	transport := &kafka.Transport{ClientID: at.clientID}
	defer transport.CloseIdleConnections()
	w := &kafka.Writer{
		Addr: kafka.TCP(at.bootstrap), Topic: topic, Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
		Transport: transport, Compression: compression, BatchTimeout: 5 * time.Millisecond, BatchSize: 1000,
	}
	defer w.Close()
	messages := make([]kafka.Message, len(records))
	for i, r := range records {
		messages[i] = kafka.Message{Key: r.key, Value: r.value, Time: time.UnixMilli(r.at)}
		for _, h := range r.headers {
			messages[i].Headers = append(messages[i].Headers, kafka.Header{Key: h.key, Value: h.value})
		}
	}
	if err := w.WriteMessages(patient(t), messages...); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

func (s segmentio) read(t *testing.T, address, topic string, since int64) []record {
	t.Helper()
	var records []record
	for i := range s.partitions(t, address, topic) {
		records = append(records, s.readPartition(t, address, topic, i, since)...)
	}
	return records
}

func (segmentio) readPartition(t *testing.T, address, topic string, partition int, since int64) []record {
	t.Helper()
	ctx := patient(t)
	at := placeOf(t, address, "kafka-go")
	dialer := &kafka.Dialer{ClientID: at.clientID, Timeout: patience}
	conn, err := dialer.DialLeader(ctx, "tcp", at.bootstrap, topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin, end, err := conn.ReadOffsets()
	if err == nil && since != anyTime {
		begin, err = conn.ReadOffset(time.UnixMilli(since))
	}
	if err != nil {
		t.Fatal(err)
	}
	if begin < 0 || begin >= end {
		return nil
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{at.bootstrap}, Dialer: dialer, Topic: topic, Partition: partition, MaxBytes: 10 << 20, MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	if err := reader.SetOffset(begin); err != nil {
		t.Fatal(err)
	}
	var records []record
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		r := record{partition: int32(m.Partition), offset: m.Offset, at: m.Time.UnixMilli(), key: m.Key, value: m.Value}
		for _, h := range m.Headers {
			r.headers = append(r.headers, header{h.Key, h.Value})
		}
		if records = append(records, r); m.Offset == end-1 {
			return records
		}
	}
}

func (s segmentio) create(t *testing.T, address, topic string, partitions int, configs map[string]string) {
	t.Helper()
	entry := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for name, value := range configs {
		entry.ConfigEntries = append(entry.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	answer, err := s.client(t, address).CreateTopics(patient(t), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{entry}})
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Errors[topic]; err != nil {
		t.Fatal(err)
	}
}

func (s segmentio) list(t *testing.T, address string) []string {
	t.Helper()
	answer, err := s.client(t, address).Metadata(patient(t), &kafka.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, topic := range answer.Topics {
		names = append(names, topic.Name)
	}
	return names
}

func (s segmentio) partitions(t *testing.T, address, topic string) int {
	t.Helper()
	answer, err := s.client(t, address).Metadata(patient(t), &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Topics) != 1 || answer.Topics[0].Error != nil {
		t.Fatalf("%+v", answer.Topics)
	}
	return len(answer.Topics[0].Partitions)
}

func (s segmentio) remove(t *testing.T, address, topic string) {
	t.Helper()
	answer, err := s.client(t, address).DeleteTopics(patient(t), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Errors[topic]; err != nil {
		t.Fatal(err)
	}
}
