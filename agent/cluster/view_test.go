package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

const testShards = 64

// three zones with so many agents each, nodes and seats as they would begin in turn.
func zones(each int) []Agent {
	var all []Agent
	for seat := 1; seat <= each; seat++ {
		for _, zone := range []string{"a", "b", "c"} {
			node := int32(len(all) + 1)
			all = append(all, Agent{Term: metastore.Term(node), Node: node, Seat: int32(seat), Reachable: true,
				AgentInfo: metastore.AgentInfo{Zone: zone, Roles: metastore.RolesAll, Level: 1}})
		}
	}
	return all
}

func TestView_ClientsAreSentToTheirZone(t *testing.T) {
	v := NewView(1, testShards, zones(2))
	for s := range testShards {
		for _, zone := range []string{"a", "b", "c"} {
			leader := v.Leader(zone, s)
			replicas := v.Replicas(zone, s)
			if leader.Zone != zone || replicas[0] != leader.Node || len(replicas) != 3 || v.Reader(zone, s) != leader {
				t.Fatalf("shard %d, zone %s: leader %+v, replicas %v", s, zone, leader, replicas)
			}
			// Zones with as many agents give a seat the same shards.
			if leader.Seat != v.Leader("a", s).Seat {
				t.Errorf("shard %d: seat %d in zone %s, %d in a", s, leader.Seat, zone, v.Leader("a", s).Seat)
			}
		}
		for _, zone := range []string{"", "nowhere"} {
			if v.Leader(zone, s) == nil || v.Reader(zone, s) != nil || v.Replicas(zone, s)[0] != v.Leader(zone, s).Node {
				t.Fatalf("shard %d: %+v leads for clients of no zone", s, v.Leader(zone, s))
			}
		}
	}
	load := map[int32]int{}
	for s := range testShards {
		load[v.Leader("", s).Node]++
	}
	for node, n := range load {
		if n < testShards/6 || n > testShards/6+1 {
			t.Errorf("node %d leads %d shards for clients of no zone", node, n)
		}
	}
	if len(load) != 6 {
		t.Errorf("%d agents lead", len(load))
	}
}

func TestView_OneZoneOnly(t *testing.T) {
	agents := zones(3)
	agents = slices.DeleteFunc(agents, func(a Agent) bool { return a.Zone != "b" })
	v := NewView(2, testShards, agents)
	for s := range testShards {
		if v.Leader("", s) != v.Leader("b", s) || v.Leader("x", s) != v.Leader("b", s) || len(v.Replicas("", s)) != 1 {
			t.Fatalf("shard %d is led by %v and %v", s, v.Leader("", s), v.Leader("b", s))
		}
	}
}

func nodesOf(agents []*Agent) string {
	var nodes []int32
	for _, a := range agents {
		nodes = append(nodes, a.Node)
	}
	return fmt.Sprint(nodes)
}

func TestView_WhoIsNamed(t *testing.T) {
	for name, row := range map[string]struct {
		change func(all []Agent)
		self   int32
		named  string
	}{
		"all":                    {func([]Agent) {}, 1, "[1 2 3]"},
		"unreachable":            {func(all []Agent) { all[1].Reachable = false }, 1, "[1 3]"},
		"unfit itself":           {func(all []Agent) { all[1].Reachable = false }, 2, "[1 3]"},
		"draining":               {func(all []Agent) { all[0].Draining = true }, 1, "[2 3]"},
		"compaction only":        {func(all []Agent) { all[2].Roles = metastore.RoleCompaction }, 3, "[1 2]"},
		"readers only":           {func(all []Agent) { all[2].Roles = metastore.RoleFetch }, 3, "[1 2 3]"},
		"all drain":              {func(all []Agent) { all[0].Draining, all[1].Draining, all[2].Draining = true, true, true }, 1, "[1 2 3]"},
		"the others are gone":    {func(all []Agent) { all[0].Draining, all[1].Reachable, all[2].Reachable = true, false, false }, 1, "[1]"},
		"nobody serves clients":  {func(all []Agent) { all[0].Roles, all[1].Roles, all[2].Roles = 4, 4, 4 }, 1, "[1 2 3]"},
		"alone, for compaction":  {func(all []Agent) { all[0].Roles, all[1].Reachable, all[2].Reachable = 4, false, false }, 1, "[1]"},
		"nobody can be reached ": {func(all []Agent) { all[0].Reachable, all[1].Reachable, all[2].Reachable = false, false, false }, 0, "[1 2 3]"},
	} {
		all := zones(1)
		row.change(all)
		v := NewView(row.self, testShards, all)
		if got := nodesOf(v.Named()); got != row.named {
			t.Errorf("%s: named are %s, want %s", name, got, row.named)
		}
		if len(v.Live()) != 3 {
			t.Errorf("%s: live are %s", name, nodesOf(v.Live()))
		}
		for s := range testShards {
			for _, zone := range []string{"", "a", "b", "c"} {
				leader := v.Leader(zone, s)
				if leader == nil || v.Agent(leader.Node) == nil || !slices.Contains(v.Replicas(zone, s), leader.Node) {
					t.Fatalf("%s: shard %d has the leader %+v in zone %q", name, s, leader, zone)
				}
				if v.HasZone(zone) && leader.Zone != zone && leader.Roles.Has(metastore.RoleIngest) && v.Reader(zone, s).Roles.Has(metastore.RoleIngest) {
					t.Errorf("%s: shard %d is led from %s in zone %s", name, s, leader.Zone, zone)
				}
			}
		}
	}
}

// TestView_RolesApart: producers' leaders and the readers' replicas are other agents.
func TestView_RolesApart(t *testing.T) {
	var all []Agent
	for _, zone := range []string{"a", "b"} {
		for _, roles := range []metastore.Roles{metastore.RoleIngest, metastore.RoleFetch} {
			for seat := int32(1); seat <= 2; seat++ {
				all = append(all, Agent{Node: int32(len(all) + 1), Seat: seat, Reachable: true, AgentInfo: metastore.AgentInfo{Zone: zone, Roles: roles}})
			}
		}
	}
	v := NewView(1, testShards, all)
	for s := range testShards {
		for _, zone := range []string{"a", "b", ""} {
			if leader := v.Leader(zone, s); leader.Roles != metastore.RoleIngest || zone != "" && leader.Zone != zone {
				t.Fatalf("shard %d is led by %+v in zone %q", s, leader, zone)
			}
			replicas := v.Replicas(zone, s)
			if len(replicas) != 3 {
				t.Fatalf("shard %d has the replicas %v", s, replicas)
			}
			if zone != "" {
				if r := v.Reader(zone, s); r.Roles != metastore.RoleFetch || r.Zone != zone || !slices.Contains(replicas, r.Node) {
					t.Fatalf("shard %d is read from %+v in zone %q; its replicas are %v", s, r, zone, replicas)
				}
			}
		}
	}
}

func TestView_CoordinatorsMoveWithTheirAgentOnly(t *testing.T) {
	all := zones(3)
	before := NewView(1, testShards, all)
	all[4].Reachable = false
	after := NewView(1, testShards, all)
	owners := map[int32]bool{}
	for i := range 256 {
		j := metastore.GroupsJournal(i)
		a, b := before.Coordinator(j), after.Coordinator(j)
		owners[a.Node] = true
		if a.Node != b.Node && a.Node != 5 || b.Node == 5 {
			t.Errorf("%v moves from %d to %d", j, a.Node, b.Node)
		}
		for self := int32(1); self <= 9; self++ {
			if v := NewView(self, testShards, all); v.Coordinates(j) != (b.Node == self) && self != 5 {
				t.Errorf("%v: node %d and node 1 disagree", j, self)
			} else if settled := v.Settled(j); v.Coordinates(j) && settled != (a.Node != 5) && self != 5 {
				t.Errorf("%v: settled is %v at node %d, before it was node %d's", j, settled, self, a.Node)
			}
		}
	}
	if len(owners) != 9 {
		t.Errorf("%d agents coordinate", len(owners))
	}
}

// TestView_Turns: every journal has each turn once, the shard's agent the first.
func TestView_Turns(t *testing.T) {
	all := zones(2)
	journals := []metastore.JournalID{metastore.CatalogJournal, metastore.GroupsJournal(3)}
	for s := range testShards {
		journals = append(journals, metastore.ShardJournal(s))
	}
	var views []*View
	for _, a := range all {
		views = append(views, NewView(a.Node, testShards, all))
	}
	for _, j := range journals {
		seen := map[int]int32{}
		for _, v := range views {
			seen[v.Turn(j)] = v.self
		}
		if len(seen) != len(all) {
			t.Fatalf("%v: turns %v", j, seen)
		}
		if s, ok := j.Shard(); ok && seen[0] != views[0].Leader("", s).Node {
			t.Errorf("%v is looked after by node %d, not by its agent", j, seen[0])
		}
	}
}

func TestView_Served(t *testing.T) {
	all := zones(2)
	times := map[int]int{}
	for _, a := range all {
		served := NewView(a.Node, testShards, all).Served()
		if len(served) < testShards/2 || len(served) > testShards/2+testShards/6+1 {
			t.Errorf("node %d serves %d shards", a.Node, len(served))
		}
		for _, s := range served {
			times[s]++
		}
	}
	for s := range testShards {
		if times[s] < 3 || times[s] > 4 {
			t.Errorf("shard %d is served by %d agents", s, times[s])
		}
	}
	if got := len(NewView(1, testShards, all[:1]).Served()); got != testShards {
		t.Errorf("alone it serves %d shards", got)
	}
}

func TestView_Level(t *testing.T) {
	all := zones(1)
	if got := NewView(1, 1, all).Level(); got != 1 {
		t.Errorf("level %d", got)
	}
	all[2].Level, all[2].Reachable = 0, false // it lives all the same
	if got := NewView(1, 1, all).Level(); got != 0 {
		t.Errorf("level %d", got)
	}
}

func TestView_ZoneOf(t *testing.T) {
	all := zones(1)
	all[1].Zone, all[2].Zone = "eu-1", "eu-1a"
	v := NewView(1, 1, all)
	for said, want := range map[string]string{
		"": "", "a": "a", "eu-1a": "eu-1a", "eu-1": "eu-1", "eu-1a-StreamThread-1-consumer": "eu-1a", "eu-1-x": "eu-1", "eu": "", "eu-1ab": "", "z": "",
	} {
		if got := v.ZoneOf(said); got != want {
			t.Errorf("%q means zone %q, want %q", said, got, want)
		}
	}
}

// A process begins in the seat of an agent whose end it hasn't read: that one has ended.
func TestView_SeatThatWasAnothers(t *testing.T) {
	all := zones(2)
	begun := all[4] // zone b, seat 2
	begun.Term, begun.Node = 7, 7
	for _, live := range [][]Agent{append(slices.Clone(all), begun), append([]Agent{begun}, all...)} {
		v := NewView(begun.Node, testShards, live)
		if v.Self() == nil || v.Agent(all[4].Node) != nil || len(v.Live()) != len(all) {
			t.Errorf("nodes %v live, self %v: node %d has ended, since %d has its seat", v.Replicas("b", 0), v.Self(), all[4].Node, begun.Node)
		}
		for shard := range testShards {
			if v.Leader("b", shard) == nil || len(v.Replicas("", shard)) < 3 {
				t.Fatalf("shard %d has the leader %v and the replicas %v", shard, v.Leader("b", shard), v.Replicas("", shard))
			}
		}
	}
}
