package broker

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/shard"
	ids "github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

const (
	testShards  = 4
	testCluster = "QlJPS0VSLVRFU1RTLi4uLg"
)

func newStore() metastore.Store {
	return memory.New(time.Now, metastore.Cluster{ID: testCluster, Shards: testShards, Groups: 1, Transactions: 1})
}

// agent is a Broker with real parts behind a real server, over a store and a
// bucket in memory.
type agent struct {
	t        testing.TB
	broker   *Broker
	follower *metastore.Follower
	address  string
	conn     *client                       // of call
	seen     *atomic.Pointer[cluster.View] // by among; nil: it is alone
}

// options of an agent; the zero value is fine.
type options struct {
	settings        map[string]string
	limits          func(*Limits)
	clock           func() time.Time
	store           metastore.Store // what the agent sees of the store that it shares
	bucket          func(bucket.Bucket) bucket.Bucket
	rack            string
	trustCompressed bool
	view            func() *cluster.View
	producer        func(Producer) Producer
}

// forgetful is a cache that keeps nothing.
type forgetful struct{}

func (forgetful) Put(_ segment.ID, body []byte, free func([]byte)) { free(body) }

func newAgent(t testing.TB, store metastore.Store, o options) *agent {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.store != nil {
		store = o.store
	}
	ctx, cancel := context.WithCancel(context.Background())
	tasks, ctx := errgroup.WithContext(ctx)
	t.Cleanup(func() {
		cancel()
		if err := tasks.Wait(); err != nil {
			t.Error(err)
		}
	})

	followerCfg := metastore.DefaultFollowerConfig()
	followerCfg.Log, followerCfg.PollEvery = log, time.Hour // only what is asked for
	follower := metastore.NewFollower(store, nil, followerCfg)
	follower.Follow(metastore.CatalogJournal, catalog.New())
	for i := range testShards {
		follower.Follow(metastore.ShardJournal(i), shard.New())
	}
	follower.Follow(metastore.GroupsJournal(0), stored.New())
	follower.Follow(metastore.TransactionsJournal(0), ids.New())
	check(follower.Load(ctx))
	tasks.Go(func() error { return follower.Run(ctx) })

	term, err := store.BeginTerm(ctx, metastore.AgentInfo{Process: t.Name()}, time.Hour)
	check(err)
	writer := metastore.NewWriter(term.Term, store, follower, time.Now)

	b, closer, err := bucket.Open(ctx, "mem://")
	check(err)
	t.Cleanup(func() { closer.Close() })
	if o.bucket != nil {
		b = o.bucket(b)
	}
	buffers, err := cache.NewBuffers(64 << 20)
	check(err)
	ingestCfg := ingest.DefaultConfig()
	ingestCfg.Log = log
	in, err := ingest.New(ingestCfg, ingest.Deps{Cluster: testCluster, Bucket: b, Cache: forgetful{}, Buffers: buffers, Writer: writer, Shards: follower})
	check(err)
	tasks.Go(func() error {
		in.Run(ctx) // what ends it ends the test's requests, too
		return nil
	})

	settings, err := ParseSettings(o.settings)
	check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	groupsCfg := group.DefaultConfig(1)
	groupsCfg.InitialRebalanceDelay = 0
	groups, err := group.New(groupsCfg, group.Deps{Writer: writer, Follower: follower, Catalog: follower.Replica(metastore.CatalogJournal), Clock: time.Now, Log: log,
		ConsumerTimes: ConsumerTimes(follower.Replica(metastore.CatalogJournal))})
	check(err)
	tasks.Go(func() error { return groups.Run(ctx) })
	check(groups.Read(ctx, "", func(*stored.State) {})) // once they are this agent's
	coordinator, err := transaction.New(transaction.DefaultConfig(store.Cluster()), transaction.Deps{Writer: writer, Follower: follower, Clock: time.Now, Log: log})
	check(err)
	tasks.Go(func() error { return coordinator.Run(ctx) })
	limits := DefaultLimits()
	if o.limits != nil {
		o.limits(&limits)
	}
	var producer Producer = in
	if o.producer != nil {
		producer = o.producer(in)
	}
	var seen atomic.Pointer[cluster.View]
	if o.view == nil {
		alone := aloneView(Config{NodeID: term.Node, Host: "127.0.0.1", Port: int32(listener.Addr().(*net.TCPAddr).Port), Rack: o.rack, Shards: testShards})
		o.view = func() *cluster.View { return cmp.Or(seen.Load(), alone) }
	}
	broker, err := New(Config{
		ClusterID: testCluster, NodeID: term.Node, Host: "127.0.0.1", Port: int32(listener.Addr().(*net.TCPAddr).Port),
		Rack: o.rack, Shards: testShards, Settings: settings, Limits: limits, TrustCompressed: o.trustCompressed,
	}, Deps{Catalog: follower.Replica(metastore.CatalogJournal), Follower: follower, Writer: writer, Ingest: producer, Groups: groups, Transactions: coordinator, Clock: o.clock, Log: log, Term: ctx, View: o.view})
	check(err)
	server, err := wire.NewServer(wire.ServerConfig{Limits: wire.DefaultLimits(), Log: log, PoisonFrames: true}, broker.Routes())
	check(err)
	tasks.Go(func() error { return server.Serve(ctx, listener) })
	return &agent{t: t, broker: broker, follower: follower, address: listener.Addr().String(), seen: &seen}
}

// client is a connection to an agent.
type client struct {
	t    testing.TB
	conn net.Conn
	id   int32
	buf  []byte
}

func (a *agent) connect() *client {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{t: a.t, conn: conn}
}

func (c *client) send(req kmsg.Request) {
	c.t.Helper()
	c.id++
	c.buf = kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(c.buf[:0], req, c.id)
	if _, err := c.conn.Write(c.buf); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the answer to a request; nil, io.EOF when the connection was closed instead.
func (c *client) receive(req kmsg.Request) (kmsg.Response, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	body = body[4:] // correlation id
	if resp.IsFlexible() && resp.Key() != keyAPIVersions {
		if body[0] != 0 {
			return nil, errors.New("the response header has tags")
		}
		body = body[1:]
	}
	return resp, resp.ReadFrom(body)
}

// call sends a request and returns its answer, over the agent's first connection.
func call[R kmsg.Response](a *agent, req kmsg.Request) R {
	a.t.Helper()
	if a.conn == nil {
		a.conn = a.connect()
	}
	a.conn.send(req)
	resp, err := a.conn.receive(req)
	if err != nil {
		a.t.Fatalf("%s version %d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp.(R)
}

// create creates a topic and returns its id.
func (a *agent) create(name string, partitions int32, configs map[string]string) [16]byte {
	a.t.Helper()
	resp := call[*kmsg.CreateTopicsResponse](a, createRequest(7, newTopicRequest(name, partitions, configs)))
	if code := resp.Topics[0].ErrorCode; code != 0 {
		a.t.Fatalf("create %s: %d %s", name, code, *resp.Topics[0].ErrorMessage)
	}
	return resp.Topics[0].TopicID
}

func newTopicRequest(name string, partitions int32, configs map[string]string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
	for k, v := range maps.All(configs) {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	return t
}

func createRequest(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.Topics, req.TimeoutMillis = version, topics, 30_000
	return req
}

// records encodes a batch of values without keys, given at the clock's time.
func records(h batch.Header, values ...string) []byte {
	rs := make([]batch.Record, len(values))
	for i, v := range values {
		rs[i] = batch.Record{Offset: int64(i), Timestamp: time.Now().UnixMilli(), Value: []byte(v)}
	}
	return batch.Append(nil, h, rs)
}

// plain is the header of a batch without a producer.
func plain() batch.Header {
	return batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1}
}

// produceRequest puts one batch into partition 0 of a topic.
func produceRequest(version int16, topic string, id [16]byte, b []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = b
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// produce returns the answer of the only partition.
func (a *agent) produce(version int16, topic string, id [16]byte, b []byte) kmsg.ProduceResponseTopicPartition {
	a.t.Helper()
	return call[*kmsg.ProduceResponse](a, produceRequest(version, topic, id, b)).Topics[0].Partitions[0]
}
