package simulation

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/bench/history"
	"github.com/wadi-io/wadi/metastore"
)

// Config says what a seed simulates.
type Config struct {
	Seed         uint64
	Length       time.Duration // of the time in which clients write
	Agents       int
	Push         bool // agents push to each other
	Producers    int  // idempotent
	Plain        int  // producers without ids
	Direct       int  // idempotent, from agent to agent
	Readers      int  // by assignment
	Members      int  // of the one group
	Transactors  int  // transactional ids
	Transformers int  // members of the group whose offsets are in transactions
	Pending      int  // clients whose offsets are pending in transactions
	Heartbeaters int  // members of a group of the consumer protocol (KIP-848)
	Compaction   bool // history is merged, compacted by key, expired and collected
	Impatient    bool // agents give up after seconds what they ask of the bucket
	TwoSteps     bool // a transaction's markers never go along with its decision
	SendEvery    time.Duration
	FaultEvery   time.Duration // between the begins of faults, at most
	Lease        time.Duration
	Cluster      metastore.Cluster
	Settings     map[string]string
	Live         io.Writer // told what happens as it happens; nil: nobody
}

// NewConfig draws what a seed simulates.
func NewConfig(seed uint64) Config {
	cfg := Config{Seed: seed, Length: 60 * time.Second, Lease: 5 * time.Second}
	w := world{cfg: cfg}
	r := w.stream("config")
	cfg.Agents = 3 + r.IntN(5)
	cfg.Push = r.IntN(4) > 0
	cfg.Producers = 2 + r.IntN(3)
	cfg.Plain = 1
	cfg.Readers = 1 + r.IntN(2)
	cfg.Members = 2 + r.IntN(2)
	cfg.SendEvery = time.Duration(200+r.IntN(250)) * time.Millisecond
	cfg.FaultEvery = time.Duration(1000+r.IntN(7000)) * time.Millisecond
	cfg.Cluster = metastore.DefaultCluster()
	cfg.Cluster.Shards = 1 + r.IntN(6)
	cfg.Cluster.Groups, cfg.Cluster.Transactions = 2, 2
	cfg.Settings = map[string]string{
		"group.initial.rebalance.delay.ms":                            "500",
		"group.consumer.session.timeout.ms":                           "6000",
		"group.consumer.min.session.timeout.ms":                       "6000",
		"group.consumer.heartbeat.interval.ms":                        "1000",
		"group.consumer.min.heartbeat.interval.ms":                    "1000",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}
	cfg.Transactors, cfg.Transformers = r.IntN(3), r.IntN(3)
	cfg.Compaction = r.IntN(4) > 0
	cfg.Direct = 1 + r.IntN(2)
	cfg.Pending, cfg.Heartbeaters = r.IntN(2), max(0, r.IntN(4)-1)
	cfg.Impatient = r.IntN(2) == 0
	cfg.TwoSteps = r.IntN(3) == 0
	return cfg
}

// Result is what a seed came to.
type Result struct {
	Seed   uint64
	Trace  uint64 // a digest of all that happened
	Report *history.Report
	Bugs   []string // what no history shows
	Faults map[string]int
	counts counts
	world  *world
}

// Clean says whether nothing was found.
func (r *Result) Clean() bool { return len(r.Bugs) == 0 && r.Report.Clean() }

// Line is the result in a line.
func (r *Result) Line() string {
	state := "clean"
	if !r.Clean() {
		state = "FOUND"
		for _, k := range history.Kinds() {
			if n := r.Report.Counts[k]; n > 0 {
				state += fmt.Sprintf(" %d %s", n, k)
			}
		}
		if len(r.Bugs) > 0 {
			state += fmt.Sprintf(" %d others", len(r.Bugs))
		}
	}
	c := r.counts
	return fmt.Sprintf("seed %d %s: %d operations, %d acknowledged of %d sent, %d of %d transactions, %d records read, %d commits, %d merges, %d records cleaned, %d log starts moved, %d objects deleted, %d records archived, %d faults, longest stall %.1f s, trace %016x",
		r.Seed, state, c.operations(), c.acknowledged, c.sends, c.committed, c.transactions, c.records, c.commits, c.merges, c.cleaned, c.expired, c.deleted, c.archived, total(r.Faults), c.stall.Seconds(), r.Trace)
}

// Tell writes the story: what was found, the events about it, what went wrong meanwhile.
func (r *Result) Tell(out io.Writer) error {
	for _, b := range r.Bugs {
		fmt.Fprintf(out, "%s\n", b)
	}
	if err := r.Report.Tell(out, r.world.history()); err != nil {
		return err
	}
	fmt.Fprintln(out, "what went on:")
	for _, l := range r.world.mu.log {
		if !strings.Contains(l, "  log ") {
			fmt.Fprintln(out, " ", l)
		}
	}
	return nil
}

func (w *world) history() func(yield func(history.Event, error) bool) {
	return func(yield func(history.Event, error) bool) {
		for _, e := range w.mu.events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Run simulates a seed, and returns when all that it has begun has ended.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return nil, err
	}
	w.topics = newTopics(w)
	w.newHosts(cfg.Agents)
	alive, end := context.WithCancel(ctx)
	defer end()
	for _, h := range w.agents {
		h.start(alive)
	}
	writing, stopWriting := context.WithCancel(alive)
	defer stopWriting()
	reading, stopReading := context.WithCancel(alive)
	defer stopReading()
	var writers, readers sync.WaitGroup
	commits := newCommitted()
	for n := range cfg.Producers {
		writers.Go(func() { w.produce(writing, n) })
	}
	for n := range cfg.Plain {
		writers.Go(func() { w.producePlain(writing, n) })
	}
	for n := range cfg.Direct {
		writers.Go(func() { w.produceDirect(writing, n) })
	}
	for n := range cfg.Transactors {
		writers.Go(func() { w.transact(writing, n) })
	}
	for n := range cfg.Transformers {
		readers.Go(func() { w.transform(reading, n) })
	}
	writers.Go(func() { w.runAdmin(writing) })
	writers.Go(func() { w.deleteRecords(writing) })
	for n := range cfg.Pending {
		writers.Go(func() { w.leavePending(writing, n) })
	}
	writers.Go(func() { w.torment(writing, alive) })
	for n := range cfg.Readers {
		readers.Go(func() { w.readAssigned(reading, n) })
	}
	for n := range cfg.Members {
		readers.Go(func() { w.member(reading, "g", n, commits) })
	}
	groups := []string{"g"}
	for n := range cfg.Heartbeaters {
		readers.Go(func() {
			w.member(reading, groupByHeartbeat, n, commits, kgo.Balancers(kgo.RangeBalancer()), kgo.ServerSideBalancer())
		})
		groups = []string{"g", groupByHeartbeat}
	}
	readers.Go(func() { w.watchEnds(reading) })
	readers.Go(func() { w.probeEnds(reading) })
	readers.Go(func() { w.watchCommits(reading, groups, commits) })
	w.last(alive)
	stopWriting()
	writers.Wait()
	for _, h := range w.agents {
		h.start(alive)
	}
	w.late.Wait()
	pause(alive, 2*cfg.Lease)
	stopReading()
	readers.Wait()
	w.judge(alive)
	for _, h := range w.agents {
		h.stop()
	}
	w.audit(alive)
	return w.result()
}

// What a minute must see at least. It is made longer for operations and faults, up to three times.
const (
	operationsMin = 1000
	faultsMin     = 5
)

// last waits until the clients have written for as long as they are to.
func (w *world) last(ctx context.Context) {
	minutes := w.cfg.Length.Minutes()
	pause(ctx, w.cfg.Length)
	for wait := w.cfg.Length; wait < 3*w.cfg.Length; wait += w.cfg.Length / 6 {
		w.mu.Lock()
		enough := float64(w.mu.counts.operations()) >= operationsMin*minutes && float64(total(w.mu.faults)) >= faultsMin*minutes
		w.mu.Unlock()
		if enough || !pause(ctx, w.cfg.Length/6) {
			return
		}
	}
}

// acknowledgedMin is how many records a minute must see acknowledged: with fewer a seed proves little.
const acknowledgedMin = 100

func (w *world) result() (*Result, error) {
	if n, least := w.mu.counts.acknowledged, acknowledgedMin*int(w.cfg.Length.Seconds())/60; n < least {
		w.bug("%d records were acknowledged, fewer than %d", n, least)
	}
	w.explain()
	report, err := history.Check(history.Header{}, w.history())
	if err != nil {
		return nil, err
	}
	// A topic that was deleted needn't have been read to its end.
	kept := report.Anomalies[:0]
	for _, a := range report.Anomalies {
		topic, _, _ := strings.Cut(a.Key, "/")
		if a.Kind == history.Unseen && w.topics.isRetired(topic) {
			continue
		}
		kept = append(kept, a)
	}
	report.Anomalies = kept
	if n := report.Counts[history.Unseen]; n > 0 && !slices.ContainsFunc(kept, func(a history.Anomaly) bool { return a.Kind == history.Unseen }) {
		delete(report.Counts, history.Unseen)
	}
	trace := w.trace()
	w.mu.Lock()
	defer w.mu.Unlock()
	return &Result{Seed: w.cfg.Seed, Trace: trace, Report: report, Bugs: w.mu.bugs, Faults: w.mu.faults, counts: w.mu.counts, world: w}, nil
}
