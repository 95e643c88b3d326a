package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

// hurried are the broker's configs under which history is worked on within seconds.
var hurried = map[string]string{"log.retention.check.interval.ms": "200", "log.cleaner.backoff.ms": "100"}

// The topics: what stays of each is another policy's work.
const (
	eventsTopic  = "events"  // delete, and an archive
	changesTopic = "changes" // compact
	bothTopic    = "both"    // compact,delete
	oldMax       = 2 * time.Hour
)

// oldSegments is a cluster whose old segments are worked on while clients write and read.
type oldSegments struct {
	t                 *testing.T
	write, read       string // addresses
	bucket, metastore string // URLs
	folder            string // of the bucket
	clients           [2]*kgo.Client
	admin             *kadm.Client
	mu                sync.Mutex
	seen              map[string][]*kgo.Record // by topic, by a reader that began with the first record
	newest            map[string]string        // of changes, by key; none of deleted keys
}

func (h *oldSegments) client(address string, opts ...kgo.Opt) *kgo.Client {
	h.t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(address))...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

func (h *oldSegments) create(topic string, configs map[string]string) {
	h.t.Helper()
	pointers := map[string]*string{}
	for name, value := range configs {
		pointers[name] = &value
	}
	if r, err := h.admin.CreateTopic(h.t.Context(), 1, 1, pointers, topic); err != nil || r.Err != nil {
		h.t.Fatal(err, r.Err)
	}
}

// begin makes the topics and reads them from then on.
func (h *oldSegments) begin() {
	h.t.Helper()
	h.seen, h.newest = map[string][]*kgo.Record{}, map[string]string{}
	h.clients[0] = h.client(h.write, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	h.admin = kadm.NewClient(h.clients[0])
	h.create(eventsTopic, map[string]string{"wadi.archive": "parquet", "wadi.archive.interval.ms": "1000", "wadi.archive.value": "string", "retention.ms": "-1"})
	h.create(changesTopic, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "100"})
	h.create(bothTopic, map[string]string{"cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0.01", "retention.ms": "-1"})
	h.clients[1] = h.client(h.read, kgo.ConsumeTopics(eventsTopic, changesTopic, bothTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			fetches := h.clients[1].PollFetches(h.t.Context())
			if h.t.Context().Err() != nil || fetches.IsClientClosed() {
				return
			}
			fetches.EachError(func(topic string, _ int32, err error) { h.t.Errorf("reading %s: %v", topic, err) })
			h.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { h.seen[r.Topic] = append(h.seen[r.Topic], r) })
			h.mu.Unlock()
		}
	}()
	h.t.Cleanup(func() { h.clients[1].Close(); <-done })
}

// produce writes rounds of records to all topics, in one flush each, of an age.
func (h *oldSegments) produce(from, to int, age time.Duration) {
	h.t.Helper()
	for n := from; n < to; n++ {
		at := time.Now().Add(-age)
		key, value := fmt.Sprint("key ", n%7), fmt.Sprint("value ", n)
		change := &kgo.Record{Topic: changesTopic, Key: []byte(key), Value: []byte(value), Timestamp: at}
		h.newest[key] = value
		if n%5 == 4 {
			change.Value = nil
			delete(h.newest, key)
		}
		err := h.clients[0].ProduceSync(h.t.Context(),
			&kgo.Record{Topic: eventsTopic, Value: []byte(value), Timestamp: at}, change,
			&kgo.Record{Topic: bothTopic, Key: []byte(key), Value: []byte(value), Timestamp: at},
		).FirstErr()
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// await waits until what returns nothing to complain of.
func (h *oldSegments) await(of string, what func() string) {
	h.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		wrong := what()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("%s: %s", of, wrong)
		}
	}
}

// sawAll waits for the reader, which must have been given each record of what was never
// compacted, and no offset twice or out of order of what was.
func (h *oldSegments) sawAll(records int) {
	h.t.Helper()
	last := fmt.Sprint("value ", records-1)
	h.await("the reader", func() string {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, topic := range []string{eventsTopic, bothTopic} {
			if seen := h.seen[topic]; len(seen) == 0 || string(seen[len(seen)-1].Value) != last {
				return fmt.Sprintf("%d records of %s", len(seen), topic)
			}
		}
		return ""
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, r := range h.seen[eventsTopic] {
		if r.Offset != int64(n) || string(r.Value) != fmt.Sprint("value ", n) {
			h.t.Fatalf("record %d of %s is %s at offset %d", n, eventsTopic, r.Value, r.Offset)
		}
	}
	for _, topic := range []string{changesTopic, bothTopic} {
		next := int64(0)
		for _, r := range h.seen[topic] {
			if r.Offset < next || r.Value != nil && string(r.Value) != fmt.Sprint("value ", r.Offset) {
				h.t.Fatalf("%s has %q at offset %d after offset %d", topic, r.Value, r.Offset, next-1)
			}
			next = r.Offset + 1
		}
	}
}

// table reads a topic anew, from its begin to its end.
func (h *oldSegments) table(topic string) (records []*kgo.Record, logStart int64) {
	h.t.Helper()
	starts, err := h.admin.ListStartOffsets(h.t.Context(), topic)
	if err == nil {
		err = starts.Error()
	}
	ends, endErr := h.admin.ListEndOffsets(h.t.Context(), topic)
	if err != nil || endErr != nil {
		h.t.Fatal(err, endErr)
	}
	start, _ := starts.Lookup(topic, 0)
	end, _ := ends.Lookup(topic, 0)
	c := h.client(h.read, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(start.Offset)}}))
	defer c.Close()
	deadline := time.Now().Add(patience)
	for next := start.Offset; next < end.Offset; {
		// The records may be expired while they are read; nothing comes then.
		poll, cancel := context.WithTimeout(h.t.Context(), time.Second)
		fetches := c.PollFetches(poll)
		cancel()
		err := fetches.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			now, err := h.admin.ListStartOffsets(h.t.Context(), topic)
			if err != nil {
				h.t.Fatal(err)
			}
			moved, _ := now.Lookup(topic, 0)
			if moved.Offset > next {
				return h.table(topic)
			}
			if time.Now().After(deadline) {
				h.t.Fatalf("%s has records from %d to %d, and gives none at %d", topic, moved.Offset, end.Offset, next)
			}
			continue
		}
		if err != nil {
			h.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { records, next = append(records, r), r.Offset+1 })
	}
	return records, start.Offset
}

// isTable waits until a topic holds each key's newest record and nothing else.
func (h *oldSegments) isTable(topic string, want map[string]string, produced int) {
	h.t.Helper()
	h.await(topic, func() string {
		records, _ := h.table(topic)
		got := map[string]string{}
		for _, r := range records {
			if _, twice := got[string(r.Key)]; twice {
				return fmt.Sprintf("%s stands twice among %d records", r.Key, len(records))
			}
			got[string(r.Key)] = string(r.Value)
		}
		for key, value := range want {
			if got[key] != value {
				h.t.Fatalf("%s is %q, and was last written as %q, of %d", key, got[key], value, produced)
			}
		}
		if len(got) > len(want)+1 { // the ticks' key is one more
			return fmt.Sprintf("%d keys of %d: %v", len(got), len(want), got)
		}
		return ""
	})
}

// archived waits until the archive holds the first offsets, each once.
func (h *oldSegments) archived(records int64) {
	h.t.Helper()
	h.await("the archive", func() string {
		r := run(h.t, "archive", "list", "--metastore", h.metastore, "--output", "json", eventsTopic)
		r.want(h.t, 0, "", "")
		next, objects := int64(0), 0
		for line := range strings.Lines(r.stdout) {
			var f archiveLine
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				h.t.Fatal(err)
			}
			if f.First != next || f.Rows != f.Last-f.First+1 {
				h.t.Fatalf("offsets %d to %d in %d rows, after offset %d", f.First, f.Last, f.Rows, next-1)
			}
			next = f.Last + 1
			objects++
		}
		if next < records {
			return fmt.Sprintf("%d offsets of %d, in %d objects", next, records, objects)
		}
		return ""
	})
}

func (h *oldSegments) segments(prefix string) int {
	n := 0
	filepath.WalkDir(filepath.Join(h.folder, prefix), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

// set sets a topic's config.
func (h *oldSegments) set(topic, name, value string) {
	h.t.Helper()
	r, err := h.admin.AlterTopicConfigs(h.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic)
	if err != nil || r[0].Err != nil {
		h.t.Fatal(err, r)
	}
}

// live has all of a history's work done while clients write and read, and checks what
// they see of it, and what is left.
func (h *oldSegments) live(collects bool) {
	const old, all = 60, 140
	h.begin()
	h.produce(0, old, oldMax)
	h.sawAll(old)
	h.archived(old)
	// From here on what is old goes, but for what was archived meanwhile: all of it.
	h.set(eventsTopic, "retention.ms", fmt.Sprint((oldMax / 2).Milliseconds()))
	h.set(bothTopic, "retention.ms", fmt.Sprint((oldMax / 2).Milliseconds()))
	for _, topic := range []string{eventsTopic, bothTopic} {
		h.await("retention", func() string {
			if records, logStart := h.table(topic); len(records) > 0 || logStart != old {
				return fmt.Sprintf("%s begins at %d and has %d records", topic, logStart, len(records))
			}
			return ""
		})
	}
	h.produce(old, all, 0)
	h.sawAll(all)
	h.archived(all)
	if records, logStart := h.table(eventsTopic); logStart != old || len(records) != all-old {
		h.t.Fatalf("%s begins at %d and has %d records", eventsTopic, logStart, len(records))
	}
	newest := map[string]string{} // all keys were written after what was old
	for n := all - 7; n < all; n++ {
		newest[fmt.Sprint("key ", n%7)] = fmt.Sprint("value ", n)
	}
	h.isTable(bothTopic, newest, all)
	// As in Apache Kafka a tombstone goes in a pass that comes after delete.retention.ms, and
	// passes come with new records.
	ticks := 0
	tick := func() {
		ticks++
		r := &kgo.Record{Topic: changesTopic, Key: []byte("tick"), Value: fmt.Append(nil, "value ", all-1+ticks)}
		if err := h.clients[0].ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
			h.t.Fatal(err)
		}
	}
	h.await("tombstones", func() string {
		tick()
		records, _ := h.table(changesTopic)
		for _, r := range records {
			if r.Value == nil {
				return fmt.Sprintf("%s stands deleted among %d records", r.Key, len(records))
			}
		}
		return ""
	})
	h.isTable(changesTopic, h.newest, all)
	h.sawAll(all)
	if collects {
		h.await("collection", func() string {
			if n := h.segments("segments"); n > all/2 {
				return fmt.Sprintf("%d ingest segments of %d", n, all)
			}
			return ""
		})
	}
	run(h.t, "verify", "--bucket", h.bucket, "--metastore", h.metastore).want(h.t, 0, "missing", "")
}

// TestCompaction_AgentsAtWork: two agents on one Postgres merge, compact by key, expire, archive and
// collect within seconds while clients write at one and read at the other.
func TestCompaction_AgentsAtWork(t *testing.T) {
	pg := &postgrestest.Server{}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	metastore, err := pg.Create(t.Context(), "wadi")
	if err != nil {
		t.Fatal(err)
	}
	h := &oldSegments{t: t, folder: t.TempDir(), metastore: metastore}
	h.bucket = fileURL("file", h.folder)
	pace := compaction.DefaultConfig()
	pace.MergeEvery, pace.CollectEvery = 300*time.Millisecond, 500*time.Millisecond
	pace.Grace, pace.Fan = time.Second, 2
	var addresses []string
	for range 2 {
		config := agent.Default()
		config.Bucket, config.Metastore, config.Kafka, config.HTTP = h.bucket, h.metastore, "127.0.0.1:0", ""
		config.StaleMax = 3 * time.Second // so that the grace is 6 s
		config.Settings, config.Compaction = hurried, compact(pace)
		config.Log = slog.New(slog.NewTextHandler(&buffer{}, nil))
		a, err := agent.New(config)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- a.Run(t.Context()) }()
		t.Cleanup(func() { <-done })
		select {
		case <-a.Ready():
		case err := <-done:
			t.Fatal(err)
		}
		addresses = append(addresses, a.KafkaAddr())
	}
	h.write, h.read = addresses[0], addresses[1]
	h.live(true)
}

// TestCompaction_Dev: the same in a process of its own, as wadi dev runs it with short intervals.
func TestCompaction_Dev(t *testing.T) {
	h := &oldSegments{t: t}
	dir := t.TempDir()
	flags := []string{"--compaction-every", "300ms", "--collect-interval", "500ms", "--collect-grace", "1m"}
	for name, value := range hurried {
		flags = append(flags, "--config", name+"="+value)
	}
	_, address := startDev(t, dir, "127.0.0.1:0", flags...)
	h.write, h.read = address, address
	var err error
	if h.bucket, h.metastore, err = folderURLs(dir); err != nil {
		t.Fatal(err)
	}
	h.folder = filepath.Join(dir, "bucket")
	h.live(false)
}

func TestCompaction_Flags(t *testing.T) {
	for _, flag := range []string{flagCompactionEvery, flagCollectInterval, flagCollectGrace} {
		run(t, "dev", "--"+flag, "0s").want(t, 2, "", "--"+flag)
	}
}
