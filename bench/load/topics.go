package load

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// CreateTopic makes a topic with the broker's own replication factor if replicas is −1.
func CreateTopic(ctx context.Context, address, topic string, partitions, replicas int, configs map[string]*string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	defer client.Close()
	made, err := kadm.NewClient(client).CreateTopic(ctx, int32(partitions), int16(replicas), configs, topic)
	if err == nil {
		err = made.Err
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// DeleteTopic removes a topic, so that what it holds is given back.
func DeleteTopic(ctx context.Context, address, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := kadm.NewClient(client).DeleteTopic(ctx, topic)
	if err == nil {
		err = answer.Err
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// initProducer asks for a producer id.
func initProducer(ctx context.Context, address string) (id int64, epoch int16, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	if id, epoch, err = client.ProducerID(ctx); err != nil {
		return 0, 0, fmt.Errorf("a producer id: %w", err)
	}
	return id, epoch, nil
}
