package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/agent/follow"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/metastore"
)

// Config is what one agent process is told.
type Config struct {
	Bucket     string          // URL: as bucket.Open reads it
	Metastore  string          // URL: sqlite:///path, postgres://…, memory://
	Folder     string          // locked for this process alone; empty where other agents may share bucket and metastore
	Zone       string          // the agent's availability zone
	Roles      metastore.Roles // what the agent is there for
	Kafka      string          // host:port to listen on
	Advertised string          // host:port that clients are told; empty: what Kafka is
	// ClientZones are the zones of clients that don't say theirs, by their networks.
	ClientZones cluster.Networks
	Peer        PeerConfig               // of streams between agents; none by default
	HTTP        string                   // host:port of metrics and health; empty: none
	CacheBytes  int64                    // of segments in memory
	CacheDisk   CacheDisk                // under them; none by default
	Lease       time.Duration            // how long an agent that is silent counts as alive
	DrainMax    time.Duration            // of requests in flight when the process is asked to stop
	StaleMax    time.Duration            // a replica unconfirmed for longer answers no Fetch
	Hedge       bucket.HedgeConfig       // second requests for slow ones; off by default
	Ingest      ingest.Config            // its Clock and Log are set by the agent
	Snapshot    metastore.SnapshotConfig // its Log is set by the agent
	Settings    map[string]string        // broker settings by Kafka's names
	Prices      metrics.Prices           // of requests to a bucket that isn't local
	Version     string                   // of the program
	Trace       *trace.Tracer            // of produces and fetches; nil: nothing is traced
	Log         *slog.Logger

	// LimitMemory has the agent set the collector's memory limit: for one that has the process to itself.
	LimitMemory bool

	// TrustCompressed spares the look at the records of produced batches that are compressed.
	TrustCompressed bool

	// Compaction merges, expires and collects in an agent with that role; nil: nothing does here.
	Compaction Compaction

	Given Given
}

// CacheDisk is where blocks that were loaded from the bucket are kept beside memory.
type CacheDisk struct {
	Folder   string // locked for this process alone, its blocks removed at the start and the end; empty: no disk
	BytesMax int64  // of the blocks in it
}

// cacheDiskBytesMin is room for a few blocks.
const cacheDiskBytesMin = 64 << 20

// Given are parts that an agent is handed instead of opening them: by tests and by
// simulations of many agents in one process. The agent closes the listener only.
type Given struct {
	Listener net.Listener    // instead of a socket at Config.Kafka
	Bucket   bucket.Bucket   // instead of Config.Bucket, which still says by its scheme what PUTs cost
	Store    metastore.Store // instead of Config.Metastore

	BlockBytes int // of the cache in memory; 0: as large as Config.CacheBytes suits

	PeerListener net.Listener // instead of a socket at Config.Peer.Listen
	DialPeer     func(ctx context.Context, address string) (net.Conn, error)

	Retry     bucket.RetryConfig // of what is asked of the bucket; the zero value: the default
	EndsAlone bool               // a transaction's markers never go along with its decision

	Level int32 // of features: as if this were the release that brought it; 0: this release
}

// localPutsPerSecond is the PUT budget of a bucket whose PUTs cost nothing.
const localPutsPerSecond = 1000

// Default returns the defaults of everything but the URLs.
func Default() Config {
	return Config{
		Kafka:      "127.0.0.1:9092",
		Peer:       PeerConfig{Streams: follow.DefaultConfig()},
		CacheBytes: 256 << 20,
		Roles:      metastore.RolesAll,
		Lease:      15 * time.Second,
		DrainMax:   10 * time.Second,
		StaleMax:   30 * time.Second,
		Hedge:      bucket.DefaultHedgeConfig(),
		Ingest:     ingest.DefaultConfig(),
		Snapshot:   metastore.DefaultSnapshotConfig(),
		Prices:     metrics.DefaultPrices(),
		Version:    "dev",
		Log:        slog.Default(),
	}
}

// Validate says in words which setting is wrong.
func (c Config) Validate() error {
	switch {
	case c.Bucket == "" && c.Given.Bucket == nil:
		return errors.New("a bucket URL is needed")
	case c.Metastore == "" && c.Given.Store == nil:
		return errors.New("a metastore URL is needed")
	case c.Roles == 0 || c.Roles > metastore.RolesAll:
		return errors.New("an agent has one role at least")
	case c.CacheBytes < 16<<20:
		return fmt.Errorf("a cache of %d bytes is too small; 16 MiB is the least", c.CacheBytes)
	case c.CacheDisk.Folder != "" && c.CacheDisk.BytesMax < cacheDiskBytesMin:
		return fmt.Errorf("a cache of %d bytes on disk is too small; 64 MiB is the least", c.CacheDisk.BytesMax)
	case c.Lease < time.Second:
		return fmt.Errorf("a lease of %v is too short; 1 s is the least", c.Lease)
	}
	if _, _, err := splitAddress(c.Kafka); err != nil {
		return err
	}
	if c.Advertised != "" {
		if _, _, err := splitAddress(c.Advertised); err != nil {
			return err
		}
	}
	if err := c.Peer.Validate(); err != nil {
		return err
	}
	if err := c.Hedge.Validate(); err != nil {
		return err
	}
	return c.Ingest.Validate()
}

func splitAddress(address string) (host string, port int32, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("the address %q is not host:port", address)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("the address %q has no valid port", address)
	}
	return host, int32(n), nil
}
