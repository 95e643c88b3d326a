package ingest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/bench/history"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

var keep = flag.String("keep-histories", "", "a folder that keeps the histories, for wadi verify-history")

// recorder writes down what clients do and see.
type recorder struct {
	t     *testing.T
	began time.Time
	mu    sync.Mutex
	lines []history.Event
}

func (r *recorder) add(e history.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Time = int64(time.Since(r.began))
	r.lines = append(r.lines, e)
}

func (r *recorder) events(yield func(history.Event, error) bool) {
	for _, e := range r.lines {
		if !yield(e, nil) {
			return
		}
	}
}

// judge fails the test if the history shows what no log may do.
func (r *recorder) judge(seed uint64) *history.Report {
	r.t.Helper()
	header := history.Header{Version: history.Version, Note: fmt.Sprint("seed ", seed)}
	if *keep != "" {
		r.write(header, filepath.Join(*keep, fmt.Sprintf("ingest-%d.jsonl", seed)))
	}
	report, err := history.Check(header, r.events)
	if err != nil {
		r.t.Fatal(err)
	}
	if !report.Clean() {
		var story strings.Builder
		if err := report.Tell(&story, r.events); err != nil {
			r.t.Fatal(err)
		}
		r.t.Errorf("%s", story.String())
	}
	return report
}

func (r *recorder) write(h history.Header, name string) {
	file, err := os.Create(name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	w, err := history.NewWriter(file, h)
	for _, e := range r.lines {
		if err == nil {
			err = w.Write(e)
		}
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		r.t.Fatal(err)
	}
}

func keyOf(partition int32) string { return fmt.Sprint("topic-", partition) }

// idempotent is a producer whose sends are recorded.
func (r *recorder) idempotent(c *cluster, id int64, partition int32, n int) *producer {
	p := &producer{c: c, id: id, partition: partition, n: n}
	p.heard = func(value int, began bool, offset int64) {
		e := history.Event{Process: fmt.Sprint("idempotent-", id), Type: history.OK, Function: history.Send, ID: fmt.Sprint(value),
			Ops: []history.Op{history.SendOp(keyOf(partition), fmt.Sprintf("%d/%d", id, value), offset)}}
		if began {
			e.Type = history.Invoke
		}
		r.add(e)
	}
	return p
}

// plain sends n values one after the other, each once, without a producer's number.
func (r *recorder) plain(c *cluster, id int64, partition int32, n int) {
	for i := range n {
		a := c.any()
		e := history.Event{Process: fmt.Sprint("plain-", id), Type: history.Invoke, Function: history.Send}
		value := fmt.Sprintf("plain %d/%d", id, i)
		e.Ops = []history.Op{history.SendOp(keyOf(partition), value, -1)}
		r.add(e)
		offset, err := plainSend(a, partition, value, time.Duration(1+c.draw(6))*time.Second)
		switch {
		case err == nil:
			e.Type, e.Ops = history.OK, []history.Op{history.SendOp(keyOf(partition), value, offset)}
		case errors.Is(err, ErrStorage):
			e.Type, e.Error = history.Fail, err.Error()
		default:
			e.Type, e.Error = history.Info, err.Error()
		}
		r.add(e)
		time.Sleep(time.Duration(c.draw(300)) * time.Millisecond)
	}
}

func plainSend(a *testAgent, partition int32, value string, patience time.Duration) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := a.Append(ctx, []Batch{valued(partition, -1, 0, 0, value)}, nil, func() {})
	if err != nil {
		return -1, err
	}
	results, err := s.Wait(ctx)
	if err != nil {
		return -1, err
	}
	return results[0].BaseOffset, results[0].Err
}

// poll reads one partition from any agent's replica, as far as that has come,
// until stop is closed.
func (r *recorder) poll(c *cluster, name string, partition int32, stop <-chan struct{}) {
	key, position := keyOf(partition), int64(0)
	r.add(history.Event{Process: name, Type: history.OK, Function: history.Assign, Keys: []string{key}, From: map[string]int64{key: 0}})
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(c.draw(500)) * time.Millisecond):
		}
		r.add(history.Event{Process: name, Type: history.Invoke, Function: history.Poll})
		records := c.w.fetch(c.any(), partition, position)
		r.add(history.Event{Process: name, Type: history.OK, Function: history.Poll, Ops: []history.Op{history.PollOp(key, records...)}})
		if len(records) > 0 {
			position = records[len(records)-1].Offset + 1
		}
	}
}

// fetch reads what an agent's replica plans from an offset on.
func (w *world) fetch(a *testAgent, partition int32, from int64) (records []history.Record) {
	var plan []shard.Extent
	metastore.View(a.follower.Replica(metastore.ShardJournal(int(partition)%testShards)), func(s *shard.State) {
		id := shard.PartitionID{Topic: 1, Index: partition}
		if _, high, _, ok := s.Bounds(id); ok && from < high {
			plan = s.Plan(id, from, 1<<10, nil)
		}
	})
	for _, e := range plan {
		w.mu.Lock()
		rest := w.puts[e.Segment.Key()][e.Position : e.Position+e.Length]
		w.mu.Unlock()
		offset := e.BaseOffset
		for len(rest) > 0 {
			_, one, after, err := batch.Next(rest)
			if err != nil {
				w.t.Error(err)
				return records
			}
			for r, err := range batch.Records(one, 1<<20) {
				if err != nil {
					w.t.Error(err)
					return records
				}
				if offset >= from {
					records = append(records, history.Record{Offset: offset, Value: string(r.Value)})
				}
				offset++
			}
			rest = after
		}
	}
	return records
}

// everything reads a partition from the journal and the bucket, as a client that starts anew.
func (r *recorder) everything(w *world, partition int32) {
	var records []history.Record
	for offset, value := range w.read(partition) {
		records = append(records, history.Record{Offset: int64(offset), Value: value})
	}
	key := keyOf(partition)
	r.add(history.Event{Process: "auditor", Type: history.OK, Function: history.Assign, Keys: []string{key}, From: map[string]int64{key: 0}})
	r.add(history.Event{Process: "auditor", Type: history.OK, Function: history.Poll, Ops: []history.Op{history.PollOp(key, records...)}})
}

// Idempotent and plain producers and pollers, while agents are killed and
// replies are lost: a judge that knows nothing of our code finds nothing.
func TestIngest_HistoriesAreThoseOfALog(t *testing.T) {
	for seed := range uint64(*seeds / 2) {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { judgedHistory(t, seed) }) }) {
			return
		}
	}
}

func judgedHistory(t *testing.T, seed uint64) {
	const partitions, values = 3, 20
	w := newWorld(t)
	c := newCluster(w, seed)
	r := &recorder{t: t, began: time.Now()}
	var senders, pollers sync.WaitGroup
	for i := range int64(2 * partitions) {
		partition := int32(i % partitions)
		senders.Go(r.idempotent(c, 100+i, partition, values).run)
		senders.Go(func() { r.plain(c, i, partition, values) })
	}
	stop := make(chan struct{})
	for i := range int32(2 * partitions) {
		pollers.Go(func() { r.poll(c, fmt.Sprint("poller-", i), i%partitions, stop) })
	}
	c.trouble(senders.Wait)
	close(stop)
	pollers.Wait()
	for partition := range int32(partitions) {
		r.everything(w, partition)
	}
	report := r.judge(seed)
	if least := 2 * partitions * values; report.Acked < least || report.Read < 2*report.Acked {
		t.Errorf("the history shows too little: %+v", report)
	}
}
