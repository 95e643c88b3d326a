package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// joinSarama is IBM/sarama with its default, eager range.
func joinSarama(at place, r request, leave <-chan struct{}, out *output) error {
	config := sarama.NewConfig()
	config.ClientID = at.clientID
	config.Version = sarama.MaxVersion
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Group.Session.Timeout = time.Duration(r.Session) * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Group.InstanceId = r.Instance
	config.Consumer.Return.Errors = true
	group, err := sarama.NewConsumerGroup([]string{at.address}, r.Group, config)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		for err := range group.Errors() {
			if !saramaMovedOn(err) {
				select {
				case failed <- fmt.Errorf("sarama says: %w", err):
				default:
				}
			}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-leave
		cancel()
	}()
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{r.Topic}, saramaHandler{r.Topic, out}); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if err := group.Close(); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func saramaMovedOn(err error) bool {
	for _, e := range []error{sarama.ErrRebalanceInProgress, sarama.ErrIllegalGeneration, sarama.ErrUnknownMemberId, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

type saramaHandler struct {
	topic string
	out   *output
}

func (h saramaHandler) Setup(s sarama.ConsumerGroupSession) error {
	h.out.assigned(s.Claims()[h.topic])
	return nil
}

func (h saramaHandler) Cleanup(sarama.ConsumerGroupSession) error {
	h.out.assigned(nil)
	return nil
}

// ConsumeClaim runs once for each partition. Its Commit has no answer to look
// at, so nothing is told about it; the test asks the coordinator.
func (h saramaHandler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, open := <-claim.Messages():
			if !open {
				return nil
			}
			first, last := m.Offset, m
			for more := true; more; { // what is there
				select {
				case m, open := <-claim.Messages():
					if more = open; open {
						last = m
					}
				default:
					more = false
				}
			}
			h.out.read(claim.Partition(), first, last.Offset)
			s.MarkMessage(last, "")
			s.Commit()
		case <-s.Context().Done():
			return nil
		}
	}
}
