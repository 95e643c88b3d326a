package main

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/agent/metrics"
	"github.com/wadi-io/wadi/metastore"
)

const (
	flagTrustCompressed = "trust-compressed-records"
	flagCacheDisk       = "cache-disk"
	flagCacheDiskBytes  = "cache-disk-bytes"
	flagPutBudget       = "put-budget"
)

// agentFlags are the flags of every command that runs an agent.
func agentFlags(more ...cli.Flag) []cli.Flag {
	defaults := agent.Default()
	flags := append(more,
		&cli.StringFlag{Name: flagKafka, Value: defaultKafka, Usage: "listen for Kafka clients on `HOST:PORT`"},
		&cli.StringFlag{Name: "advertised", Usage: "tell clients to come to `HOST:PORT` (default: what --kafka is)"},
		&cli.StringFlag{Name: "http", Value: "127.0.0.1:9090", Usage: "serve /metrics, /healthz, /readyz and /debug/pprof on `HOST:PORT` (empty: don't)"},
		&cli.StringFlag{Name: "cache", Value: bytesText(defaults.CacheBytes), Usage: "take `SIZE` of memory for segments, kept and being written"},
		&cli.BoolFlag{Name: flagTrustCompressed, Usage: "take compressed batches without looking at their records: spares their decompression, lets a broken producer store what no reader can read"},
		tracesFlag(),
		configFlag(),
	)
	return append(append(flags, compactionFlags()...), logFlags()...)
}

func (p *program) agentCommand() *cli.Command {
	return &cli.Command{
		Name: "agent", Usage: "run an agent on a bucket and a metastore",
		Description: "Runs until SIGTERM or SIGINT, which let requests in flight finish; a second one\nends it at once. Nothing acknowledged is lost either way.",
		Flags: agentFlags(append(slices.Concat(peerFlags(), clusterFlags()),
			&cli.StringFlag{Name: "bucket", Usage: "keep segments at `URL`: " + bucketURLs},
			&cli.StringFlag{Name: flagCacheDisk, Usage: "keep blocks that were read from the bucket in the folder `PATH` too, which is this agent's alone (empty: in memory only)"},
			&cli.StringFlag{Name: flagCacheDiskBytes, Value: "16GiB", Usage: "of --cache-disk: use up to `SIZE` of it"},
			&cli.StringFlag{Name: flagPrices, Usage: "dollars for a thousand requests to the bucket, for the metric wadi_cost_dollars_total: `KIND=PRICE,…` (by default list prices by the bucket's URL; S3 Standard: put=0.005,get=0.0004,list=0.005,delete=0)"},
			&cli.Float64Flag{Name: flagPutBudget, Value: agent.Default().Ingest.PutsPerSecondMax, Usage: "spend up to `N` PUTs a second to answer producers sooner while there is little to write; from 20 MiB/s on segments fill by themselves. 25 without pause are 329 dollars a month in S3 Standard, an idle agent spends none"},
			&cli.DurationFlag{Name: "bucket-hedge-get", Usage: "ask the bucket again for what it hasn't sent after `TIME` (0: don't; at most 5 % of requests)"},
			&cli.DurationFlag{Name: "bucket-hedge-put", Usage: "send the bucket again what it hasn't taken after `TIME` (0: don't; at most 20 % of requests)"},
			&cli.StringFlag{Name: "metastore", Usage: "keep journals at `URL`: sqlite:///path, postgres://…, memory://"},
		)...),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 0, 0); err != nil {
				return err
			}
			for _, name := range []string{"bucket", "metastore"} {
				if ctx.String(name) == "" {
					return usagef("--%s is needed; for a first try there is wadi dev, which needs nothing", name)
				}
			}
			config, err := p.agentConfig(ctx)
			if err != nil {
				return err
			}
			config.Bucket, config.Metastore = ctx.String("bucket"), ctx.String("metastore")
			if config, err = clusterConfig(ctx, config); err != nil {
				return err
			}
			if config.Peer, err = peerConfig(ctx, config.Peer); err != nil {
				return err
			}
			config.CacheDisk.Folder = ctx.String(flagCacheDisk)
			if config.CacheDisk.BytesMax, err = parseBytes(ctx.String(flagCacheDiskBytes)); err != nil {
				return usagef("--%s: %s", flagCacheDiskBytes, err)
			}
			if config.Prices, err = metrics.ParsePrices(ctx.String(flagPrices), metrics.PricesOf(config.Bucket)); err != nil {
				return usagef("--%s: %s", flagPrices, err)
			}
			config.Ingest.PutsPerSecondMax = ctx.Float64(flagPutBudget)
			config.Hedge.GetAfter, config.Hedge.PutAfter = ctx.Duration("bucket-hedge-get"), ctx.Duration("bucket-hedge-put")
			return p.runTracedAgent(ctx, config)
		},
	}
}

const flagPrices = "bucket-prices"

const flagClientZones = "client-zones"

// clusterFlags say what an agent is to the others and to clients.
func clusterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "zone", Usage: "the agent is in availability zone `NAME`; clients that say zone=NAME in client.id, and readers by client.rack, are sent to agents of theirs"},
		&cli.StringFlag{Name: flagClientZones, Usage: "clients of these networks are in these zones if they don't say theirs: `NETWORK=ZONE,…`, such as 10.0.1.0/24=a,10.0.2.0/24=b"},
		&cli.StringFlag{Name: "roles", Value: metastore.RolesAll.String(), Usage: "what clients and agents are sent here for: a `LIST` of ingest (producers), fetch (readers who name a rack), compaction"},
	}
}

// clusterConfig is what clusterFlags say.
func clusterConfig(ctx *cli.Context, config agent.Config) (agent.Config, error) {
	config.Zone = ctx.String("zone")
	var err error
	if config.ClientZones, err = cluster.ParseNetworks(ctx.String(flagClientZones)); err != nil {
		return config, usagef("--%s: %s", flagClientZones, err)
	}
	if config.Roles, err = metastore.ParseRoles(ctx.String("roles")); err != nil {
		return config, usagef("--roles: %s", err)
	}
	return config, nil
}

// agentConfig is what the shared flags say of an agent.
func (p *program) agentConfig(ctx *cli.Context) (agent.Config, error) {
	config := agent.Default()
	log, err := p.logger(ctx)
	if err != nil {
		return config, err
	}
	cache, err := parseBytes(ctx.String("cache"))
	if err != nil {
		return config, usagef("--cache: %s", err)
	}
	old, err := compactionConfig(ctx)
	if err != nil {
		return config, err
	}
	config.Compaction = compact(old)
	config.Kafka, config.Advertised, config.HTTP = ctx.String(flagKafka), ctx.String("advertised"), ctx.String("http")
	config.TrustCompressed = ctx.Bool(flagTrustCompressed)
	config.CacheBytes, config.Log, config.Version = cache, log, version
	config.Settings = map[string]string{}
	for name, setting := range p.layers.configs {
		config.Settings[name] = setting.value
	}
	if _, err := broker.ParseSettings(config.Settings); err != nil {
		return config, usagef("--config: %s", err)
	}
	return config, nil
}

// runAgent runs an agent until the context ends, then lets it drain.
func (p *program) runAgent(ctx context.Context, config agent.Config) error {
	if err := config.Validate(); err != nil {
		return usageError{err.Error()}
	}
	config.LimitMemory = os.Getenv("GOMEMLIMIT") == ""
	a, err := agent.New(config)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-a.Ready():
			config.Log.Info("ready", "kafka", a.KafkaAddr(), "http", a.HTTPAddr(), "bucket", redacted(config.Bucket), "metastore", redacted(config.Metastore))
		case <-watching.Done():
		}
	}()
	err = a.Run(ctx)
	stop()
	<-watched
	if err == nil {
		config.Log.Info("stopped")
	}
	return err
}

// redacted is a URL without its password.
func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	if _, has := u.User.Password(); !has {
		return raw
	}
	return u.Redacted()
}

// fileURL is a scheme's URL of an absolute path.
func fileURL(scheme, path string) string {
	return (&url.URL{Scheme: scheme, Path: path}).String()
}

// byteUnits are what a size may end with.
func byteUnits() []struct {
	suffix string
	bytes  int64
} {
	return []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}, {"", 1}}
}

// parseBytes reads a size such as 256MiB; a number alone is bytes.
func parseBytes(text string) (int64, error) {
	for _, unit := range byteUnits() {
		digits, ok := strings.CutSuffix(strings.TrimSpace(text), unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.bytes {
			break
		}
		return n * unit.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size such as 256MiB", text)
}

// bytesText is a size that parseBytes reads back.
func bytesText(n int64) string {
	text := fmt.Sprint(n)
	for _, unit := range byteUnits() {
		if unit.bytes > 1 && n > 0 && n%unit.bytes == 0 {
			text = fmt.Sprint(n/unit.bytes) + unit.suffix
		}
	}
	return text
}
