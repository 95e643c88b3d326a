package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// joinSegmentio is segmentio/kafka-go's ConsumerGroup, with eager range. Its
// Reader doesn't tell which partitions it has.
func joinSegmentio(at place, r request, leave <-chan struct{}, out *output) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: r.Group, Brokers: []string{at.address}, Dialer: at.dialer(), Topics: []string{r.Topic}, StartOffset: kafka.FirstOffset,
		SessionTimeout: time.Duration(r.Session) * time.Millisecond, RebalanceTimeout: 10 * time.Second,
		HeartbeatInterval: 500 * time.Millisecond, JoinGroupBackoff: 200 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-leave
		cancel()
	}()
	for {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			return group.Close()
		}
		if errors.Is(err, kafka.RebalanceInProgress) || errors.Is(err, kafka.UnknownMemberId) || errors.Is(err, kafka.IllegalGeneration) {
			continue
		}
		if err != nil {
			return err
		}
		var partitions []int32
		for _, a := range generation.Assignments[r.Topic] {
			partitions = append(partitions, int32(a.ID))
		}
		out.assigned(partitions)
		var readers sync.WaitGroup
		for _, a := range generation.Assignments[r.Topic] {
			readers.Add(1)
			generation.Start(func(ctx context.Context) {
				defer readers.Done()
				consumeSegmentio(ctx, at, r.Topic, generation, a, out)
			})
		}
		generation.Start(func(ctx context.Context) {
			<-ctx.Done()
			readers.Wait()
			out.assigned(nil)
		})
	}
}

// dialer is the library's default with the member's client.id.
func (at place) dialer() *kafka.Dialer {
	dialer := *kafka.DefaultDialer
	dialer.ClientID = at.clientID
	return &dialer
}

// consumeSegmentio reads one partition for as long as a generation lasts.
func consumeSegmentio(ctx context.Context, at place, topic string, generation *kafka.Generation, a kafka.PartitionAssignment, out *output) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{at.address}, Dialer: at.dialer(), Topic: topic, Partition: a.ID, MaxBytes: 10 << 20, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(a.Offset); err != nil {
		out.write(event{Error: err.Error()})
		return
	}
	for {
		first, err := reader.ReadMessage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			out.write(event{Error: err.Error()})
			return
		}
		last := first.Offset
		some, cancel := context.WithTimeout(ctx, 20*time.Millisecond) // what comes with it
		for m, err := reader.ReadMessage(some); err == nil; m, err = reader.ReadMessage(some) {
			last = m.Offset
		}
		cancel()
		out.read(int32(a.ID), first.Offset, last)
		err = generation.CommitOffsets(map[string]map[int]int64{topic: {a.ID: last + 1}})
		switch {
		case err == nil:
			out.committed(int32(a.ID), last+1)
		case errors.Is(err, kafka.RebalanceInProgress), errors.Is(err, kafka.UnknownMemberId), errors.Is(err, kafka.IllegalGeneration), errors.Is(err, kafka.ErrGenerationEnded):
		default:
			out.write(event{Error: err.Error()})
		}
	}
}
