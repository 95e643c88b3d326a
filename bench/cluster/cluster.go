package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/wadi-io/wadi/agent/bucket/buckettest"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

// The kinds of buckets that a cluster may have.
const (
	Moto   = "moto"
	MinIO  = "minio"
	GCS    = "gcs" // fake-gcs-server; no links to it
	Folder = "folder"
)

// Config is what a cluster is made of.
type Config struct {
	Program   string   // path of the wadi binary
	Folder    string   // logs and the bucket's files; it exists
	Agents    int      // one after the other in zones a, b, c
	Bucket    string   // Moto, MinIO, GCS or Folder, or the s3:// URL of one that is there
	Standby   bool     // Postgres has a synchronous standby
	Links     bool     // a link of ours on every way
	Seed      uint64   // of the links' choices
	KafkaPort int      // of the first agent, the others after it; 0: any free
	HTTPPort  int      // the same
	Arguments []string // more of each agent
}

// zones are where agents are, in turn.
func zones() []string { return []string{"a", "b", "c"} }

// Cluster is what was started.
type Cluster struct {
	Agents    []*Agent
	Postgres  *postgrestest.Pair
	Metastore string // its URL, past the links, at first
	Bucket    string // its URL, past the links

	cfg  Config
	keys map[string]string // environment of the agents
	undo []func()          // what Close does, the last first
}

// Start starts the servers and prepares the agents, which Agent.Start starts.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	c := &Cluster{cfg: cfg, Postgres: &postgrestest.Pair{Synchronous: true}, keys: buckettest.Keys()}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := c.openDatabase(ctx); err != nil {
		return nil, err
	}
	if err := c.openBucket(ctx); err != nil {
		return nil, fmt.Errorf("start the bucket: %w", err)
	}
	for i := range cfg.Agents {
		if err := c.addAgent(i); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// openDatabase starts Postgres, with or without a standby.
func (c *Cluster) openDatabase(ctx context.Context) (err error) {
	if c.cfg.Standby {
		err = c.Postgres.Start(ctx)
	} else {
		err = c.Postgres.StartAlone()
	}
	if err != nil {
		return fmt.Errorf("start Postgres: %w", err)
	}
	c.undo = append(c.undo, c.Postgres.Stop)
	if c.Metastore, err = c.Postgres.Primary().Create(ctx, database); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	return nil
}

// database is the name of the agents' database.
const database = "wadi"

// FailOver crashes the primary and leads the agents' links to the standby. There
// is none then, until Postgres.Rejoin.
func (c *Cluster) FailOver(ctx context.Context) error {
	if err := c.Postgres.FailOver(ctx); err != nil {
		return err
	}
	for _, a := range c.Agents {
		if a.Database != nil {
			a.Database.Retarget(c.Postgres.Primary().Address())
		}
	}
	c.Metastore = c.Postgres.Primary().URL(database)
	return nil
}

// Renew kills all agents and prepares as many others, at other addresses and with
// logs in another folder: nothing of the former is left but the bucket and Postgres.
func (c *Cluster) Renew(folder string) error {
	for _, a := range c.Agents {
		a.Kill()
	}
	c.Agents, c.cfg.Folder = nil, folder
	for i := range c.cfg.Agents {
		if err := c.addAgent(i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) openBucket(ctx context.Context) error {
	if strings.HasPrefix(c.cfg.Bucket, "s3://") {
		c.Bucket = c.cfg.Bucket
		return nil
	}
	dir := filepath.Join(c.cfg.Folder, "bucket")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	start := buckettest.StartMoto
	if c.cfg.Bucket == GCS && c.cfg.Links {
		return fmt.Errorf("links lead to no bucket of kind %s", GCS)
	}
	switch c.cfg.Bucket {
	case Folder:
		c.Bucket = (&url.URL{Scheme: "file", Path: dir}).String()
		return nil
	case GCS:
		server, err := buckettest.StartFakeGCS(dir)
		if err != nil {
			return err
		}
		c.undo = append(c.undo, server.Stop)
		c.Bucket, c.keys[buckettest.EmulatorVariable] = buckettest.GCSURL("wadi"), server.Address
		return server.Create(ctx, "wadi")
	case MinIO:
		start = buckettest.StartMinIO
	case Moto:
	default:
		return fmt.Errorf("%q is none of %s, %s, %s, %s", c.cfg.Bucket, Moto, MinIO, GCS, Folder)
	}
	server, err := start(dir)
	if err != nil {
		return err
	}
	c.undo = append(c.undo, server.Stop)
	if err := server.Create(ctx, "wadi"); err != nil {
		return err
	}
	c.Bucket = buckettest.S3URL("wadi", server.Endpoint)
	return nil
}

// addAgent prepares agent i with its links.
func (c *Cluster) addAgent(i int) error {
	a := &Agent{
		Name: fmt.Sprintf("agent-%d", i), Zone: zones()[i%len(zones())],
		program: c.cfg.Program, folder: c.cfg.Folder, more: c.cfg.Arguments, keys: c.keys,
		metastore: c.Metastore, bucket: c.Bucket,
	}
	var err error
	if a.listen, err = address(c.cfg.KafkaPort, i); err != nil {
		return err
	}
	if a.HTTP, err = address(c.cfg.HTTPPort, i); err != nil {
		return err
	}
	if a.peer, err = address(0, i); err != nil {
		return err
	}
	a.Kafka, a.peerAdvertised = a.listen, a.peer
	c.undo = append(c.undo, a.Kill)
	c.Agents = append(c.Agents, a)
	if !c.cfg.Links {
		return nil
	}
	link := func(name, target string) (*Link, error) {
		l, err := NewLink(name, target, rand.New(rand.NewPCG(c.cfg.Seed, uint64(len(c.undo)))))
		if err == nil {
			c.undo = append(c.undo, l.Close)
		}
		return l, err
	}
	if a.Clients, err = link("clients→"+a.Name, a.listen); err != nil {
		return err
	}
	a.Kafka = a.Clients.Address()
	if a.Peers, err = link("peers→"+a.Name, a.peer); err != nil {
		return err
	}
	a.peerAdvertised = a.Peers.Address()
	if a.Database, err = link(a.Name+"→postgres", c.Postgres.Primary().Address()); err != nil {
		return err
	}
	if a.metastore, err = through(c.Metastore, "", a.Database.Address()); err != nil {
		return err
	}
	if c.cfg.Bucket == Folder {
		return nil
	}
	u, err := url.Parse(c.Bucket)
	if err != nil {
		return err
	}
	if a.Requests, err = NewRequests(u.Query().Get("endpoint"), rand.New(rand.NewPCG(c.cfg.Seed, uint64(len(c.undo))))); err != nil {
		return err
	}
	c.undo = append(c.undo, a.Requests.Close)
	if a.Storage, err = link(a.Name+"→bucket", a.Requests.Address()); err != nil {
		return err
	}
	a.bucket, err = through(c.Bucket, "endpoint", a.Storage.Address())
	return err
}

// through is a URL with another host, which stands in a parameter of it if one is named.
func through(raw, parameter, host string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	if parameter == "" {
		u.Host = host
		return u.String(), nil
	}
	query := u.Query()
	query.Set(parameter, "http://"+host)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// Close ends everything.
func (c *Cluster) Close() {
	for i := len(c.undo) - 1; i >= 0; i-- {
		c.undo[i]()
	}
	c.undo = nil
}

// addressTries bounds the search for a free port.
const addressTries = 100

// address is where a process may listen again and again: without a wish, below the
// ports that the system gives to outgoing connections.
func address(first, i int) (string, error) {
	if first > 0 {
		return fmt.Sprintf("127.0.0.1:%d", first+i), nil
	}
	for range addressTries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		if err != nil {
			continue
		}
		defer l.Close()
		return l.Addr().String(), nil
	}
	return "", errors.New("no free port")
}
