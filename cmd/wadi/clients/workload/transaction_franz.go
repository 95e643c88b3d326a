package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (f *franz) transactional(id string, more ...kgo.Opt) []kgo.Opt {
	return f.options(append([]kgo.Opt{
		kgo.TransactionalID(id), kgo.TransactionTimeout(transactionMax), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(2 * time.Millisecond),
		kgo.ProduceRequestTimeout(requestMax), kgo.UnknownTopicRetries(-1), kgo.AlwaysRetryEOF(),
	}, more...)...)
}

func (f *franz) transact(ctx context.Context, process, id string) error {
	c, err := kgo.NewClient(f.transactional(id)...)
	if err != nil {
		return err
	}
	defer c.Close()
	defer f.recorder.done(process)
	return f.each(ctx, f.recorder, process, c.BeginTransaction, func(n int, sends []send, end fate) (outcome, error) {
		return f.end(c, process, n, end, f.sendAll(c.Produce, sends))
	})
}

// sendAll sends, and returns what waits for the outcomes and notes the offsets.
func (f *franz) sendAll(produce func(context.Context, *kgo.Record, func(*kgo.Record, error)), sends []send) (wait func() error) {
	var mu sync.Mutex
	var failure error
	var all sync.WaitGroup
	for i := range sends {
		s := &sends[i]
		all.Add(1)
		produce(context.Background(), &kgo.Record{Topic: s.key.topic, Partition: s.key.partition, Value: []byte(s.value)}, func(r *kgo.Record, err error) {
			defer all.Done()
			if err == nil {
				s.offset = r.Offset
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failure = err
		})
	}
	return func() error {
		all.Wait()
		return failure
	}
}

// end ends a transaction as it was drawn, and says what became of it. An error ends its producer.
func (f *franz) end(c *kgo.Client, process string, id int, end fate, sent func() error) (outcome, error) {
	patience, cancel := context.WithTimeout(context.Background(), endMax)
	defer cancel()
	err := c.Flush(patience)
	if err != nil { // Nobody has asked for a commit, and nobody will.
		return undone, errors.Join(err, c.AbortBufferedRecords(context.Background()), sent())
	}
	switch err = sent(); {
	case end == deserted:
		return undone, errDeserted
	case end == lingers:
		time.Sleep(lingerMax)
	}
	if err != nil || end == aborts {
		if err != nil {
			f.recorder.trouble("send in a transaction", err)
		}
		return undone, c.EndTransaction(patience, kgo.TryAbort)
	}
	f.recorder.asks(process, id)
	if err := c.EndTransaction(patience, kgo.TryCommit); err != nil {
		return unknown, fmt.Errorf("commit: %w", err)
	}
	return done, nil
}

// copy implements copier.
func (f *franz) copy(ctx context.Context, process, id string) error {
	all := f.newest() + 1
	session, err := kgo.NewGroupTransactSession(f.transactional(id, append(f.membership(process), kgo.ConsumeTopics(f.topicsOf(all)...),
		// Markers are handed over too: a copier that has reached the end commits the end.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)...)
	if err != nil {
		return err
	}
	defer session.Close()
	f.recorder.subscribed(process, f.keysOf(all))
	f.recorder.reads(process)
	defer f.recorder.done(process)
	random := f.random(process)
	for n := 0; ctx.Err() == nil; n++ {
		if now := f.newest() + 1; now > all {
			all = now
			session.Client().AddConsumeTopics(f.topicsOf(all)...)
			f.recorder.subscribed(process, f.keysOf(all))
		}
		wait, cancel := context.WithTimeout(ctx, pollMax)
		fetches := session.PollRecords(wait, pollRecords)
		cancel()
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				f.recorder.trouble("fetch", err)
			}
		})
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := f.copyOnce(session, process, n, fetches, random.IntN(abortOneIn) > 0); err != nil {
			return err
		}
	}
	return nil
}

// copyOnce copies what was fetched, in one transaction.
func (f *franz) copyOnce(session *kgo.GroupTransactSession, process string, id int, fetches kgo.Fetches, commit kgo.TransactionEndTry) error {
	polls, sends := map[key][]record{}, []send(nil)
	fetches.EachRecord(func(r *kgo.Record) {
		if r.Attrs.IsControl() {
			return
		}
		from := key{r.Topic, r.Partition}
		polls[from] = append(polls[from], record{r.Offset, string(r.Value)})
		to := key{r.Topic + copySuffix, r.Partition}
		sends = append(sends, send{to, fmt.Sprintf("%s/%d.%d of %s", process, id, len(sends), r.Value), -1})
	})
	if err := session.Begin(); err != nil {
		return err
	}
	if len(sends) > 0 {
		f.recorder.begins(process, id, sends)
	}
	sent := f.sendAll(session.Produce, sends)
	patience, cancel := context.WithTimeout(context.Background(), endMax)
	defer cancel()
	if len(sends) > 0 && commit {
		f.recorder.asks(process, id)
	}
	committed, err := session.End(patience, commit)
	result := undone
	switch {
	case err != nil && bool(commit):
		result = unknown
	case committed:
		result = done
		f.recorder.committed()
	}
	if err != nil {
		err = errors.Join(err, session.Client().AbortBufferedRecords(context.Background()))
	}
	if failure := sent(); failure != nil && !errors.Is(failure, kgo.ErrAborting) {
		f.recorder.trouble("send in a transaction", failure)
	}
	if len(sends) > 0 {
		f.recorder.ended(process, id, result, polls, sends, err)
	}
	return err
}
