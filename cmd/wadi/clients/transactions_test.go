package clients

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// librdkafka's transactions: version 1 of their protocol, where the client adds the
// partitions and keeps its epoch. What is committed is read, what is aborted is not.
func TestTransactions_Librdkafka(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": address, "transactional.id": "copier", "linger.ms": 1})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	go func() {
		for range producer.Events() {
			continue // the commit tells what failed
		}
	}()
	topic := "in-transactions"
	admin, err := kafka.NewAdminClientFromProducer(producer)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	made, err := admin.CreateTopics(t.Context(), []kafka.TopicSpecification{{Topic: topic, NumPartitions: 2, ReplicationFactor: 1}})
	if err != nil || made[0].Error.Code() != kafka.ErrNoError {
		t.Fatal(err, made)
	}
	if err := producer.InitTransactions(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for round := range 6 {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			value := fmt.Sprintf("%d/%d", round, i)
			if round%2 == 0 {
				want = append(want, value)
			}
			m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: int32(i % 2)}, Value: []byte(value)}
			if err := producer.Produce(m, nil); err != nil {
				t.Fatal(err)
			}
		}
		end := producer.CommitTransaction
		if round%2 == 1 {
			end = producer.AbortTransaction
		}
		if err := end(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	for level, least := range map[string]int{"read_committed": len(want), "read_uncommitted": len(want)} {
		consumer, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": address, "group.id": level, "auto.offset.reset": "earliest",
			"isolation.level": level, "enable.partition.eof": true})
		if err != nil {
			t.Fatal(err)
		}
		if err := consumer.Subscribe(topic, nil); err != nil {
			t.Fatal(err)
		}
		var got []string
		ended := map[int32]bool{}
		for until := time.Now().Add(patience); len(ended) < 2 && time.Now().Before(until); {
			switch e := consumer.Poll(200).(type) {
			case *kafka.Message:
				got = append(got, string(e.Value))
			case kafka.PartitionEOF:
				ended[e.Partition] = true
			}
		}
		consumer.Close()
		slices.Sort(got)
		if level == "read_committed" && !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("read %q, not %q", got, want)
		}
		if len(got) < least {
			t.Errorf("%s: %d values, fewer than %d", level, len(got), least)
		}
	}
}
