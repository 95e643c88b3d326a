package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// librdkafka is the C library, through confluent-kafka-go.
type librdkafka struct {
	settings
	recorder *recorder
}

func (l *librdkafka) config(more kafka.ConfigMap) *kafka.ConfigMap {
	config := kafka.ConfigMap{
		"bootstrap.servers": strings.Join(l.bootstrap, ","), "broker.address.family": "v4", "client.id": l.name,
		"socket.connection.setup.timeout.ms": 2000, "socket.timeout.ms": int(requestMax.Milliseconds()),
		"reconnect.backoff.max.ms": 1000, "topic.metadata.refresh.interval.ms": 5000,
	}
	if config["log_level"] = 0; l.debug != "" {
		config["log_level"], config["debug"] = 7, l.debug
	}
	for name, value := range more {
		config[name] = value
	}
	return &config
}

// reader is the configuration of a consumer. It logs the state of its group, whose cost is small: so the log tells
// what a Commit or a Close that never ended waited for.
func (l *librdkafka) reader(more kafka.ConfigMap) *kafka.ConfigMap {
	config := l.config(more)
	if l.debug == "" {
		config.SetKey("log_level", 7)
		config.SetKey("debug", "cgrp")
	}
	return config
}

func (l *librdkafka) create(ctx context.Context, topic string) error {
	a, err := kafka.NewAdminClient(l.config(nil))
	if err != nil {
		return err
	}
	defer a.Close()
	results, err := a.CreateTopics(ctx, []kafka.TopicSpecification{{Topic: topic, NumPartitions: l.partitions, ReplicationFactor: -1}})
	if err != nil {
		return err
	}
	for _, r := range results {
		if code := r.Error.Code(); code != kafka.ErrNoError && code != kafka.ErrTopicAlreadyExists {
			return r.Error
		}
	}
	return nil
}

func (l *librdkafka) produce(ctx context.Context, process string) error {
	config := l.config(kafka.ConfigMap{
		"enable.idempotence": l.idempotent, "acks": "all", "linger.ms": 2, "message.timeout.ms": int(messageMax.Milliseconds()),
		"request.timeout.ms": int(requestMax.Milliseconds()), "queue.buffering.max.messages": 10 * inFlightMax,
		"allow.auto.create.topics": false,
	})
	if !l.idempotent {
		config.SetKey("max.in.flight", 1)
	}
	p, err := kafka.NewProducer(config)
	if err != nil {
		return err
	}
	defer l.recorder.done(process)
	random := l.random(process)
	type pending struct {
		id    int
		key   key
		value string
		since time.Time
	}
	var failure atomic.Pointer[error]
	fail := func(err error) { failure.CompareAndSwap(nil, &err) }
	outcomes := make(chan kafka.Event, inFlightMax)
	room := make(chan struct{}, inFlightMax)
	open := map[int]pending{} // of the goroutine below
	opened, ended := make(chan pending, inFlightMax), make(chan struct{})
	settle := func(e kafka.Event) {
		m := e.(*kafka.Message)
		s := m.Opaque.(pending)
		delete(open, s.id)
		err := m.TopicPartition.Error
		if err != nil {
			fail(err)
		}
		l.recorder.sent(process, s.id, s.key, s.value, int64(m.TopicPartition.Offset), err)
		<-room
	}
	closed := make(chan struct{})
	go func() {
		defer close(ended)
		look := time.NewTicker(time.Second)
		defer look.Stop()
		for {
			select {
			case now := <-look.C:
				for _, s := range open {
					if now.Sub(s.since) > deliveryMax {
						fail(errUndelivered)
					}
				}
			case s := <-opened:
				open[s.id] = s
			case e := <-outcomes:
				for len(opened) > 0 {
					s := <-opened
					open[s.id] = s
				}
				settle(e)
			case e := <-p.Events(): // errors that concern no message
				if e, ok := e.(kafka.Error); ok && e.IsFatal() {
					fail(e)
				}
			case <-closed:
				for len(opened) > 0 {
					s := <-opened
					open[s.id] = s
				}
				for len(outcomes) > 0 {
					settle(<-outcomes)
				}
				for _, s := range open {
					l.recorder.sent(process, s.id, s.key, s.value, -1, errors.New("given up"))
				}
				return
			}
		}
	}()
	tick := time.NewTicker(time.Second / time.Duration(l.rate))
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
		keys := l.keysOf(topicsSent)
		k, value := keys[random.IntN(len(keys))], fmt.Sprintf("%s/%d", process, id)
		s := pending{id, k, value, time.Now()}
		opened <- s
		l.recorder.sends(process, id, k, value)
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &k.topic, Partition: k.partition}, Value: []byte(value), Opaque: s}
		if err := p.Produce(m, outcomes); err != nil {
			fail(err) // It stays open and is given up.
		}
	}
	if failure.Load() == nil {
		p.Flush(int((deliveryMax + requestMax).Milliseconds()))
	}
	p.Close()
	close(closed)
	<-ended
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *librdkafka) assign(ctx context.Context, process string, places map[key]int64) error {
	c, err := kafka.NewConsumer(l.reader(kafka.ConfigMap{
		"group.id": "none", "enable.auto.commit": false, "enable.auto.offset.store": false, "auto.offset.reset": "error",
		"fetch.wait.max.ms": int(pollMax.Milliseconds()), "fetch.error.backoff.ms": 100,
	}))
	if err != nil {
		return err
	}
	// Nothing that a broker says is needed for it: it is in no group, and commits nothing.
	defer l.recorder.closes(fmt.Sprintf("%s (%s)", process, c), c.Close)
	var list []kafka.TopicPartition
	for k, offset := range places {
		list = append(list, kafka.TopicPartition{Topic: &k.topic, Partition: k.partition, Offset: kafka.Offset(offset)})
	}
	l.recorder.assigned(process, places)
	if err := c.Assign(list); err != nil {
		return err
	}
	l.recorder.reads(process)
	defer l.recorder.done(process)
	b := &batch{recorder: l.recorder, process: process}
	for ctx.Err() == nil {
		if _, err := l.poll(c, b, places); err != nil {
			return err
		}
	}
	return nil
}

// batch is what a client was handed since its last event in the history.
type batch struct {
	recorder *recorder
	process  string
	records  map[key][]record
}

// flush writes what was handed over, before anything else of the process is written.
func (b *batch) flush() {
	if len(b.records) > 0 {
		b.recorder.polled(b.process, b.records)
	}
	b.records = map[key][]record{}
}

// poll polls for a while and moves the places on, if there are any. It returns
// how many records it was handed.
func (l *librdkafka) poll(c *kafka.Consumer, b *batch, places map[key]int64) (n int, err error) {
	b.flush()
	defer b.flush()
	wait := int(pollMax.Milliseconds())
	for range pollRecords {
		event := c.Poll(wait)
		if event == nil {
			break
		}
		wait = 0
		switch e := event.(type) {
		case *kafka.Message:
			t := e.TopicPartition
			if t.Error != nil {
				l.recorder.trouble("fetch", t.Error)
				continue
			}
			n++
			k := key{*t.Topic, t.Partition}
			b.records[k] = append(b.records[k], record{int64(t.Offset), string(e.Value)})
			if places != nil {
				places[k] = int64(t.Offset) + 1
			}
		case kafka.Error:
			switch {
			case e.Code() == kafka.ErrAutoOffsetReset:
				l.recorder.outOfRange(b.process, key{}, -1)
				return n, e
			case e.IsFatal():
				return n, e
			default:
				l.recorder.trouble("fetch", e)
			}
		}
	}
	return n, nil
}

func keysIn(places []kafka.TopicPartition) (keys []key) {
	for _, p := range places {
		keys = append(keys, key{*p.Topic, p.Partition})
	}
	return keys
}

func (l *librdkafka) subscribe(ctx context.Context, process string) error {
	c, err := kafka.NewConsumer(l.reader(kafka.ConfigMap{
		"group.id": l.group, "enable.auto.commit": false, "auto.offset.reset": "earliest", "fetch.wait.max.ms": int(pollMax.Milliseconds()),
		"session.timeout.ms": 10_000, "heartbeat.interval.ms": 1000, "max.poll.interval.ms": 60_000, "fetch.error.backoff.ms": 100,
	}))
	if err != nil {
		return err
	}
	stuck := false
	defer func() {
		if stuck { // Close would wait for the commit.
			l.recorder.leavesBehind(fmt.Sprintf("%s (%s)", process, c))
		} else {
			c.Close()
		}
	}()
	b := &batch{recorder: l.recorder, process: process}
	// It is called within Poll; the binding assigns after it.
	rebalance := func(c *kafka.Consumer, e kafka.Event) error {
		b.flush()
		switch e := e.(type) {
		case kafka.AssignedPartitions:
			l.recorder.rebalanced(process, given, keysIn(e.Partitions))
		case kafka.RevokedPartitions:
			what := taken
			if c.AssignmentLost() {
				what = lost
			}
			l.recorder.rebalanced(process, what, keysIn(e.Partitions))
		}
		return nil
	}
	all := 0
	l.recorder.reads(process)
	defer l.recorder.done(process)
	for n := 1; ctx.Err() == nil; n++ {
		if now := l.newest() + 1; now > all {
			all = now
			if err := c.SubscribeTopics(l.topicsOf(all), rebalance); err != nil {
				return err
			}
			l.recorder.subscribed(process, l.keysOf(all))
		}
		read, err := l.poll(c, b, nil)
		if err != nil {
			return err
		}
		if read == 0 {
			continue
		}
		switch err := commit(c); {
		case err == nil:
			l.recorder.committed()
		case errors.Is(err, errCommitStuck):
			stuck = true
			return err
		default:
			l.recorder.trouble("commit", err)
		}
	}
	return nil
}
