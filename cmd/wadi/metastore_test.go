package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

// failing is a cluster of one agent on a pair of Postgres.
type failing struct {
	t       *testing.T
	pair    *postgrestest.Pair
	url     string
	bucket  string
	address string
	log     *buffer
	stop    func()
}

func newFailing(t *testing.T, synchronous bool) *failing {
	f := &failing{t: t, pair: postgrestest.NewPair(t, synchronous), bucket: "file://" + t.TempDir()}
	var err error
	if f.url, err = f.pair.Create(t.Context(), "wadi"); err != nil {
		t.Fatal(err)
	}
	f.start()
	return f
}

// start starts an agent.
func (f *failing) start() {
	f.t.Helper()
	f.log = &buffer{}
	config := agent.Default()
	config.Bucket, config.Metastore, config.Kafka = f.bucket, f.url, "127.0.0.1:0"
	config.Lease = 3 * time.Second
	config.Log = slog.New(slog.NewTextHandler(f.log, nil))
	a, err := agent.New(config)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	f.stop = func() { cancel(); <-ended }
	f.t.Cleanup(cancel)
	select {
	case <-a.Ready():
	case err := <-ended:
		f.t.Fatal(err)
	}
	f.address = a.KafkaAddr()
}

func (f *failing) client(opts ...kgo.Opt) *kgo.Client {
	f.t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(f.address), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// produce sends values one by one, so that each is a flush, and returns their offsets.
func (f *failing) produce(c *kgo.Client, values ...string) map[string]int64 {
	f.t.Helper()
	offsets := map[string]int64{}
	for _, v := range values {
		r, err := c.ProduceSync(f.t.Context(), &kgo.Record{Topic: "t", Value: []byte(v)}).First()
		if err != nil {
			f.t.Fatalf("produce %s: %v\n%s", v, err, f.log)
		}
		offsets[v] = r.Offset
	}
	return offsets
}

// consume reads a partition from its begin until a value.
func (f *failing) consume(last string) map[string]int64 {
	f.t.Helper()
	c := f.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
	defer c.Close()
	read := map[string]int64{}
	for {
		fs := c.PollFetches(f.t.Context())
		if err := fs.Err(); err != nil {
			f.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if at, twice := read[string(r.Value)]; twice {
				f.t.Errorf("%s is at %d and at %d", r.Value, at, r.Offset)
			}
			read[string(r.Value)] = r.Offset
		})
		if _, ok := read[last]; ok {
			return read
		}
	}
}

func names(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

// TestMetastore_FailOverWithItsTail: a synchronous standby takes over, and the
// clients' requests are only slower.
func TestMetastore_FailOverWithItsTail(t *testing.T) {
	f := newFailing(t, true)
	c := f.client()
	defer c.Close()
	if r, err := kadm.NewClient(c).CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	before := f.produce(c, names("before", 10)...)
	failed := time.Now()
	if err := f.pair.FailOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	after := f.produce(c, "after")
	t.Logf("%v to fail over; %v from then to the next acknowledgement", promoted.Sub(failed), time.Since(promoted))
	read := f.consume("after")
	for _, offsets := range []map[string]int64{before, after} {
		for v, at := range offsets {
			if read[v] != at {
				t.Errorf("%s was acknowledged at %d and is read at %d", v, at, read[v])
			}
		}
	}
	run(t, "metastore", "recover", "--metastore", f.url, "--bucket", f.bucket).want(t, exitDone, "No journal has lost its tail.", "")
	f.stop()
}

// TestMetastore_FailOverWithoutItsTail: the journals stop, in words; a recovery
// brings what was acknowledged back.
func TestMetastore_FailOverWithoutItsTail(t *testing.T) {
	ctx := t.Context()
	f := newFailing(t, false)
	c := f.client()
	if r, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, nil, "t"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	acknowledged := f.produce(c, names("kept", 5)...)
	if err := f.pair.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.pair.Cut(ctx); err != nil {
		t.Fatal(err)
	}
	for v, at := range f.produce(c, names("lost", 5)...) {
		acknowledged[v] = at
	}
	if err := f.pair.FailOver(ctx); err != nil {
		t.Fatal(err)
	}
	c.Close()
	// Without an id, since the client never gives up a record of an idempotent producer.
	plain := f.client(kgo.RecordDeliveryTimeout(5*time.Second), kgo.DisableIdempotentWrite())
	if err := plain.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("refused")}).FirstErr(); err == nil {
		t.Fatal("a journal without its tail was written")
	}
	plain.Close()
	if !strings.Contains(f.log.String(), "has lost its tail") {
		t.Fatalf("the log doesn't say so:\n%s", f.log)
	}
	run(t, "metastore", "check", f.url).want(t, exitFailure, "FAILED  server", "lost their tails")
	run(t, "metastore", "status", f.url).want(t, exitDone, "LOST ITS TAIL", "")
	plan := run(t, "metastore", "recover", "--metastore", f.url, "--bucket", f.bucket)
	plan.want(t, exitDone, "at their own offsets", "")
	plan.want(t, exitDone, "Nothing was changed.", "")
	run(t, "metastore", "status", f.url).want(t, exitDone, "LOST ITS TAIL", "")
	f.stop()
	run(t, "metastore", "recover", "--metastore", f.url, "--bucket", f.bucket, "--yes").want(t, exitDone, "1 journal recovered", "")
	run(t, "metastore", "check", f.url).want(t, exitDone, "Agents can use this metastore.", "")

	f.start()
	c = f.client()
	defer c.Close()
	after := f.produce(c, "after")
	read := f.consume("after")
	inPlace := 0
	for v, at := range acknowledged {
		got, ok := read[v]
		if !ok {
			t.Errorf("%s, acknowledged at %d, is gone", v, at)
		}
		if got == at {
			inPlace++
		}
	}
	// All but the last flush, of which the bucket doesn't tell, are where they were.
	if inPlace < len(acknowledged)-1 || after["after"] < 10 {
		t.Errorf("%d of %d are at their offsets; acknowledged %v, read %v", inPlace, len(acknowledged), acknowledged, read)
	}
	f.stop()
}

func TestMetastore_CheckMigrateStatus(t *testing.T) {
	pg := &postgrestest.Server{}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	url, err := pg.Create(t.Context(), "wadi")
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, "metastore", "check", url)
	r.want(t, exitDone, "is not there or empty", "")
	if strings.Count(r.stdout, "ok  ") != 8 {
		t.Error(r.stdout)
	}
	run(t, "metastore", "status", url).want(t, exitFailure, "", "no metastore in this database yet")
	run(t, "metastore", "migrate", url).want(t, exitDone, "migrations taken", "")
	run(t, "metastore", "migrate", url).want(t, exitDone, "0 migrations taken", "")
	run(t, "metastore", "check", pg.Bouncer(t, url)).want(t, exitDone, "one stands between", "")
	if err := pg.Exec(t.Context(), "create role reader login", "alter role reader set synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	run(t, "metastore", "check", strings.Replace(url, "wadi@", "reader@", 1)).want(t, exitFailure, "FAILED  keep what is committed", "synchronous_commit=off")
	if err := pg.Exec(t.Context(), "alter role reader reset synchronous_commit"); err != nil {
		t.Fatal(err)
	}
	run(t, "metastore", "check", strings.Replace(url, "wadi@", "reader@", 1)).want(t, exitFailure, "", "permission denied")
	run(t, "metastore", "check", "sqlite:///x").want(t, exitUsage, "", "not a Postgres URL")
	run(t, "metastore", "recover", "--bucket", "mem://").want(t, exitUsage, "", "--metastore is needed")

	f := &failing{t: t, url: url, bucket: "file://" + t.TempDir()}
	f.start()
	defer f.stop()
	var s statusLine
	r = run(t, "metastore", "status", url, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil || len(s.Terms) != 1 || s.Terms[0].LeaseSec <= 0 || len(s.Journals) != 97 {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	run(t, "metastore", "status", url).want(t, exitDone, f.address, "")
	// Another cluster's bucket, and two clusters on one database.
	other := strings.Replace(url, "?", "?wadi_schema=other&", 1)
	g := &failing{t: t, url: other, bucket: "file://" + t.TempDir()}
	g.start()
	g.stop()
	run(t, "metastore", "recover", "--metastore", other, "--bucket", f.bucket).want(t, exitFailure, "", "belongs to the cluster "+s.Cluster)
	config := agent.Default()
	config.Bucket, config.Metastore, config.Kafka = f.bucket, other, "127.0.0.1:0"
	config.Log = slog.New(slog.DiscardHandler)
	a, err := agent.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to the cluster") {
		t.Fatalf("an agent on another cluster's bucket: %v", err)
	}
}
