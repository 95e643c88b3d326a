package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// some draws a partition to write to.
func (t *topics) some(r *rand.Rand) (partition, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.mu.live) == 0 {
		return partition{}, false
	}
	return t.mu.live[r.IntN(len(t.mu.live))], true
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

// make creates a topic, however often that must be tried.
func (t *topics) make(ctx context.Context, admin *kadm.Client, r *rand.Rand) {
	t.mu.Lock()
	t.mu.made++
	topic := fmt.Sprintf("t%d", t.mu.made)
	t.mu.Unlock()
	partitions := 1 + r.Int32N(partitionsMax)
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, 20*time.Second)
		resp, err := admin.CreateTopic(try, partitions, 1, nil, topic)
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
	if len(t.mu.live) == 0 || t.mu.live[0].topic == t.mu.live[len(t.mu.live)-1].topic {
		t.mu.Unlock()
		return
	}
	topic := t.mu.live[0].topic
	t.mu.retired[topic] = true
	for len(t.mu.live) > 0 && t.mu.live[0].topic == topic {
		t.mu.live = t.mu.live[1:]
	}
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

// newClient makes a Kafka client on a host of its own.
func (w *world) newClient(host, zone string, opts ...kgo.Opt) *kgo.Client {
	id := host
	if zone != "" {
		id += ",zone=" + zone
	}
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.addresses()...),
		kgo.Dialer(w.network.dialer(host)),
		kgo.ClientID(id),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.MetadataMaxAge(5 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second),
		kgo.RetryTimeout(15 * time.Second),
		kgo.UnknownTopicRetries(-1),
	}, opts...)...)
	if err != nil {
		panic(fmt.Sprintf("a client of the simulation: %v", err))
	}
	return c
}
