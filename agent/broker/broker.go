package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire/batch"
)

// Config is what a Broker is told at its term's begin.
type Config struct {
	ClusterID string
	NodeID    int32
	Host      string // advertised to clients
	Port      int32  // advertised to clients
	Rack      string // broker.rack; empty: none
	Shards    int    // of the cluster
	// Journals of the cluster's groups and transactional ids; 0 is 1.
	Groups, Transactions int
	ClientZones          cluster.Networks // of clients that don't say their zone
	Settings             *Settings
	Limits               Limits
	// TrustCompressed spares the decompression of produced batches: their headers are believed.
	TrustCompressed bool
}

// Limits bounds what requests can make a Broker hold.
type Limits struct {
	PartitionsMax        int // of all topics together
	TopicPartitionsMax   int // of one topic
	TopicConfigBytesMax  int // names and values of the configs set for one topic
	DecompressedBytesMax int // of one produced batch
	InspectedMax         int // requests whose records are looked at, at the same time
}

// DefaultLimits returns the defaults.
func DefaultLimits() Limits {
	return Limits{
		PartitionsMax:        200_000,
		TopicPartitionsMax:   10_000,
		TopicConfigBytesMax:  64 << 10,
		DecompressedBytesMax: 128 << 20,
		InspectedMax:         runtime.GOMAXPROCS(0), // more would only take more memory
	}
}

// Validate says what is wrong with the config.
func (c Config) Validate() error {
	switch {
	case c.ClusterID == "":
		return errors.New("a broker needs its cluster's id")
	case c.NodeID < 0:
		return fmt.Errorf("node id %d is below 0", c.NodeID)
	case c.Host == "" || c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("clients can't be told to connect to %q, port %d", c.Host, c.Port)
	case c.Shards < 1:
		return errors.New("a cluster has at least one shard")
	case c.Settings == nil:
		return errors.New("a broker needs settings")
	case c.Limits.PartitionsMax < 1 || c.Limits.PartitionsMax > catalog.PartitionsMax:
		return fmt.Errorf("the limit of %d partitions is not within 1 and %d", c.Limits.PartitionsMax, catalog.PartitionsMax)
	case c.Limits.TopicPartitionsMax < 1 || c.Limits.TopicPartitionsMax > c.Limits.PartitionsMax:
		return fmt.Errorf("the limit of %d partitions a topic is not within 1 and the %d of all topics",
			c.Limits.TopicPartitionsMax, c.Limits.PartitionsMax)
	case c.Settings.Int64("num.partitions") > int64(c.Limits.TopicPartitionsMax):
		return fmt.Errorf("num.partitions is %d, above the limit of %d partitions a topic",
			c.Settings.Int64("num.partitions"), c.Limits.TopicPartitionsMax)
	case c.Limits.TopicConfigBytesMax < 0 || c.Limits.TopicConfigBytesMax > metastore.EntryBytesMax/4:
		return fmt.Errorf("the limit of %d bytes of a topic's configs is not within 0 and %d",
			c.Limits.TopicConfigBytesMax, metastore.EntryBytesMax/4)
	case c.Limits.DecompressedBytesMax < 1 || c.Limits.InspectedMax < 1:
		return errors.New("looking at records needs room for them")
	}
	return nil
}

// Refresher has the replicas and brings them up to date with their journals.
type Refresher interface {
	Refresh(ctx context.Context, journals ...metastore.JournalID) error
	Replica(id metastore.JournalID) *metastore.Replica
}

// Writer appends to the journals.
type Writer interface {
	Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error)
}

// Producer takes produced batches.
type Producer interface {
	Append(ctx context.Context, batches []ingest.Batch, gone <-chan struct{}, copied func()) (*ingest.Submission, error)
}

// Deps are the parts that a Broker stands on.
type Deps struct {
	Catalog  *metastore.Replica // of a *catalog.State
	Follower Refresher
	Writer   Writer
	Ingest   Producer
	Fetch    *fetch.Fetcher
	Groups   *group.Coordinator
	// Transactions coordinates transactional ids, and adds to transactions.
	Transactions *transaction.Coordinator
	// View is the cluster as this agent sees it; nil: it is alone.
	View func() *cluster.View
	// Level is the cluster's feature level; nil: the newest.
	Level func() int32
	Clock func() time.Time
	Log   *slog.Logger
	// Random makes topic ids; nil: the system's.
	Random io.Reader
	// Outcome is told how many partitions, or whole requests, got a code; nil: nobody is.
	Outcome func(key, code int16, n int)
	Trace   *trace.Tracer // nil: nothing is traced
	// Term ends with the broker's term. Appends to the catalog go on until then,
	// whether or not the connection that asked for them is still there.
	Term context.Context
}

// Broker answers the requests of one term.
type Broker struct {
	cfg       Config
	deps      Deps
	alone     *cluster.View // of this agent only
	topics    topicConfigs
	producers producerIDs
	// writing holds a token while nobody changes the catalog: changes by this agent
	// take turns instead of losing to one another.
	writing chan struct{}
	// inspectors are lent to who checks produced batches, so that decompression takes
	// Limits.InspectedMax times what one batch may take.
	inspectors chan *batch.Inspector
}

// New returns a Broker.
func New(cfg Config, deps Deps) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, deps: deps, writing: make(chan struct{}, 1)}
	b.cfg.Groups, b.cfg.Transactions = max(1, cfg.Groups), max(1, cfg.Transactions)
	b.alone = aloneView(cfg)
	if b.deps.View == nil {
		b.deps.View = func() *cluster.View { return b.alone }
	}
	if b.deps.Clock == nil {
		b.deps.Clock = time.Now
	}
	if b.deps.Log == nil {
		b.deps.Log = slog.Default()
	}
	if b.deps.Random == nil {
		b.deps.Random = rand.Reader
	}
	if b.deps.Outcome == nil {
		b.deps.Outcome = func(int16, int16, int) {}
	}
	if b.deps.Term == nil {
		b.deps.Term = context.Background()
	}
	b.writing <- struct{}{}
	b.inspectors = make(chan *batch.Inspector, cfg.Limits.InspectedMax)
	for range cfg.Limits.InspectedMax {
		b.inspectors <- new(batch.Inspector)
	}
	b.topics.init(cfg.Settings)
	b.producers.init()
	return b, nil
}

// viewCatalog calls f with the catalog's state. f must not block.
func (b *Broker) viewCatalog(f func(s *catalog.State)) { metastore.View(b.deps.Catalog, f) }

// topic returns the topic with a name, or nil.
func (b *Broker) topic(name string) (t *catalog.Topic) {
	b.viewCatalog(func(s *catalog.State) { t = s.Topic(name) })
	return t
}

// topicByID returns the topic with an id, or nil.
func (b *Broker) topicByID(id [16]byte) (t *catalog.Topic) {
	b.viewCatalog(func(s *catalog.State) { t = s.ByID(id) })
	return t
}

// hear reads the catalog once if it lacks a partition that a request names: another
// agent may have made it just now. What is unknown after a read that failed is unknown all the same.
func (b *Broker) hear(ctx context.Context, lacks func(s *catalog.State) bool) {
	var lacking bool
	b.viewCatalog(func(s *catalog.State) { lacking = lacks(s) })
	if !lacking {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, refreshWaitMax)
	defer cancel()
	if err := b.refreshCatalog(ctx); err != nil {
		b.tellFailed("an unknown topic could not be looked for", err)
	}
}

// lacks tells whether a partition isn't in the catalog.
func lacks(s *catalog.State, k fetch.Key) bool {
	t := s.Topic(k.Topic.Name)
	if k.Topic.Name == "" {
		t = s.ByID(k.Topic.ID)
	}
	return t == nil || k.Partition >= t.Partitions
}

// refreshCatalog reads the catalog's journal, so that what another agent has just
// changed is seen.
func (b *Broker) refreshCatalog(ctx context.Context) error {
	return b.deps.Follower.Refresh(ctx, metastore.CatalogJournal)
}

// now is the clock in ms since 1970 UTC.
func (b *Broker) now() int64 { return b.deps.Clock().UnixMilli() }
