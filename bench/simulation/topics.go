package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitionsMax = 4 // of a topic

// partition is a key of the history.
type partition struct {
	topic string
	index int32
}

func (p partition) key() string { return fmt.Sprintf("%s/%d", p.topic, p.index) }

// partitionOf is the partition of a key.
func partitionOf(key string) (p partition) {
	topic, index, _ := strings.Cut(key, "/")
	i, _ := strconv.ParseInt(index, 10, 32)
	return partition{topic, int32(i)}
}

// cleanup is what becomes of a topic's old records. Its name begins with it.
type cleanup byte

const (
	byNothing cleanup = 't'
	byKey     cleanup = 'k'
	byAge     cleanup = 'a'
	byArchive cleanup = 'p' // none; the topic is archived
	byRequest cleanup = 'd' // an administrator deletes records up to some offset
)

func (p partition) cleanup() cleanup { return cleanup(p.topic[0]) }

// Times of topics that lose records.
const (
	retentionByAge  = 12 * time.Second
	deleteRetention = 5 * time.Second
)

// configs are what a topic is made with.
func (c cleanup) configs() map[string]*string {
	set := func(pairs ...string) map[string]*string {
		m := map[string]*string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = &pairs[i+1]
		}
		return m
	}
	switch c {
	case byKey:
		return set("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.1",
			"delete.retention.ms", fmt.Sprint(deleteRetention.Milliseconds()))
	case byArchive:
		return set("wadi.archive", "parquet", "wadi.archive.interval.ms", archiveEvery)
	case byAge:
		return set("retention.ms", fmt.Sprint(retentionByAge.Milliseconds()))
	}
	return nil
}

// The topics of the group that transforms: never deleted, and what it writes nobody else writes.
const (
	topicIn, topicOut   = "tin", "tout"
	transformPartitions = 2
)

// topics are those that clients may use at the moment.
type topics struct {
	world *world
	mu    struct {
		sync.Mutex
		live    []partition
		retired map[string]bool // topics
		made    int
	}
}

func newTopics(w *world) *topics {
	t := &topics{world: w}
	t.mu.retired = map[string]bool{}
	return t
}

// some draws a partition to write to: one of topicOut is not.
func (t *topics) some(r *rand.Rand) (partition, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var open []partition
	for _, p := range t.mu.live {
		if p.topic != topicOut {
			open = append(open, p)
		}
	}
	if len(open) == 0 {
		return partition{}, false
	}
	return open[r.IntN(len(open))], true
}

// all returns the live partitions.
func (t *topics) all() []partition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]partition(nil), t.mu.live...)
}

func (t *topics) isRetired(topic string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.retired[topic]
}

// make creates a topic of some kind.
func (t *topics) make(ctx context.Context, admin *kadm.Client, r *rand.Rand) {
	t.mu.Lock()
	t.mu.made++
	number := t.mu.made
	t.mu.Unlock()
	of := byNothing
	switch {
	case number%2 == 0 && t.world.cfg.Compaction:
		of = []cleanup{byKey, byAge, byRequest, byArchive}[r.IntN(4)]
	case number%2 == 0 && r.IntN(3) == 0:
		of = byRequest
	}
	t.create(ctx, admin, fmt.Sprintf("%c%d", of, number), 1+r.Int32N(partitionsMax))
}

// create creates a topic, however often that must be tried.
func (t *topics) create(ctx context.Context, admin *kadm.Client, topic string, partitions int32) {
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, 20*time.Second)
		resp, err := admin.CreateTopic(try, partitions, 1, cleanup(topic[0]).configs(), topic)
		cancel()
		if err == nil || errors.Is(resp.Err, kerr.TopicAlreadyExists) {
			t.world.note("topic", "%s with %d partitions", topic, partitions)
			t.mu.Lock()
			for i := range partitions {
				t.mu.live = append(t.mu.live, partition{topic, i})
			}
			t.mu.Unlock()
			t.world.count(func(c *counts) { c.admin++ })
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// retire deletes the oldest topic if there are others.
func (t *topics) retire(ctx context.Context, admin *kadm.Client) {
	t.mu.Lock()
	kept := func(p partition) bool { return p.topic == topicIn || p.topic == topicOut }
	passing := slices.DeleteFunc(slices.Clone(t.mu.live), kept)
	if len(passing) == 0 || passing[0].topic == passing[len(passing)-1].topic {
		t.mu.Unlock()
		return
	}
	topic := passing[0].topic
	t.mu.retired[topic] = true
	t.mu.live = slices.DeleteFunc(t.mu.live, func(p partition) bool { return p.topic == topic })
	t.mu.Unlock()
	try, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := admin.DeleteTopic(try, topic)
	t.world.note("topic", "%s deleted: %v", topic, err)
	t.world.count(func(c *counts) { c.admin++ })
}

// runAdmin creates and deletes topics until ctx ends.
func (w *world) runAdmin(ctx context.Context) {
	r := w.stream("admin")
	client := w.newClient("admin", "")
	defer client.Close()
	admin := kadm.NewClient(client)
	if w.cfg.Transformers > 0 {
		w.topics.create(ctx, admin, topicIn, transformPartitions)
		w.topics.create(ctx, admin, topicOut, transformPartitions)
	}
	for range 2 {
		w.topics.make(ctx, admin, r)
	}
	for pause(ctx, time.Duration(5+r.IntN(15))*time.Second) {
		if r.IntN(2) == 0 {
			w.topics.make(ctx, admin, r)
		} else {
			w.topics.retire(ctx, admin)
		}
	}
}

// pause waits, and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// clientOptions are those of every Kafka client, on a host of its own.
func (w *world) clientOptions(host, zone string, opts ...kgo.Opt) []kgo.Opt {
	id := host
	if zone != "" {
		id += ",zone=" + zone
	}
	return append([]kgo.Opt{
		kgo.SeedBrokers(w.addresses()...),
		kgo.Dialer(w.network.dialer(host)),
		kgo.ClientID(id),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.MetadataMaxAge(5 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second),
		kgo.RetryTimeout(15 * time.Second),
		kgo.UnknownTopicRetries(-1),
	}, opts...)
}

// newClient makes a Kafka client.
func (w *world) newClient(host, zone string, opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(w.clientOptions(host, zone, opts...)...)
	if err != nil {
		panic(fmt.Sprintf("a client of the simulation: %v", err))
	}
	return c
}
