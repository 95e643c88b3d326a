package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/agent/follow"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

var update = flag.Bool("update", false, "write METRICS.md")

func names() Names {
	return Names{
		Request: func(key int16) string { return fmt.Sprintf("request-%d", key) },
		Code:    func(code int16) string { return fmt.Sprintf("CODE_%d", code) },
	}
}

// recorder remembers what is registered.
type recorder struct {
	*prometheus.Registry
	collectors []prometheus.Collector
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return r.Registry.Register(c)
}

func newMetrics(t *testing.T) (*Metrics, *recorder) {
	t.Helper()
	r := &recorder{Registry: prometheus.NewPedanticRegistry()}
	m, err := New(r, "1.2.3", names())
	if err != nil {
		t.Fatal(err)
	}
	return m, r
}

// The observers of the parts are methods of Metrics.
var (
	_ wire.Observer                     = (*Metrics)(nil)
	_ func(ingest.Stage, time.Duration) = (*Metrics)(nil).Stage
	_ func(bucket.Request)              = (*Metrics)(nil).Bucket
)

// touch makes every metric have a value.
func touch(m *Metrics) {
	m.Answered(0, 9, 100, 50, 20*time.Millisecond)
	m.Answered(0, 9, 100, 0, 3*time.Millisecond)
	m.Outcome(0, 6, 1)
	for _, stage := range []ingest.Stage{ingest.StageWait, ingest.StageUpload, ingest.StageCommit} {
		m.Stage(stage, time.Millisecond)
	}
	m.Bucket(bucket.Request{Op: bucket.OpPut, Bytes: 8, Took: time.Second})
	m.Bucket(bucket.Request{Op: bucket.OpGet, Took: time.Second, Err: bucket.ErrNotFound})
	m.Bucket(bucket.Request{Op: bucket.OpGet, Took: time.Second, Err: context.Canceled})
	in := &ingest.Stats{}
	in.FlushesBySize.Store(1)
	in.FlushesByLinger.Store(2)
	in.FlushesAtOnce.Store(3)
	in.Fences.Store(4)
	repeated := int64(5)
	begin := time.Unix(1000, 0)
	follower := metastore.NewFollower(nil, nil, metastore.DefaultFollowerConfig())
	follower.Follow(metastore.CatalogJournal, catalog.New())
	follower.Follow(metastore.GroupsJournal(3), catalog.New())
	m.Watch(Sources{
		Server:          func() *wire.Stats { return &wire.Stats{Connections: 7, RequestsInFlight: 8, BytesInFlight: 9} },
		Ingest:          func() *ingest.Stats { return in },
		AppendsRepeated: func() *int64 { return &repeated },
		Fetch:           func() fetch.Stats { return fetch.Stats{Fetches: 10, Sessions: fetch.SessionCounts{Evicted: 11}} },
		Cache:           func() cache.Stats { return cache.Stats{Hits: 12, BytesMax: 13} },
		CacheDisk:       func() cache.DiskStats { return cache.DiskStats{Hits: 19, BytesMax: 20} },
		BuffersIdle:     func() int64 { return 14 },
		Statements:      func() metastore.Statements { return metastore.Statements{Append: 15} },
		Replicas:        follower.Replicas,
		Pushed:          follower.PushStats,
		Peers:           func() *follow.Stats { return &follow.Stats{Peers: 16, Reachable: 17} },
		Compaction:      func() *Compaction { return &Compaction{Merges: 18} },
		Agents:          func() Agents { return Agents{Live: 21, Named: 22, Level: 2, Served: 23} },
		Shards:          func() shard.Counts { return shard.Counts{Partitions: 24, Extents: 25, Producers: 26, UnstableMax: 27} },
		Transactions: func() *transaction.Stats {
			return &transaction.Stats{Committed: 28, Aborted: 29, TimedOut: 30, IDs: 31, Ongoing: 32, Prepared: 33, OldestFor: 34 * time.Second}
		},
		Clock: func() time.Time { return begin },
	})
}

func gather(t *testing.T, r *recorder) []*dto.MetricFamily {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

const table = "| metric | type | labels | what it tells |\n|---|---|---|---|\n"

// TestMetricsMD: the document lists exactly what is registered.
func TestMetricsMD(t *testing.T) {
	m, r := newMetrics(t)
	touch(m)
	families := gather(t, r)
	gathered := map[string]bool{}
	var rows strings.Builder
	rows.WriteString(table)
	for _, f := range families {
		gathered[f.GetName()] = true
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
		if !strings.HasPrefix(f.GetName(), "wadi_") || (f.GetType() == dto.MetricType_COUNTER) != strings.HasSuffix(f.GetName(), "_total") {
			t.Errorf("%s %s: names begin with wadi_, and counters end in _total", f.GetType(), f.GetName())
		}
	}
	// What had no value above would be missing from the document unseen.
	described := regexp.MustCompile(`fqName: "(\w+)"`)
	for _, c := range r.collectors {
		descs := make(chan *prometheus.Desc, 1000)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			if name := described.FindStringSubmatch(d.String()); name == nil || !gathered[name[1]] {
				t.Errorf("%v is registered and has no value in this test", d)
			}
		}
	}
	document, err := os.ReadFile("METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	head, old, found := strings.Cut(string(document), table)
	if !found {
		t.Fatal("METRICS.md has no table")
	}
	if table+old == rows.String() {
		return
	}
	if !*update {
		t.Fatalf("METRICS.md is not what is registered; write it with go test ./agent/metrics -update\n%s", rows.String())
	}
	if err := os.WriteFile("METRICS.md", []byte(head+rows.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// value returns the value of a series, or a histogram's count; -1 if it isn't there.
func value(families []*dto.MetricFamily, series string) float64 {
	name, labels, _ := strings.Cut(series, " ")
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, metric := range f.GetMetric() {
			var got []string
			for _, l := range metric.GetLabel() {
				got = append(got, l.GetName()+"="+l.GetValue())
			}
			if strings.Join(got, " ") == labels {
				return metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return -1
}

func TestValues(t *testing.T) {
	m, r := newMetrics(t)
	before := gather(t, r)
	if got := value(before, "wadi_build_info version=1.2.3"); got != 1 || len(before) != 1 {
		t.Errorf("before anything happened: %v", before)
	}
	touch(m)
	families := gather(t, r)
	for series, want := range map[string]float64{
		"wadi_request_seconds request=request-0":                    2,
		"wadi_request_bytes_total request=request-0":                200,
		"wadi_answer_bytes_total request=request-0":                 50,
		"wadi_request_outcomes_total code=CODE_6 request=request-0": 1,
		"wadi_produce_seconds stage=upload":                         1,
		"wadi_bucket_requests_total kind=put outcome=ok":            1,
		"wadi_bucket_requests_total kind=get outcome=not_found":     1,
		"wadi_bucket_requests_total kind=get outcome=cancelled":     1,
		"wadi_bucket_request_seconds kind=get":                      2,
		"wadi_bucket_bytes_total kind=put":                          8,
		"wadi_bucket_bytes_total kind=get":                          -1,
		"wadi_connections":                                          7,
		"wadi_requests_in_flight":                                   8,
		"wadi_request_bytes_in_flight":                              9,
		"wadi_flushes_total reason=size":                            1,
		"wadi_flushes_total reason=linger":                          2,
		"wadi_flushes_total reason=at_once":                         3,
		"wadi_fences_total":                                         4,
		"wadi_void_batches_total":                                   0,
		"wadi_appends_repeated_total":                               5,
		"wadi_fetches_total":                                        10,
		"wadi_fetch_sessions_evicted_total":                         11,
		"wadi_cache_hits_total":                                     12,
		"wadi_cache_bytes_max":                                      13,
		"wadi_cache_disk_hits_total":                                19,
		"wadi_cache_disk_bytes_max":                                 20,
		"wadi_buffers_idle_bytes":                                   14,
		"wadi_partitions":                                           24,
		"wadi_unstable_records_max":                                 27,
		"wadi_transactions_ended_total outcome=committed":           28,
		"wadi_transactions_ended_total outcome=timed_out":           30,
		"wadi_transactions_prepared":                                33,
		"wadi_transaction_oldest_seconds":                           34,
		"wadi_replica_version journal=groups-3":                     0,
		"wadi_replica_stopped journal=catalog":                      0,
	} {
		if got := value(families, series); got != want {
			t.Errorf("%s is %v; want %v", series, got, want)
		}
	}
}

// TestWatch_BetweenTerms: a source that isn't there is left out.
func TestWatch_BetweenTerms(t *testing.T) {
	m, r := newMetrics(t)
	m.Watch(Sources{
		Server:          func() *wire.Stats { return nil },
		Ingest:          func() *ingest.Stats { return nil },
		AppendsRepeated: func() *int64 { return nil },
		Transactions:    func() *transaction.Stats { return nil },
	})
	if families := gather(t, r); len(families) != 1 {
		t.Errorf("%v", families)
	}
}

func TestNew_Twice(t *testing.T) {
	_, r := newMetrics(t)
	var already prometheus.AlreadyRegisteredError
	if _, err := New(r, "1.2.3", names()); !errors.As(err, &already) {
		t.Errorf("%v", err)
	}
}

// TestAnswered_NoAllocation: counting a request costs the hot path nothing.
func TestAnswered_NoAllocation(t *testing.T) {
	m, _ := newMetrics(t)
	got := testing.AllocsPerRun(100, func() {
		m.Answered(0, 9, 100, 50, time.Millisecond)
		m.Stage(ingest.StageWait, time.Millisecond)
	})
	if got > 1 { // the stage's name as a key
		t.Errorf("%v allocations", got)
	}
}
