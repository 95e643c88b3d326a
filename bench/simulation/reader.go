package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/bench/history"
)

// zone of the n-th client; every fourth names none.
func (w *world) zone(n int) string {
	if n%4 == 3 {
		return ""
	}
	return string(rune('a' + n%4))
}

// readAssigned reads all live partitions from their begin until ctx ends, again and
// again by new clients.
func (w *world) readAssigned(ctx context.Context, n int) {
	r := w.stream(fmt.Sprint("reader ", n))
	host := fmt.Sprintf("reader-%d", n)
	for life := 1; ctx.Err() == nil; life++ {
		all := w.topics.all()
		if len(all) == 0 {
			pause(ctx, time.Second)
			continue
		}
		until, cancel := context.WithTimeout(ctx, time.Duration(5+r.IntN(25))*time.Second)
		w.read(until, fmt.Sprintf("r%d.%d", n, life), host, w.zone(n), all, w.addresses(), nil)
		cancel()
	}
}

// read polls partitions from their begin until ctx ends or, where ends are given,
// they are reached; it tells whether they were.
func (w *world) read(ctx context.Context, process, host, zone string, all []partition, seeds []string, ends map[partition]int64) bool {
	from := map[string]map[int32]kgo.Offset{}
	begin := map[string]int64{}
	var keys []string
	for _, p := range all {
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.index] = kgo.NewOffset().At(0)
		begin[p.key()] = 0
		keys = append(keys, p.key())
	}
	client := w.newClient(host, zone, kgo.SeedBrokers(seeds...), kgo.ConsumePartitions(from), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().At(0)), kgo.KeepRetryableFetchErrors(), kgo.Rack(zone))
	defer client.Close()
	w.record(history.Event{Process: process, Type: history.OK, Function: history.Assign, Keys: keys, From: begin})
	left := maps.Clone(ends)
	for p, end := range left {
		if end == 0 {
			delete(left, p)
		}
	}
	for ctx.Err() == nil && (ends == nil || len(left) > 0) {
		w.poll(ctx, client, process, "", func(p partition, next int64) {
			if end, ok := left[p]; ok && next >= end {
				delete(left, p)
			}
		})
	}
	return len(left) == 0
}

// poll polls once and records what came.
func (w *world) poll(ctx context.Context, client *kgo.Client, process, id string, seen func(p partition, next int64)) {
	w.record(history.Event{Process: process, Type: history.Invoke, Function: history.Poll, ID: id})
	try, cancel := context.WithTimeout(ctx, 5*time.Second)
	fetches := client.PollRecords(try, 500)
	cancel()
	polled := map[string][]history.Record{}
	n := 0
	fetches.EachRecord(func(rec *kgo.Record) {
		p := partition{rec.Topic, rec.Partition}
		polled[p.key()] = append(polled[p.key()], history.Record{Offset: rec.Offset, Value: string(rec.Value)})
		n++
	})
	fetches.EachError(func(topic string, index int32, err error) {
		var ke *kerr.Error
		if errors.As(err, &ke) && (ke == kerr.OffsetOutOfRange || ke == kerr.CorruptMessage || ke == kerr.UnknownServerError) && !w.topics.isRetired(topic) {
			w.bug("%s reads %s/%d: %v", process, topic, index, err)
		}
	})
	e := history.Event{Process: process, Type: history.OK, Function: history.Poll, ID: id}
	for _, key := range slices.Sorted(maps.Keys(polled)) {
		e.Ops = append(e.Ops, history.PollOp(key, polled[key]...))
	}
	w.record(e)
	w.count(func(c *counts) {
		c.polls++
		c.records += n
	})
	if seen != nil {
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			if len(f.Records) > 0 {
				seen(partition{f.Topic, f.Partition}, f.Records[len(f.Records)-1].Offset+1)
			}
		})
	}
}

func comparePartitions(a, b partition) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.index, b.index))
}
