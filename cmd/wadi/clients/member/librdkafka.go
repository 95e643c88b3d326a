package main

import (
	"fmt"
	"slices"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// joinLibrdkafka is librdkafka: eager range in the classic protocol, the
// server's assignor in KIP-848's.
func joinLibrdkafka(at place, r request, leave <-chan struct{}, out *output) error {
	config := kafka.ConfigMap{
		"bootstrap.servers": at.address, "client.id": at.clientID, "broker.address.family": "v4", "log_level": 2, "group.id": r.Group,
		"enable.auto.commit": false, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100,
	}
	if r.Instance != "" {
		config["group.instance.id"] = r.Instance
	}
	if r.Protocol == "consumer" {
		config["group.protocol"] = "consumer"
	} else {
		config["session.timeout.ms"], config["heartbeat.interval.ms"] = r.Session, 500
	}
	c, err := kafka.NewConsumer(&config)
	if err != nil {
		return err
	}
	held := &holding{}
	rebalance := func(c *kafka.Consumer, e kafka.Event) error {
		numbers := func(places []kafka.TopicPartition) []int32 {
			var partitions []int32
			for _, p := range places {
				partitions = append(partitions, p.Partition)
			}
			return slices.Sorted(slices.Values(partitions))
		}
		switch e := e.(type) {
		case kafka.AssignedPartitions:
			out.assigned(held.change(numbers(e.Partitions), true))
		case kafka.RevokedPartitions:
			out.assigned(held.change(numbers(e.Partitions), false))
		}
		return nil // the binding assigns
	}
	if err := c.Subscribe(r.Topic, rebalance); err != nil {
		return err
	}
	for {
		select {
		case <-leave:
			return c.Close()
		default:
		}
		first, last := map[int32]int64{}, map[int32]int64{}
		for n, wait := 0, 100; n < 100; n++ { // what is there, at most
			event := c.Poll(wait)
			if event == nil {
				break
			}
			switch e := event.(type) {
			case *kafka.Message:
				if e.TopicPartition.Error != nil {
					return e.TopicPartition.Error
				}
				p := e.TopicPartition
				if _, seen := first[p.Partition]; !seen {
					first[p.Partition] = int64(p.Offset)
				}
				last[p.Partition] = int64(p.Offset)
			case kafka.Error:
				if e.IsFatal() {
					return e
				}
			}
			wait = 0
		}
		if len(first) == 0 {
			continue
		}
		var places []kafka.TopicPartition
		for p := range first {
			out.read(p, first[p], last[p])
			places = append(places, kafka.TopicPartition{Topic: &r.Topic, Partition: p, Offset: kafka.Offset(last[p] + 1)})
		}
		placed, err := c.CommitOffsets(places)
		if movedOn(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		for _, p := range placed {
			if p.Error == nil {
				out.committed(p.Partition, int64(p.Offset))
			} else if !movedOn(p.Error) {
				return fmt.Errorf("commit of partition %d: %w", p.Partition, p.Error)
			}
		}
	}
}

// movedOn is rebalanced for librdkafka's errors.
func movedOn(err error) bool {
	e, ok := err.(kafka.Error)
	return ok && slices.Contains([]kafka.ErrorCode{
		kafka.ErrRebalanceInProgress, kafka.ErrIllegalGeneration, kafka.ErrUnknownMemberID, kafka.ErrStaleMemberEpoch,
		kafka.ErrState, kafka.ErrAssignmentLost, kafka.ErrNoOffset, kafka.ErrWaitCoord,
	}, e.Code())
}
