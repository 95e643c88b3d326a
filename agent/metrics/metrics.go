package metrics

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/ingest"
)

// Names give Kafka's names to its numbers, so that labels can be read.
type Names struct {
	Request func(key int16) string  // as Produce
	Code    func(code int16) string // as NOT_LEADER_OR_FOLLOWER
}

// Metrics are an agent's collectors. All methods are safe for concurrent use.
type Metrics struct {
	names Names

	outcomes     *prometheus.CounterVec
	took         *prometheus.HistogramVec
	requestBytes *prometheus.CounterVec
	answerBytes  *prometheus.CounterVec

	produce *prometheus.HistogramVec

	bucketRequests *prometheus.CounterVec
	bucketTook     *prometheus.HistogramVec
	bucketBytes    *prometheus.CounterVec
	dollars        *prometheus.CounterVec
	prices         atomic.Pointer[Prices]

	pulled *pulled

	keys   sync.Map // int16 → *request
	stages sync.Map // ingest.Stage → prometheus.Observer
}

// request holds the collectors of one request key, so that counting one costs no lookup by labels.
type request struct {
	took                      prometheus.Observer
	requestBytes, answerBytes prometheus.Counter
}

// seconds are the bounds of the histograms: from a read in memory to a client's patience.
func seconds() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}

// stageSeconds are finer where a commit lies.
func stageSeconds() []float64 {
	return slices.Concat([]float64{.0005, .001, .00125, .0015, .00175, .002, .00225, .0025, .003, .0035, .004}, seconds()[3:])
}

// New registers an agent's collectors. version is the program's.
func New(registerer prometheus.Registerer, version string, names Names) (*Metrics, error) {
	m := &Metrics{
		names:        names,
		outcomes:     counters("wadi_request_outcomes_total", "Outcomes of requests: the first error in the answer, else NONE. Of Produce one a partition, of Fetch one a request and one a partition that has an error.", "request", "code"),
		took:         histograms("wadi_request_seconds", "From a request's last byte to the end of its answer.", "request"),
		requestBytes: counters("wadi_request_bytes_total", "Bytes of requests that were read.", "request"),
		answerBytes:  counters("wadi_answer_bytes_total", "Bytes of answers that were written.", "request"),
		produce: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "wadi_produce_seconds", Buckets: stageSeconds(),
			Help: "A batch's way: wait in the buffer, upload of its segment, commit until the answer."}, []string{"stage"}),
		bucketRequests: counters("wadi_bucket_requests_total", "Requests to the bucket.", "kind", "outcome"),
		bucketTook:     histograms("wadi_bucket_request_seconds", "Time of requests to the bucket.", "kind"),
		bucketBytes:    counters("wadi_bucket_bytes_total", "Bytes that went to the bucket and came from it.", "kind"),
		dollars:        counters("wadi_cost_dollars_total", "What the requests to the bucket cost by the price table, in dollars; storage and traffic are not in it. 0 for a folder and for S3 servers that are not Amazon's.", "kind"),
		pulled:         newPulled(),
	}
	m.Price(Prices{})
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "wadi_build_info", Help: "1, labelled with the version of the program."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	for _, c := range []prometheus.Collector{
		build, m.outcomes, m.took, m.requestBytes, m.answerBytes, m.produce,
		m.bucketRequests, m.bucketTook, m.bucketBytes, m.dollars, m.pulled,
	} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds()}, labels)
}

// Answered counts a request that has been answered or given up; it is a wire.Observer's.
func (m *Metrics) Answered(key, _ int16, requestBytes, answerBytes int, took time.Duration) {
	r := m.request(key)
	r.took.Observe(took.Seconds())
	r.requestBytes.Add(float64(requestBytes))
	r.answerBytes.Add(float64(answerBytes))
}

func (m *Metrics) request(key int16) *request {
	if r, ok := m.keys.Load(key); ok {
		return r.(*request)
	}
	name := m.names.Request(key)
	r, _ := m.keys.LoadOrStore(key, &request{
		took:         m.took.WithLabelValues(name),
		requestBytes: m.requestBytes.WithLabelValues(name),
		answerBytes:  m.answerBytes.WithLabelValues(name),
	})
	return r.(*request)
}

// Outcome counts n times a code that a request was answered with.
func (m *Metrics) Outcome(key, code int16, n int) {
	m.outcomes.WithLabelValues(m.names.Request(key), m.names.Code(code)).Add(float64(n))
}

// Stage times a part of a batch's way; it is ingest.Stats.Observe.
func (m *Metrics) Stage(stage ingest.Stage, took time.Duration) {
	o, ok := m.stages.Load(stage)
	if !ok {
		o, _ = m.stages.LoadOrStore(stage, m.produce.WithLabelValues(string(stage)))
	}
	o.(prometheus.Observer).Observe(took.Seconds())
}

// Bucket counts a request to the bucket; it is for bucket.Observe.
func (m *Metrics) Bucket(r bucket.Request) {
	kind := string(r.Op)
	m.bucketRequests.WithLabelValues(kind, bucket.Outcome(r.Err)).Inc()
	m.bucketTook.WithLabelValues(kind).Observe(r.Took.Seconds())
	if charged(r.Err) {
		m.dollars.WithLabelValues(kind).Add(m.prices.Load().of(r.Op))
	}
	if r.Bytes > 0 {
		m.bucketBytes.WithLabelValues(kind).Add(float64(r.Bytes))
	}
}

// Price says what requests to the bucket cost from now on; at first nothing.
func (m *Metrics) Price(p Prices) { m.prices.Store(&p) }

// Watch has the metrics ask these sources from now on, instead of those before.
func (m *Metrics) Watch(s Sources) { m.pulled.sources.Store(&s) }
