//go:build cluster || languages

package clients

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// copierPartitions is how many partitions a topic has that is copied, and each copy.
const copierPartitions = 4

// copyReader reads what is committed of a copy, and compares.
type copyReader struct {
	t     *testing.T
	topic string
	mu    struct {
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
	r := &copyReader{t: t, topic: topic}
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
