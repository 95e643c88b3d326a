package broker

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// among has the agent, of node 1 and in zone a, see others in zones b and c, and one
// that only compacts. The returned one is changed before use.
func (a *agent) among(change func(all []cluster.Agent)) *cluster.View {
	all := make([]cluster.Agent, 4)
	for i, zone := range []string{"a", "b", "c", "c"} {
		all[i] = cluster.Agent{Node: int32(i + 1), Seat: 1, Reachable: true, AgentInfo: metastore.AgentInfo{
			Zone: zone, KafkaHost: "host-" + zone, KafkaPort: int32(i + 1), Roles: metastore.RolesAll}}
	}
	all[3].Roles = metastore.RoleCompaction
	if change != nil {
		change(all)
	}
	v := cluster.NewView(1, testShards, all)
	a.seen.Store(v)
	return v
}

// ask sends a request under a client id.
func ask[R kmsg.Response](a *agent, clientID string, req kmsg.Request) R {
	a.t.Helper()
	c := a.connect()
	c.buf = kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 1)
	if _, err := c.conn.Write(c.buf); err != nil {
		a.t.Fatal(err)
	}
	resp, err := c.receive(req)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.(R)
}

func TestMetadata_OfACluster(t *testing.T) {
	a := newAgent(t, newStore(), options{rack: "a"})
	a.create("t", 8, nil)
	v := a.among(nil)
	var topic func(string) [8]int
	metadata := func(clientID string) kmsg.MetadataResponse {
		return *ask[*kmsg.MetadataResponse](a, clientID, metadataRequest(12, "t"))
	}
	topic = func(clientID string) (leaders [8]int) {
		for i, p := range metadata(clientID).Topics[0].Partitions {
			leaders[i] = int(p.Leader)
			if p.Replicas[0] != p.Leader || len(p.Replicas) != 3 || !slices.Equal(p.Replicas, p.ISR) || p.LeaderEpoch != 0 {
				t.Errorf("%q: partition %d: %+v", clientID, i, p)
			}
		}
		return leaders
	}
	m := metadata("")
	if len(m.Brokers) != 3 || m.ControllerID != 1 || *m.Brokers[1].Rack != "b" || m.Brokers[2].Host != "host-c" || m.Brokers[2].Port != 3 || m.Brokers[2].NodeID != 3 {
		t.Errorf("%+v", m)
	}
	for clientID, node := range map[string]int{"zone=a": 1, "app,zone=b": 2, "warpstream_az=c": 3, "diskless_az=b-StreamThread-1": 2} {
		if got := topic(clientID); got != [8]int{node, node, node, node, node, node, node, node} {
			t.Errorf("%q is led by %v", clientID, got)
		}
	}
	spread := topic("app")
	seen := map[int]bool{}
	for i, leader := range spread {
		seen[leader] = true
		shard := a.broker.topic("t").Shard(int32(i), testShards)
		if int(v.Leader("", shard).Node) != leader {
			t.Errorf("partition %d is led by %d", i, leader)
		}
	}
	if len(seen) != 3 {
		t.Errorf("a client of no zone is led by %v", spread)
	}
	if got := topic("zone=elsewhere"); got != spread {
		t.Errorf("a client of a zone without agents is led by %v, not %v", got, spread)
	}
	a.broker.cfg.ClientZones = cluster.Networks{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Zone: "c"}}
	if got := topic("app"); got[0] != 3 || got[7] != 3 {
		t.Errorf("a client of c's network is led by %v", got)
	}
	if got := topic("zone=b"); got[0] != 2 || got[7] != 2 {
		t.Errorf("a client that says b, from c's network, is led by %v", got)
	}
	pages := kmsg.NewPtrDescribeTopicPartitionsRequest()
	pages.ResponsePartitionLimit = 100
	for i, p := range ask[*kmsg.DescribeTopicPartitionsResponse](a, "zone=b", pages).Topics[0].Partitions {
		if p.LeaderID != 2 || len(p.Replicas) != 3 || !slices.Equal(p.Replicas, p.ISR) {
			t.Errorf("partition %d: %+v", i, p)
		}
	}
	describe := kmsg.NewPtrDescribeClusterRequest()
	if d := ask[*kmsg.DescribeClusterResponse](a, "", describe); len(d.Brokers) != 3 || d.ControllerID != 1 || d.Brokers[1].Host != "host-b" {
		t.Errorf("%+v", d)
	}
	a.among(func(all []cluster.Agent) { all[0].Draining, all[1].Reachable = true, false })
	if m := metadata("zone=a"); len(m.Brokers) != 1 || m.ControllerID != 3 || m.Topics[0].Partitions[0].Leader != 3 {
		t.Errorf("with one that drains and one out of reach: %+v", m)
	}
}

func TestFindCoordinator_OfACluster(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.broker.cfg.Groups, a.broker.cfg.Transactions = 16, 16
	v := a.among(nil)
	nodes := map[int32]bool{}
	for i := range 64 {
		for kind := int8(0); kind <= 1; kind++ {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.Version, req.CoordinatorType, req.CoordinatorKeys = 4, kind, []string{fmt.Sprint("group-", i)}
			c := call[*kmsg.FindCoordinatorResponse](a, req).Coordinators[0]
			journal := metastore.GroupsJournal(stored.Journal(req.CoordinatorKeys[0], 16))
			if kind == 1 {
				journal = metastore.TransactionsJournal(stored.Journal(req.CoordinatorKeys[0], 16))
			}
			want := v.Coordinator(journal)
			if c.ErrorCode != 0 || c.NodeID != want.Node || c.Host != want.KafkaHost || c.Port != want.KafkaPort {
				t.Errorf("%s: %+v, want %+v", req.CoordinatorKeys[0], c, want)
			}
			nodes[c.NodeID] = true
		}
	}
	if len(nodes) != 3 {
		t.Errorf("coordinators are %v", nodes)
	}
}

func TestFetch_PreferredReplica(t *testing.T) {
	a := newReader(t)
	id := a.create("t", 2, nil)
	a.fill("t", timed(1, 2, 3))
	a.broker.cfg.Rack = "a"
	fetch := func(rack string) kmsg.FetchResponseTopicPartition {
		req := fetchOf(12, "t", id, 0, 0)
		req.Rack = rack
		return call[*kmsg.FetchResponse](a, req).Topics[0].Partitions[0]
	}
	check := func(what, rack string, want int32) {
		t.Helper()
		p := fetch(rack)
		if p.ErrorCode != wire.CodeNone || p.PreferredReadReplica != want || (len(p.RecordBatches) > 0) != (want < 0) || p.HighWatermark != 3 {
			t.Errorf("%s, rack %q: preferred replica %d, want %d; %+v", what, rack, p.PreferredReadReplica, want, p)
		}
	}
	check("alone", "b", -1)
	a.among(nil)
	check("in a cluster", "", -1)
	check("in a cluster", "a", -1)
	check("in a cluster", "b", 2)
	check("in a cluster", "c", 3)
	check("in a cluster", "elsewhere", -1)
	a.among(func(all []cluster.Agent) { all[1].Reachable = false })
	check("b is out of reach", "b", -1)
	a.among(func(all []cluster.Agent) { all[1].Zone, all[0].Draining = "a", true })
	check("about to leave", "a", 2)
	a.among(func(all []cluster.Agent) {
		all[1].Zone, all[0].Roles, all[1].Roles = "a", metastore.RoleIngest, metastore.RoleFetch
	})
	check("there for producers", "a", 2)
}
