package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes a topic; with replicas each partition is on the nodes 1 to replicas, led
// by the first, with −1 where the broker wants it.
func CreateTopic(ctx context.Context, address, topic string, partitions, replicas int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	defer client.Close()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = createTimeoutMs
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), -1
	if replicas > 0 {
		t.NumPartitions = -1
		var on []int32
		for node := range replicas {
			on = append(on, int32(node+1))
		}
		for i := range partitions {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(i), on
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
	}
	request.Topics = append(request.Topics, t)
	answer, err := request.RequestWith(ctx, client)
	if err == nil && len(answer.Topics) == 1 && answer.Topics[0].ErrorCode != 0 {
		err = fmt.Errorf("error code %d", answer.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return awaitLeaders(ctx, client, topic)
}

const createTimeoutMs = 30_000

// awaitLeaders waits until each partition of a topic has a leader that takes it for its own: Apache
// Kafka names it in Metadata a little earlier.
func awaitLeaders(ctx context.Context, client *kgo.Client, topic string) error {
	admin := kadm.NewClient(client)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		meta, err := admin.Metadata(ctx, topic)
		if err != nil {
			return err
		}
		ready := meta.Topics[topic].Err == nil && len(meta.Topics[topic].Partitions) > 0
		for _, p := range meta.Topics[topic].Partitions {
			ready = ready && p.Err == nil && p.Leader >= 0
		}
		if ready {
			if ends, err := admin.ListEndOffsets(ctx, topic); err == nil && ends.Error() == nil {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Nodes is how many brokers a cluster names.
func Nodes(ctx context.Context, address string) (int, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, nodesMax)
	defer cancel()
	meta, err := kadm.NewClient(client).BrokerMetadata(ctx)
	return len(meta.Brokers), err
}

// nodesMax bounds a question for the nodes.
const nodesMax = 2 * time.Second

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

// CountPartitions asks for the metadata of all topics and counts their partitions.
func CountPartitions(ctx context.Context, address string) (n int, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	meta, err := kadm.NewClient(client).Metadata(ctx)
	for _, topic := range meta.Topics {
		n += len(topic.Partitions)
	}
	return n, err
}

// DialIdle connects as a client does that then says nothing: it asks for the versions of requests.
func DialIdle(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	const versionsKey, versionsVersion = 18, 3
	body := appendCompact(appendCompact(nil, clientID), "1")
	body = append(body, 0) // no tags
	if _, err := c.Write(append(head(versionsKey, versionsVersion, len(body)), body...)); err != nil {
		c.Close()
		return nil, err
	}
	var length [4]byte
	if _, err = io.ReadFull(c, length[:]); err == nil {
		_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(length[:])))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
