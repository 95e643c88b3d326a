package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	coldMax   = 2 * time.Second // until agents that have nothing have taken and served a record
	coldTries = 6
	// coldStartsMax is the same in starts of the program that does nothing, for a
	// machine that is so busy that these take long as well.
	coldStartsMax = 25
)

func TestColdStart_OnAFolder(t *testing.T) { coldStart(t, Folder) }

// coldStart kills all agents, deletes what they had, and lets others, elsewhere,
// take and serve records.
func coldStart(t *testing.T, bucket string) {
	program := filepath.Join(t.TempDir(), "wadi")
	build := exec.Command("go", "build", "-o", program, "./cmd/wadi")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build wadi: %v\n%s", err, out)
	}
	c, err := Start(t.Context(), Config{Program: program, Folder: t.TempDir(), Agents: 3, Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	startAll(t, c)
	if err := c.Agents[0].AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	const before = 500
	client := connect(t, c)
	if answer, err := kadm.NewClient(client).CreateTopic(t.Context(), 4, -1, nil, "cold"); err != nil || answer.Err != nil {
		t.Fatal(err, answer.Err)
	}
	for i := range before {
		client.Produce(t.Context(), &kgo.Record{Topic: "cold", Value: fmt.Append(nil, "before ", i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.Close()
	kept := before
	for try := range coldTries {
		former := c.Agents[0].folder
		if err := c.Renew(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		for _, file := range glob(t, filepath.Join(former, "*")) {
			if filepath.Base(file) == "bucket" {
				continue // It stands for one that is elsewhere.
			}
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
		}
		limit := max(coldMax, coldStartsMax*idleStart(t, program))
		began := time.Now()
		startAll(t, c)
		produced, fetched := firstOf(t, c, fmt.Sprint("after ", try))
		kept++
		t.Logf("from the agents' start: a record was taken after %v, fetched after %v", produced.Sub(began), fetched.Sub(began))
		readEverything(t, c, kept)
		if fetched.Sub(began) <= limit {
			return
		}
		t.Logf("that is longer than %v", limit)
	}
	t.Errorf("none of %d cold starts was fast enough", coldTries)
}

// idleStart is how long the program takes to start and do nothing.
func idleStart(t *testing.T, program string) time.Duration {
	t.Helper()
	began := time.Now()
	for range 3 {
		if out, err := exec.Command(program, "version").CombinedOutput(); err != nil {
			t.Fatalf("wadi version: %v\n%s", err, out)
		}
	}
	return time.Since(began) / 3
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing is at %s: %v", pattern, err)
	}
	return files
}

func startAll(t *testing.T, c *Cluster) {
	t.Helper()
	for _, a := range c.Agents {
		if err := a.Start(); err != nil {
			t.Fatal(err)
		}
	}
}

// connect returns a client of all agents, which gives up nothing early.
func connect(t *testing.T, c *Cluster, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	var brokers []string
	for _, a := range c.Agents {
		brokers = append(brokers, a.Kafka)
	}
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(10 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// firstOf sends a record as soon as that is possible, and fetches it.
func firstOf(t *testing.T, c *Cluster, value string) (produced, fetched time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sent, err := connect(t, c).ProduceSync(ctx, &kgo.Record{Topic: "cold", Value: []byte(value)}).First()
	if err != nil {
		t.Fatal(err)
	}
	produced = time.Now()
	reader := connect(t, c, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"cold": {sent.Partition: kgo.NewOffset().At(sent.Offset)}}))
	for {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatal("the record can't be fetched")
		}
		for _, r := range fetches.Records() {
			if string(r.Value) != value {
				t.Fatalf("%q was fetched, %q was sent there", r.Value, value)
			}
			return produced, time.Now()
		}
	}
}

// readEverything reads n different records from the begin.
func readEverything(t *testing.T, c *Cluster, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reader := connect(t, c, kgo.ConsumeTopics("cold"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records can be read", len(seen), n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if seen[string(r.Value)] {
				t.Errorf("%q is there twice", r.Value)
			}
			seen[string(r.Value)] = true
		})
	}
}
