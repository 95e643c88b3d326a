//go:build jvm

package jvm

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/cmd/wadi/clients/fleet"
)

var (
	troubleFor = flag.Duration("trouble-for", 20*time.Second, "kill workers, instances of Streams and agents for `DURATION`")
	seedFlag   = flag.Uint64("seed", 0, "repeat the choice of what is killed; 0: draw a seed")
)

const (
	killEvery  = 4 * time.Second // about
	linesEvery = 20 * time.Millisecond
	pairsApart = 100 * time.Millisecond // by their timestamps, which may be an hour ahead of the clock
	words      = 7
)

// troubled is a cluster whose agents, and what else is told, are killed at random.
type troubled struct {
	t       *testing.T
	agents  *fleet.Fleet
	address string
	client  *kgo.Client
	folder  string
	random  *rand.Rand
}

// startTroubled starts a cluster that compacts soon.
func startTroubled(t *testing.T) *troubled {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	agents := fleet.Start(t, filepath.Join("..", "..", "..", ".."), os.Getenv("WADI_TEST_BINARY"),
		"--compaction-every", "2s", "--config", "log.cleaner.backoff.ms=1000")
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(agents.Bootstrap(), ",")...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &troubled{t, agents, agents.Bootstrap(), client, t.TempDir(), rand.New(rand.NewPCG(seed, 0))}
}

func (x *troubled) create(partitions int32, topics ...string) {
	x.t.Helper()
	made, err := kadm.NewClient(x.client).CreateTopics(x.t.Context(), partitions, 1, nil, topics...)
	if err != nil || made.Error() != nil {
		x.t.Fatal(err, made.Error())
	}
}

func (x *troubled) produce(topic, key, value string, at time.Time) {
	r := &kgo.Record{Topic: topic, Value: []byte(value), Timestamp: at}
	if key != "" {
		r.Key = []byte(key)
	}
	x.client.Produce(x.t.Context(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			x.t.Error(err)
		}
	})
}

// trouble kills the agents and others while load is called again and again.
func (x *troubled) trouble(load func(), others ...fleet.Victim) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), *troubleFor)
	defer cancel()
	var loading sync.WaitGroup
	loading.Go(func() {
		for tick := time.NewTicker(linesEvery); ctx.Err() == nil; <-tick.C {
			load()
		}
	})
	kills, err := fleet.Trouble(ctx, x.random, killEvery, append(x.agents.Victims(), others...)...)
	if err != nil {
		x.t.Fatal(err)
	}
	loading.Wait()
	x.t.Logf("killed: %v", kills)
}

// committed hands each record that is committed in topics to take, in the order of its
// partition, until the test ends.
func (x *troubled) committed(take func(r *kgo.Record), topics ...string) {
	x.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(x.address, ",")...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		x.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			fetches.EachRecord(take)
		}
	}()
	x.t.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
}

// victim is a JVM that can be killed and started again.
func victim(t *testing.T, name string, args func() []string) fleet.Victim {
	t.Helper()
	run := func() *process { return java(t, name, args()...) }
	p := run()
	return fleet.Victim{Name: name,
		Kill: func() error {
			select {
			case <-p.ended:
				return fmt.Errorf("%s had ended before", name)
			default:
				p.kill()
				return nil
			}
		},
		Start: func() error { p = run(); return nil },
	}
}

// compiled is the class path of a source file.
func compiled(t *testing.T, source string) string {
	t.Helper()
	jars, folder := os.Getenv("WADI_JVM_JARS"), t.TempDir()
	if out, err := exec.Command("javac", "-cp", jars+"/*", "-d", folder, source).CombinedOutput(); err != nil {
		t.Fatalf("javac %s: %v\n%s", source, err, out)
	}
	return folder + ":" + jars + "/*"
}

// results are what a word count and a join came to, as whoever reads what is committed sees it.
type results struct {
	t  *testing.T
	mu struct {
		sync.Mutex
		counts map[string]int
		joined map[string]int
	}
}

func (r *results) take(k *kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, value := string(k.Key), string(k.Value)
	if k.Topic == "counts" {
		if r.mu.counts[key]++; strconv.Itoa(r.mu.counts[key]) != value {
			r.t.Errorf("partition %d, offset %d: word %q is counted %s, not %d", k.Partition, k.Offset, key, value, r.mu.counts[key])
			r.mu.counts[key], _ = strconv.Atoi(value)
		}
		return
	}
	if r.mu.joined[key]++; r.mu.joined[key] > 1 || value != "l"+key+"+r"+key {
		r.t.Errorf("partition %d, offset %d: %q is joined to %q, %d times", k.Partition, k.Offset, key, value, r.mu.joined[key])
	}
}

func (r *results) counted(word string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.counts[word]
}

func (r *results) pairs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mu.joined)
}

// TestStreams_ExactlyOnce: two instances of an application and the agents are killed at random.
// Each word is counted 1, 2, 3 … without a gap or a count that comes twice, and each pair is joined once.
func TestStreams_ExactlyOnce(t *testing.T) {
	x := startTroubled(t)
	x.create(2, "lines", "left", "right", "counts", "joined")
	source, err := filepath.Abs("ExactlyOnce.java")
	if err != nil {
		t.Fatal(err)
	}
	classes := compiled(t, source)
	var instances []fleet.Victim
	for i := range 2 {
		lives := 0
		instances = append(instances, victim(t, fmt.Sprintf("streams-%d", i), func() []string {
			lives++ // Every second life finds the state of the one before.
			return []string{"-cp", classes, "ExactlyOnce", x.address, filepath.Join(x.folder, fmt.Sprintf("state-%d-%d", i, lives/2))}
		}))
	}
	live := &results{t: t}
	live.mu.counts, live.mu.joined = map[string]int{}, map[string]int{}
	x.committed(live.take, "counts", "joined")

	lines, pairs, within := 0, 0, 0
	began := time.Now()
	load := func() {
		x.produce("lines", "", fmt.Sprintf("all word%d", lines%words), time.Now())
		lines++
		at, apart, key := began.Add(time.Duration(pairs)*pairsApart), 5*time.Minute, strconv.Itoa(pairs)
		if pairs%3 == 0 {
			apart += time.Millisecond
		} else {
			within++
		}
		x.produce("left", key, "l"+key, at)
		x.produce("right", key, "r"+key, at.Add(apart))
		pairs++
	}
	x.trouble(load, instances...)
	settle := func() {
		eventually(t, "all is counted and joined", func() bool {
			if live.counted("all") > lines {
				return true // take has told
			}
			for word := range words {
				if live.counted(fmt.Sprintf("word%d", word)) < (lines+words-1-word)/words {
					return false
				}
			}
			return live.counted("all") == lines && live.pairs() == within
		})
	}
	settle()
	for range 3 * words {
		load() // behind whatever would be told twice
	}
	settle()
	again := &results{t: t}
	again.mu.counts, again.mu.joined = map[string]int{}, map[string]int{}
	x.committed(again.take, "counts", "joined")
	eventually(t, "another reader finds the same", func() bool { return again.counted("all") == lines && again.pairs() == within })
	t.Logf("%d lines, %d of %d pairs joined", lines, within, pairs)
}
