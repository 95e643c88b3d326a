//go:build cluster || languages

package clients

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/cmd/wadi/clients/fleet"
)

// copierPartitions is how many partitions a topic has that is copied, and each copy.
const copierPartitions = 4

// original is a topic that is copied: each partition has the values 0, 1, 2 …
type original struct {
	t      *testing.T
	client *kgo.Client
	n      int64 // records in each partition
}

// newOriginal makes the topic and those of its copies.
func newOriginal(t *testing.T, address string, copies ...string) *original {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AlwaysRetryEOF())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if made, err := kadm.NewClient(client).CreateTopics(patient(t), copierPartitions, 1, nil, append(copies, "original")...); err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
	return &original{t: t, client: client}
}

// grow sends the next record of each partition.
func (o *original) grow() {
	for p := range int32(copierPartitions) {
		o.client.Produce(o.t.Context(), &kgo.Record{Topic: "original", Partition: p, Value: strconv.AppendInt(nil, o.n, 10)}, func(_ *kgo.Record, err error) {
			if err != nil {
				o.t.Error(err)
			}
		})
	}
	o.n++
}

// growWhile sends burst records of each partition at every pace while victims are killed, about every so often, for a while.
func (o *original) growWhile(d, pace time.Duration, burst int, random *rand.Rand, every time.Duration, victims []fleet.Victim) (kills map[string]int) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), d)
	defer cancel()
	var growing sync.WaitGroup
	growing.Go(func() {
		for tick := time.NewTicker(pace); ctx.Err() == nil; <-tick.C {
			for range burst {
				o.grow()
			}
		}
	})
	kills, err := fleet.Trouble(ctx, random, every, victims...)
	if err != nil {
		o.t.Fatal(err)
	}
	growing.Wait()
	return kills
}

// compare waits until the copies have all, once, also for whoever reads them anew.
func (o *original) compare(copies []*copyReader) {
	o.t.Helper()
	for _, c := range copies {
		c.await(o.n)
	}
	o.grow() // Behind whatever was copied twice.
	for _, c := range copies {
		c.await(o.n)
		again := readCopy(o.t, c.address, c.topic)
		again.await(o.n)
		ends, err := kadm.NewClient(o.client).ListEndOffsets(patient(o.t), c.topic)
		if err != nil || ends.Error() != nil {
			o.t.Fatal(err, ends.Error())
		}
		var more int64
		ends.Each(func(end kadm.ListedOffset) { more += end.Offset - o.n })
		o.t.Logf("%s: %d records in each partition, and %d markers and aborted records", c.topic, o.n, more)
	}
}

// copyReader reads what is committed of a copy, and compares.
type copyReader struct {
	t              *testing.T
	address, topic string
	mu             struct {
		sync.Mutex
		next [copierPartitions]int64
	}
}

// readCopy reads until the test ends.
func readCopy(t *testing.T, address, topic string) *copyReader {
	t.Helper()
	from := map[int32]kgo.Offset{}
	for p := range int32(copierPartitions) {
		from[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		t.Fatal(err)
	}
	r := &copyReader{t: t, address: address, topic: topic}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			fetches := client.PollFetches(ctx)
			if ctx.Err() != nil {
				return
			}
			fetches.EachRecord(r.take)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
	return r
}

func (r *copyReader) take(k *kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := &r.mu.next[k.Partition]
	if want := strconv.FormatInt(*next, 10); string(k.Value) != want {
		r.t.Errorf("%s: partition %d, offset %d: read %s, not %s", r.topic, k.Partition, k.Offset, k.Value, want)
		*next, _ = strconv.ParseInt(string(k.Value), 10, 64)
	}
	*next++
}

// await waits until n records of each partition were read.
func (r *copyReader) await(n int64) {
	r.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * patience); ; <-tick.C {
		r.mu.Lock()
		got := r.mu.next
		r.mu.Unlock()
		if least := min(got[0], got[1], got[2], got[3]); least >= n {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: read %v, not %d each", r.topic, got, n)
		}
	}
}
