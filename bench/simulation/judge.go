package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/bench/history"
)

// readAllMax bounds each step of the last look at everything.
const readAllMax = 90 * time.Second

// judge looks at all that is there once everything has healed: it closes each partition with a last
// record, reads them through each agent, and compares.
func (w *world) judge(ctx context.Context) {
	all := w.topics.all()
	slices.SortFunc(all, comparePartitions)
	if len(all) == 0 {
		return
	}
	client := w.newClient("judge", "", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	if !w.keepForEver(ctx, client, all) {
		return
	}
	ends, closed := w.closePartitions(ctx, client, all)
	if !closed {
		return
	}
	var last reading
	for i, h := range w.agents {
		last = reading{}
		process := "final-" + h.name
		limit, cancel := context.WithTimeout(ctx, readAllMax)
		if !w.read(limit, process, fmt.Sprintf("judge-%d", i), h.zone, all, []string{h.address}, 0, ends, last.note) {
			w.bug("everything can't be read through %s within %v of the heal", h.name, readAllMax)
		}
		cancel()
		w.checkKeys(process, last)
	}
	w.lastRead = last
	w.readUncommitted(ctx, all, ends, last)
	w.checkTransform(ctx, last)
	w.noteStarts(ctx, client, all)
}

// keepForEver ends the retention of topics that lose records by age: what is there stays there while it is judged.
func (w *world) keepForEver(ctx context.Context, client *kgo.Client, all []partition) bool {
	limit, cancel := context.WithTimeout(ctx, readAllMax)
	defer cancel()
	never := "-1"
	for _, p := range all {
		if p.cleanup() != byAge || p.index > 0 {
			continue
		}
		for {
			_, err := kadm.NewClient(client).AlterTopicConfigs(limit, []kadm.AlterConfig{{Name: "retention.ms", Value: &never}}, p.topic)
			if err == nil {
				break
			}
			if !pause(limit, time.Second) {
				w.bug("%s can't be altered within %v of the heal: %v", p.topic, readAllMax, err)
				return false
			}
		}
	}
	return pause(ctx, 2*time.Second)
}

// closePartitions sends a last record to each partition, and returns where they end with it.
func (w *world) closePartitions(ctx context.Context, client *kgo.Client, all []partition) (ends map[partition]int64, ok bool) {
	limit, cancel := context.WithTimeout(ctx, readAllMax)
	defer cancel()
	ends = map[partition]int64{}
	for _, p := range all {
		value, began := "last/"+p.key(), time.Now()
		if p.cleanup() == byKey {
			value += "=last"
		}
		w.record(history.Event{Process: "judge", Type: history.Invoke, Function: history.Send, ID: value,
			Ops: []history.Op{history.SendOp(p.key(), value, -1)}})
		rec, err := sendWithin(limit, client, recordFor(p, value))
		if err != nil {
			w.sent("judge", value, p, value, -1, time.Since(began), err)
			w.bug("%s takes no record within %v of the heal: %v", p.key(), readAllMax, err)
			return nil, false
		}
		w.sent("judge", value, p, value, rec.Offset, time.Since(began), nil)
		ends[p] = rec.Offset + 1
	}
	return ends, true
}

// sendWithin sends a record. franz-go asks for ever after one whose outcome it doesn't know.
func sendWithin(ctx context.Context, client *kgo.Client, rec *kgo.Record) (*kgo.Record, error) {
	type outcome struct {
		rec *kgo.Record
		err error
	}
	answered := make(chan outcome, 1)
	client.Produce(ctx, rec, func(rec *kgo.Record, err error) { answered <- outcome{rec, err} })
	select {
	case o := <-answered:
		return o.rec, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readUncommitted finds what readers of committed records are not shown: the records of aborted transactions.
func (w *world) readUncommitted(ctx context.Context, all []partition, ends map[partition]int64, committed reading) {
	from := map[string]map[int32]kgo.Offset{}
	left := map[partition]int64{}
	for _, p := range all {
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.index] = kgo.NewOffset().AtStart()
		left[p] = ends[p]
	}
	client := w.newClient("judge", "", kgo.ConsumePartitions(from), kgo.FetchMaxWait(500*time.Millisecond), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	limit, cancel := context.WithTimeout(ctx, readAllMax)
	defer cancel()
	for len(left) > 0 {
		if limit.Err() != nil {
			w.bug("what isn't committed can't be read within %v of the heal", readAllMax)
			return
		}
		client.PollRecords(limit, 500).EachRecord(func(rec *kgo.Record) {
			p := partition{rec.Topic, rec.Partition}
			_, shown := committed[p][rec.Offset]
			switch {
			case rec.Attrs.IsControl():
				w.hole(p, rec.Offset, history.Control)
			case !shown:
				w.hole(p, rec.Offset, history.Aborted)
			}
			if rec.Offset+1 >= left[p] {
				delete(left, p)
			}
		})
	}
}

// noteStarts asks where partitions begin.
func (w *world) noteStarts(ctx context.Context, client *kgo.Client, all []partition) {
	limit, cancel := context.WithTimeout(ctx, readAllMax)
	defer cancel()
	for _, p := range all {
		if p.cleanup() != byAge && p.cleanup() != byRequest {
			continue
		}
		for {
			got, err := kadm.NewClient(client).ListStartOffsets(limit, p.topic)
			if o, ok := got.Lookup(p.topic, p.index); err == nil && ok && o.Err == nil {
				w.starts.acknowledged("", p, o.Offset)
				w.begins(p, o.Offset)
				break
			}
			if !pause(limit, time.Second) {
				w.bug("the begin of %s can't be had within %v of the heal", p.key(), readAllMax)
				return
			}
		}
	}
}

// begins notes where a partition was said to begin just now.
func (w *world) begins(p partition, offset int64) {
	at := w.databaseTime()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.begins = append(w.mu.begins, begin{p, offset, at})
}

// placed is a committed value whose offset is known.
type placed struct {
	offset int64
	value  string
}

// newest returns the last record of each key among values by offset.
func newest(values map[int64]string) map[string]placed {
	last := map[string]placed{}
	for offset, value := range values {
		if key, _ := keyOf(value); key != "" && offset >= last[key].offset {
			last[key] = placed{offset, value}
		}
	}
	return last
}

// placed are the committed values by key of the history and offset, as far as clients know: what was
// read, and what was acknowledged.
func (w *world) placed() map[string]map[int64]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := map[string]map[int64]string{}
	note := func(key string, offset int64, value string) {
		if known[key] == nil {
			known[key] = map[int64]string{}
		}
		known[key][offset] = value
	}
	for i := range w.mu.events {
		e := &w.mu.events[i]
		for _, op := range e.Ops {
			for key, records := range op.Poll {
				for _, r := range records {
					note(key, r.Offset, r.Value)
				}
			}
			if op.Offset != nil && e.Type == history.OK {
				note(op.Send, *op.Offset, op.Value)
			}
		}
	}
	return known
}

// checkKeys compares what one reading of everything came to with the last record of each key.
func (w *world) checkKeys(process string, got reading) {
	known := w.placed()
	for _, p := range w.topics.all() {
		if p.cleanup() != byKey {
			continue
		}
		last := newest(got[p])
		for key, want := range newest(known[p.key()]) {
			have, there := last[key]
			if _, dead := keyOf(want.value); have == want || dead && !there {
				continue
			}
			w.bug("%s reads %q at offset %d of %s as the last of its key, which is %q at offset %d", process, have.value, have.offset, p.key(), want.value, want.offset)
		}
	}
}

// explain records the holes that compaction was free to make, and checks that nothing expired too early.
func (w *world) explain() {
	retired := func(key string) bool {
		topic, _, _ := strings.Cut(key, "/")
		return w.topics.isRetired(topic)
	}
	var holes []history.Event
	known := w.placed()
	for key, values := range known {
		of := cleanup(key[0])
		end := int64(0)
		for offset := range values {
			end = max(end, offset+1)
		}
		last := newest(values)
		if of == byKey || retired(key) {
			for offset := range end {
				value, there := values[offset]
				if k, dead := keyOf(value); !there || of == byKey && (dead || last[k].offset > offset) {
					holes = append(holes, history.Event{Function: history.Hole, Key: key, First: offset, Last: offset, Why: history.Compacted})
				}
			}
		}
		if of == byAge || of == byRequest {
			start := w.starts.known("", partitionOf(key))
			if retired(key) {
				start = end
			}
			if start > 0 {
				holes = append(holes, history.Event{Function: history.Hole, Key: key, First: 0, Last: start - 1, Why: history.Trimmed})
			}
		}
	}
	slices.SortFunc(holes, func(a, b history.Event) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return int(a.First - b.First)
	})
	for _, e := range holes {
		w.record(e)
	}
	w.checkRetention(known)
	w.checkDeleted()
}

// clockSlack is by how much an agent may be wrong about the database's clock, after answers that were slow.
const clockSlack = slowMax + time.Second

// checkRetention finds records that were gone before their time.
func (w *world) checkRetention(known map[string]map[int64]string) {
	sent := map[string]time.Time{}
	for i := range w.mu.events {
		if e := &w.mu.events[i]; e.Type == history.Invoke {
			for _, op := range e.Ops {
				sent[op.Send+" "+op.Value] = w.began.Add(time.Duration(e.Time))
			}
		}
	}
	for _, b := range w.mu.begins {
		if b.of.cleanup() != byAge {
			continue
		}
		for offset, value := range known[b.of.key()] {
			at, ok := sent[b.of.key()+" "+value]
			if ok && offset < b.offset && b.at.Sub(at) < retentionByAge-clockSlack {
				w.bug("%s begins at %d, and %q at offset %d was sent %v before", b.of.key(), b.offset, value, offset, b.at.Sub(at))
			}
		}
	}
}
