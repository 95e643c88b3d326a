package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is twmb/franz-go.
type franz struct {
	settings
	recorder *recorder
}

const (
	deliveryMax   = 30 * time.Second // a send that isn't acknowledged by then is given up
	requestMax    = 10 * time.Second // a request that isn't answered by then is sent again
	inFlightMax   = 40               // sends of a producer that wait for their outcome
	pollMax       = 500 * time.Millisecond
	pollRecords   = 500
	commitOneIn   = 3 // polls of a member
	commitTimeout = 5 * time.Second
)

func (f *franz) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(f.bootstrap...), kgo.ClientID(f.name), kgo.DialTimeout(2 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond), kgo.MetadataMaxAge(5 * time.Second),
		kgo.RequestTimeoutOverhead(requestMax), kgo.RetryTimeout(deliveryMax),
	}, more...)
}

func (f *franz) create(ctx context.Context, topic string) error {
	c, err := kgo.NewClient(f.options()...)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := kadm.NewClient(c).CreateTopic(ctx, int32(f.partitions), -1, nil, topic)
	if err == nil {
		err = answer.Err
	}
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

func (f *franz) produce(ctx context.Context, process string) error {
	options := f.options(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(2*time.Millisecond),
		kgo.RecordDeliveryTimeout(deliveryMax), kgo.ProduceRequestTimeout(requestMax), kgo.UnknownTopicRetries(-1))
	if !f.idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	c, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer f.recorder.done(process)
	random := f.random(process)
	var failure atomic.Pointer[error]
	room := make(chan struct{}, inFlightMax)
	tick := time.NewTicker(time.Second / time.Duration(f.rate))
	defer tick.Stop()
	for id := 0; ctx.Err() == nil && failure.Load() == nil; id++ {
		select {
		case <-ctx.Done():
			continue
		case <-tick.C:
		}
		select {
		case room <- struct{}{}:
		case <-time.After(time.Second):
			continue
		}
		keys := f.keysOf(topicsSent)
		k, value := keys[random.IntN(len(keys))], fmt.Sprintf("%s/%d", process, id)
		f.recorder.sends(process, id, k, value)
		record := &kgo.Record{Topic: k.topic, Partition: k.partition, Value: []byte(value)}
		c.Produce(context.Background(), record, func(r *kgo.Record, err error) {
			if err != nil {
				failure.CompareAndSwap(nil, &err)
			}
			f.recorder.sent(process, id, k, value, r.Offset, err)
			<-room
		})
	}
	if failure.Load() == nil {
		patience, cancel := context.WithTimeout(context.Background(), deliveryMax+requestMax)
		c.Flush(patience) // What is left is given up by Close.
		cancel()
	}
	c.Close()
	for range inFlightMax { // all outcomes are written
		room <- struct{}{}
	}
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *franz) assign(ctx context.Context, process string, places map[key]int64) error {
	from := map[string]map[int32]kgo.Offset{}
	for k, offset := range places {
		if from[k.topic] == nil {
			from[k.topic] = map[int32]kgo.Offset{}
		}
		from[k.topic][k.partition] = kgo.NewOffset().At(offset)
	}
	options := f.options(kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(pollMax))
	if f.settings.transactional {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted())) // as librdkafka reads by default
	}
	c, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer c.Close()
	f.recorder.assigned(process, places)
	f.recorder.reads(process)
	defer f.recorder.done(process)
	for ctx.Err() == nil {
		if err := f.poll(ctx, c, process, places); err != nil {
			return err
		}
	}
	return nil
}

// poll polls once and moves the places on, if there are any.
func (f *franz) poll(ctx context.Context, c *kgo.Client, process string, places map[key]int64) error {
	wait, cancel := context.WithTimeout(ctx, pollMax)
	fetches := c.PollRecords(wait, pollRecords)
	cancel()
	records := map[key][]record{}
	fetches.EachRecord(func(r *kgo.Record) {
		k := key{r.Topic, r.Partition}
		records[k] = append(records[k], record{r.Offset, string(r.Value)})
		if places != nil {
			places[k] = r.Offset + 1
		}
	})
	if len(records) > 0 {
		f.recorder.polled(process, records)
	}
	var failure error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case errors.Is(err, kerr.OffsetOutOfRange):
			k := key{topic, partition}
			f.recorder.outOfRange(process, k, places[k])
			failure = err
		default:
			f.recorder.trouble("fetch", err)
		}
	})
	return failure
}

// membership is what members of a group have in common.
func (f *franz) membership(process string) []kgo.Opt {
	changed := func(what string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			var keys []key
			for topic, partitions := range topics {
				for _, p := range partitions {
					keys = append(keys, key{topic, p})
				}
			}
			f.recorder.rebalanced(process, what, keys)
		}
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(f.group), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(pollMax),
		kgo.SessionTimeout(10 * time.Second), kgo.RebalanceTimeout(15 * time.Second), kgo.HeartbeatInterval(time.Second),
		kgo.OnPartitionsAssigned(changed(given)), kgo.OnPartitionsRevoked(changed(taken)), kgo.OnPartitionsLost(changed(lost)),
	}
}

func (f *franz) subscribe(ctx context.Context, process string) error {
	all := f.newest() + 1
	c, err := kgo.NewClient(f.options(append(f.membership(process), kgo.ConsumeTopics(f.topicsOf(all)...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())...)...)
	if err != nil {
		return err
	}
	defer c.CloseAllowingRebalance()
	f.recorder.subscribed(process, f.keysOf(all))
	f.recorder.reads(process)
	defer f.recorder.done(process)
	for n := 1; ctx.Err() == nil; n++ {
		if now := f.newest() + 1; now > all {
			all = now
			c.AddConsumeTopics(f.topicsOf(all)...)
			f.recorder.subscribed(process, f.keysOf(all))
		}
		err := f.poll(ctx, c, process, nil)
		if err == nil && n%commitOneIn == 0 {
			patience, cancel := context.WithTimeout(context.Background(), commitTimeout)
			if e := c.CommitUncommittedOffsets(patience); e == nil {
				f.recorder.committed()
			} else {
				f.recorder.trouble("commit", e)
			}
			cancel()
		}
		c.AllowRebalance()
		if err != nil {
			return err
		}
	}
	patience, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	if err := c.CommitUncommittedOffsets(patience); err != nil {
		f.recorder.trouble("commit", err)
	}
	return nil
}
