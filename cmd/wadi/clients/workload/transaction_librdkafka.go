package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

func (l *librdkafka) transact(ctx context.Context, process, id string) error {
	p, err := kafka.NewProducer(l.config(kafka.ConfigMap{
		"transactional.id": id, "transaction.timeout.ms": int(transactionMax.Milliseconds()), "linger.ms": 2,
		"message.timeout.ms": int((transactionMax - time.Second).Milliseconds()), "allow.auto.create.topics": false,
	}))
	if err != nil {
		return err
	}
	events := make(chan struct{})
	go func() {
		defer close(events)
		for range p.Events() { // The ends of transactions tell what failed.
			continue
		}
	}()
	defer func() {
		p.Purge(kafka.PurgeQueue | kafka.PurgeInFlight | kafka.PurgeNonBlocking)
		p.Close()
		<-events
	}()
	defer l.recorder.done(process)
	starting, cancel := context.WithTimeout(ctx, endMax)
	err = p.InitTransactions(starting)
	cancel()
	if err != nil {
		return err
	}
	return l.each(ctx, l.recorder, process, p.BeginTransaction, func(n int, sends []send, end fate) (outcome, error) {
		return l.end(p, process, n, sends, end)
	})
}

// end sends, ends the transaction as it was drawn, and says what became of it. An error ends its producer.
func (l *librdkafka) end(p *kafka.Producer, process string, id int, sends []send, end fate) (outcome, error) {
	patience, cancel := context.WithTimeout(context.Background(), endMax)
	defer cancel()
	reports := make(chan kafka.Event, len(sends))
	for i, s := range sends {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &s.key.topic, Partition: s.key.partition}, Value: []byte(s.value), Opaque: i}
		if err := p.Produce(m, reports); err != nil {
			return undone, l.abort(patience, p, err)
		}
	}
	if end == lingers || end == deserted {
		p.Flush(int(requestMax.Milliseconds()))
		if end == deserted {
			return undone, errDeserted
		}
		time.Sleep(lingerMax)
	}
	if end == aborts {
		return undone, l.abort(patience, p, nil)
	}
	l.recorder.asks(process, id)
	for {
		err := p.CommitTransaction(patience)
		if err == nil {
			break
		}
		var e kafka.Error
		switch {
		case errors.As(err, &e) && e.TxnRequiresAbort(): // It was refused.
			return undone, l.abort(patience, p, err)
		case patience.Err() != nil || !errors.As(err, &e) || !e.IsRetriable():
			return unknown, fmt.Errorf("commit: %w", err)
		}
	}
	for range sends {
		select {
		case e := <-reports:
			if m := e.(*kafka.Message); m.TopicPartition.Error == nil {
				sends[m.Opaque.(int)].offset = int64(m.TopicPartition.Offset)
			}
		case <-patience.Done(): // Where the rest lies isn't known.
			return done, nil
		}
	}
	return done, nil
}

// abort ends the transaction for a reason, nil: as drawn. An error ends its producer.
func (l *librdkafka) abort(ctx context.Context, p *kafka.Producer, why error) error {
	if why != nil {
		l.recorder.trouble("abort", why)
	}
	for {
		err := p.AbortTransaction(ctx)
		var e kafka.Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &e) || !e.IsRetriable() {
			return err
		}
	}
}
