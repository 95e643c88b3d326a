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
		piece := int32(pieceBytes)
		if r.IntN(3) > 0 {
			piece = 0
		}
		w.read(until, fmt.Sprintf("r%d.%d", n, life), host, w.zone(n), all, w.addresses(), piece, nil, nil)
		cancel()
	}
}

// pieceBytes is little, so that a reader's answers end and begin within transactions.
const pieceBytes = 512

// read polls the committed records of partitions from their begin until ctx ends or, where ends are given,
// they are reached; it tells whether they were. An answer has at most about piece bytes of a partition, if that is
// above 0. seen, unless it is nil, gets the records.
func (w *world) read(ctx context.Context, process, host, zone string, all []partition, seeds []string, piece int32, ends map[partition]int64,
	seen func(p partition, records []*kgo.Record)) bool {
	from := map[string]map[int32]kgo.Offset{}
	begin := map[string]int64{}
	var keys []string
	for _, p := range all {
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.index] = kgo.NewOffset().AtStart()
		begin[p.key()] = 0
		keys = append(keys, p.key())
	}
	opts := []kgo.Opt{kgo.SeedBrokers(seeds...), kgo.ConsumePartitions(from), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepRetryableFetchErrors(), kgo.Rack(zone),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords()}
	if piece > 0 {
		opts = append(opts, kgo.FetchMaxPartitionBytes(piece))
	}
	client := w.newClient(host, zone, opts...)
	defer client.Close()
	w.record(history.Event{Process: process, Type: history.OK, Function: history.Assign, Keys: keys, From: begin})
	left := maps.Clone(ends)
	for p, end := range left {
		if end == 0 {
			delete(left, p)
		}
	}
	for ctx.Err() == nil && (ends == nil || len(left) > 0) {
		w.poll(ctx, client, process, func(p partition, records []*kgo.Record) {
			if end, ok := left[p]; ok && records[len(records)-1].Offset+1 >= end {
				delete(left, p)
			}
			if seen != nil {
				seen(p, records)
			}
		})
	}
	return len(left) == 0
}

// poll polls once and records what came.
func (w *world) poll(ctx context.Context, client *kgo.Client, process string, seen func(p partition, records []*kgo.Record)) {
	w.record(history.Event{Process: process, Type: history.Invoke, Function: history.Poll})
	try, cancel := context.WithTimeout(ctx, 5*time.Second)
	fetches := client.PollRecords(try, 500)
	cancel()
	polled := map[string][]history.Record{}
	n := 0
	fetches.EachRecord(func(rec *kgo.Record) {
		p := partition{rec.Topic, rec.Partition}
		if rec.Attrs.IsControl() {
			w.hole(p, rec.Offset, history.Control)
			return
		}
		polled[p.key()] = append(polled[p.key()], history.Record{Offset: rec.Offset, Value: textOf(rec)})
		n++
	})
	fetches.EachError(func(topic string, index int32, err error) {
		var ke *kerr.Error
		if errors.As(err, &ke) && (ke == kerr.OffsetOutOfRange || ke == kerr.CorruptMessage || ke == kerr.UnknownServerError) && !w.topics.isRetired(topic) {
			w.bug("%s reads %s/%d: %v", process, topic, index, err)
		}
	})
	e := history.Event{Process: process, Type: history.OK, Function: history.Poll}
	for _, key := range slices.Sorted(maps.Keys(polled)) {
		e.Ops = append(e.Ops, history.PollOp(key, polled[key]...))
	}
	w.record(e)
	w.count(func(c *counts) {
		c.polls++
		c.records += n
	})
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) > 0 {
			seen(partition{f.Topic, f.Partition}, f.Records)
		}
	})
}

func comparePartitions(a, b partition) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.index, b.index))
}
