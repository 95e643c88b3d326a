package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/agent/follow"
	wadihttp "github.com/wadi-io/wadi/agent/http"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/segment"
)

// process is what the terms of one process share: nothing of it appends.
type process struct {
	name        string
	host        string // advertised
	port        int32  // advertised
	lock        *folderLock
	door        *door
	peerDoor    *door  // nil: no streams between agents
	peerAddress string // advertised
	members     *cluster.Members
	http        net.Listener // nil: no HTTP
	httpConfig  wadihttp.Config
	registry    *prometheus.Registry
	metrics     *metrics.Metrics
	reads       int32           // the feature level up to which it reads entries
	requests    *bucket.Counter // to the bucket, each try
	bucket      bucket.Bucket
	store       *metastore.Counting
	clock       clock // the database's
	follower    *metastore.Follower
	hub         *fetch.Hub // of waiting fetches
	buffers     *cache.Buffers
	disk        *cache.Disk // nil: none
	blocks      *fetch.Blocks
	fetcher     *fetch.Fetcher
	mesh        atomic.Pointer[follow.Mesh]   // of the term that serves
	server      atomic.Pointer[wire.Server]   // the same's
	grew        atomic.Pointer[ingest.Ingest] // woken by what the shards' replicas fold
	frames      peak                          // bytes that frames took lately
	closers     []io.Closer
}

// idleBuffersBytes bounds the segment buffers that are kept for the next flush, in bytes.
const idleBuffersBytes = 24 << 20

// openProcess opens what is this process's own, in the order in which a newcomer's
// mistakes are told best: folder, addresses, the bucket's URL. enter opens the rest.
func openProcess(ctx context.Context, cfg Config) (*process, error) {
	p := &process{name: processName(), reads: cmp.Or(cfg.Given.Level, metastore.FeatureLevel), registry: prometheus.NewRegistry(), httpConfig: wadihttp.DefaultConfig()}
	p.httpConfig.Log = cfg.Log
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var err error
	p.metrics, err = metrics.New(p.registry, cfg.Version, metrics.Names{Request: broker.RequestName, Code: broker.CodeName})
	if err != nil {
		return nil, err
	}
	if !localBucket(cfg.Bucket) {
		p.metrics.Price(cfg.Prices)
	}
	if err := p.open(ctx, cfg); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *process) open(ctx context.Context, cfg Config) (err error) {
	if cfg.Folder != "" {
		if p.lock, err = lockFolder(cfg.Folder); err != nil {
			return err
		}
		p.closers = append(p.closers, p.lock)
	}
	if cfg.CacheDisk.Folder != "" {
		lock, err := lockFolder(cfg.CacheDisk.Folder)
		if err != nil {
			return err
		}
		p.closers = append(p.closers, lock)
	}
	if err := p.listen(ctx, cfg); err != nil {
		return err
	}
	if err := p.listenToPeers(ctx, cfg); err != nil {
		return err
	}
	return p.openBucket(ctx, cfg)
}

// listen takes the addresses.
func (p *process) listen(ctx context.Context, cfg Config) error {
	l, err := cfg.Given.Listener, error(nil)
	if l == nil {
		var lc net.ListenConfig
		if l, err = lc.Listen(ctx, "tcp", cfg.Kafka); err != nil {
			return fmt.Errorf("clients can't be served at %s: %w", cfg.Kafka, err)
		}
	}
	p.closers = append(p.closers, ignoreClosed{l})
	p.door = newDoor(l)
	if p.host, p.port, err = splitAddress(l.Addr().String()); err != nil {
		return err
	}
	if host, _, _ := splitAddress(cfg.Kafka); host != "" && net.ParseIP(host) == nil {
		p.host = host
	}
	if cfg.Advertised != "" {
		if p.host, p.port, err = splitAddress(cfg.Advertised); err != nil {
			return err
		}
	} else if ip := net.ParseIP(p.host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("clients can't connect to %s: say where they reach this agent (--advertised)", net.JoinHostPort(p.host, strconv.Itoa(int(p.port))))
	}
	if cfg.HTTP == "" {
		return nil
	}
	if p.http, err = wadihttp.Listen(ctx, cfg.HTTP); err != nil {
		return err
	}
	p.closers = append(p.closers, ignoreClosed{p.http})
	return nil
}

func (p *process) openBucket(ctx context.Context, cfg Config) error {
	b := cfg.Given.Bucket
	if b == nil {
		opened, closer, err := bucket.Open(ctx, cfg.Bucket)
		if err != nil {
			return err
		}
		p.closers = append(p.closers, closer)
		b = opened
	}
	trouble := newBucketTrouble(cfg.Log)
	p.requests = bucket.Count(bucket.Observe(b, func(r bucket.Request) {
		p.metrics.Bucket(r)
		trouble.observe(r)
	}))
	retry := cfg.Given.Retry
	if retry.Max == 0 {
		retry = bucket.DefaultRetryConfig()
	}
	p.bucket = bucket.Retry(bucket.Hedge(p.requests, cfg.Hedge), retry)
	return nil
}

// cacheBlocksMin is the least number of blocks that the cache in memory has room for.
const cacheBlocksMin = 8

// openReplicas makes the replicas and brings them up to date.
func (p *process) openReplicas(ctx context.Context, cfg Config) error {
	fc := metastore.DefaultFollowerConfig()
	fc.Log = cfg.Log
	p.follower, p.hub = metastore.NewFollower(p.store, p.bucket, fc), fetch.NewHub()
	p.follower.Follow(metastore.CatalogJournal, catalog.New())
	for i := range p.store.Cluster().Shards {
		s := shard.New()
		s.OnGrow = func(partition shard.PartitionID, high int64) {
			p.hub.Grew(partition, high)
			if in := p.grew.Load(); in != nil {
				in.Grew()
			}
		}
		p.follower.Follow(metastore.ShardJournal(i), s)
	}
	for i := range p.store.Cluster().Groups {
		p.follower.Follow(metastore.GroupsJournal(i), group.New())
	}
	for i := range p.store.Cluster().Transactions {
		p.follower.Follow(metastore.TransactionsJournal(i), transaction.New())
	}
	return p.follower.Load(ctx)
}

// openReaders makes the caches and the read path.
func (p *process) openReaders(cfg Config, settings *broker.Settings) (err error) {
	if p.buffers, err = cache.NewBuffers(idleBuffersBytes); err != nil {
		return err
	}
	cc := cache.DefaultConfig()
	cc.BytesMax = cfg.CacheBytes
	cc.Outside = p.reservedBytes
	if cfg.Given.BlockBytes > 0 {
		cc.BlockBytes = cfg.Given.BlockBytes
	}
	for cc.BytesMax < cacheBlocksMin*int64(cc.BlockBytes) {
		cc.BlockBytes /= 2
	}
	if cfg.CacheDisk.Folder != "" {
		dc := cache.DefaultDiskConfig()
		dc.Folder, dc.BytesMax, dc.Log = cfg.CacheDisk.Folder, cfg.CacheDisk.BytesMax, cfg.Log
		if p.disk, err = cache.OpenDisk(dc, p.buffers); err != nil {
			return err
		}
		p.closers = append(p.closers, p.disk)
		cc.Disk = p.disk
	}
	cc.LoadRun = func(ctx context.Context, id segment.ID, offset int64, dsts [][]byte, done func(i, n int)) error {
		return bucket.Scatter(bucket.Cold(ctx), p.bucket, id.Key(), offset, dsts, done)
	}
	p.blocks, err = fetch.NewBlocks(cc, func(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
		return p.bucket.GetInto(bucket.Cold(ctx), id.Key(), offset, dst)
	}, p.buffers)
	if err != nil {
		return err
	}
	ftc := fetch.DefaultConfig()
	ftc.StalenessMax = cfg.StaleMax
	ftc.ResponseBytesMax = int(settings.Int64("fetch.max.bytes"))
	ftc.SessionsMax = int(settings.Int64("max.incremental.fetch.session.cache.slots"))
	shards := p.store.Cluster().Shards
	p.fetcher, err = fetch.New(ftc, shards, fetch.Deps{
		Replica:   func(i int) *metastore.Replica { return p.follower.Replica(metastore.ShardJournal(i)) },
		Resolve:   fetch.Resolver(p.follower.Replica(metastore.CatalogJournal), shards),
		Refresher: p.follower,
		Rows:      p.store,
		Blocks:    p.blocks,
		Hub:       p.hub,
		Clock:     metastore.DefaultFollowerConfig().Clock,
		Log:       cfg.Log,
	})
	return err
}

// diskStats are the counts of the cache on disk, nil without one.
func (p *process) diskStats() func() cache.DiskStats {
	if p.disk == nil {
		return nil
	}
	return p.disk.Stats
}

// close closes what was opened, the last first.
func (p *process) close() {
	if p.blocks != nil {
		p.blocks.Cache().Close() // First: its loads read the bucket.
	}
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i].Close()
	}
}

// ignoreClosed closes a listener that may be closed already.
type ignoreClosed struct{ net.Listener }

func (c ignoreClosed) Close() error {
	if err := c.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// localBucket tells whether PUTs to a bucket cost nothing.
func localBucket(url string) bool {
	return strings.HasPrefix(url, "file:") || strings.HasPrefix(url, "mem:")
}
