package cluster

import (
	"maps"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// Agent is an agent whose term lives.
type Agent struct {
	metastore.AgentInfo
	Term      metastore.Term
	Node      int32 // Kafka's node id
	Seat      int32 // in its zone, among agents of the same roles
	Draining  bool  // it is about to leave
	Reachable bool  // from here
}

// View is what an agent knows of its cluster at one moment. It is immutable.
type View struct {
	self   int32 // node; 0: no term has begun
	shards int
	live   []*Agent // by node
	named  []*Agent // those that clients may be sent to, by node
	zones  map[string]*routes
	spread *routes // for clients of no zone
}

// routes are where the clients of one zone are sent.
type routes struct {
	leaders  []*Agent  // by shard
	replicas [][]int32 // by shard, the leader first; shared by all answers
	readers  []*Agent  // by shard; nil: nobody in the zone serves readers
}

// NewView makes the view of the agent with node id self (0: none) from those whose
// terms live. Of self, too, Reachable says whether clients may be sent to it.
func NewView(self int32, shards int, live []Agent) *View {
	v := &View{self: self, shards: shards, zones: map[string]*routes{}}
	for i := range live {
		if a := live[i]; !outlived(&a, live) {
			v.live = append(v.live, &a)
		}
	}
	slices.SortFunc(v.live, func(a, b *Agent) int { return int(a.Node) - int(b.Node) })
	v.named = v.pick()
	v.route()
	return v
}

// outlived tells whether an agent of a newer term has an agent's node or seat. The metastore gave
// them away, so the older term has ended, whatever an older answer says: a process begins with what
// was read before its term.
func outlived(a *Agent, live []Agent) bool {
	return slices.ContainsFunc(live, func(b Agent) bool {
		return b.Term > a.Term && (b.Node == a.Node || a.Seat > 0 && b.Seat == a.Seat && b.Zone == a.Zone && b.Roles == a.Roles)
	})
}

// pick returns the agents to name: those that serve clients, can be reached and stay.
// Rather than none it returns such that leave, and rather than those any.
func (v *View) pick() []*Agent {
	for _, fits := range []func(a *Agent) bool{
		func(a *Agent) bool { return a.Roles.Serves() && a.Reachable && !a.Draining },
		func(a *Agent) bool { return a.Roles.Serves() && a.Reachable },
		func(a *Agent) bool { return a.Reachable },
	} {
		var picked []*Agent
		for _, a := range v.live {
			if fits(a) {
				picked = append(picked, a)
			}
		}
		if picked != nil {
			return picked
		}
	}
	return v.live
}

// route divides the shards.
func (v *View) route() {
	byZone := map[string][]*Agent{}
	for _, a := range v.named {
		byZone[a.Zone] = append(byZone[a.Zone], a)
	}
	names := slices.Sorted(maps.Keys(byZone))
	for _, zone := range names {
		in := byZone[zone]
		r := &routes{leaders: among(v.shards, with(in, metastore.RoleIngest), seats)}
		r.readers = r.leaders
		if readers := with(in, metastore.RoleFetch); len(readers) != len(in) || r.leaders == nil {
			r.readers = among(v.shards, readers, seats)
		}
		v.zones[zone] = r
	}
	ingest := with(v.named, metastore.RoleIngest)
	if len(ingest) == 0 {
		ingest = v.named // Producers are served by those that there are.
	}
	v.spread = &routes{leaders: among(v.shards, ingest, nodes)}
	if len(names) == 1 && v.zones[names[0]].leaders != nil {
		v.spread.leaders = v.zones[names[0]].leaders
	}
	for _, zone := range names {
		if r := v.zones[zone]; r.leaders == nil {
			r.leaders = v.spread.leaders
		}
	}
	for _, r := range append(slices.Collect(maps.Values(v.zones)), v.spread) {
		r.replicas = make([][]int32, len(r.leaders))
		for s, leader := range r.leaders {
			r.replicas[s] = []int32{leader.Node}
			for _, zone := range names {
				if readers := v.zones[zone].readers; readers != nil && !slices.Contains(r.replicas[s], readers[s].Node) {
					r.replicas[s] = append(r.replicas[s], readers[s].Node)
				}
			}
		}
	}
}

// seats are the places of a zone's agents in its division: their seats, and where they
// are there for several things, those of each set of roles in turn.
func seats(agents []*Agent) []int {
	kind := func(a *Agent) int {
		if a.Seat == 0 {
			return -1 // of an older release
		}
		return int(a.Roles)
	}
	var kinds []int
	for _, a := range agents {
		if !slices.Contains(kinds, kind(a)) {
			kinds = append(kinds, kind(a))
		}
	}
	slices.Sort(kinds)
	places := make([]int, len(agents))
	for i, a := range agents {
		seat := int(a.Seat)
		if seat == 0 {
			seat = int(a.Node)
		}
		places[i] = (seat-1)*len(kinds) + slices.Index(kinds, kind(a)) + 1
	}
	return places
}

// nodes are the places of agents of any zone.
func nodes(agents []*Agent) []int {
	places := make([]int, len(agents))
	for i, a := range agents {
		places[i] = int(a.Node)
	}
	return places
}

func with(agents []*Agent, role metastore.Roles) []*Agent {
	var have []*Agent
	for _, a := range agents {
		if a.Roles.Has(role) {
			have = append(have, a)
		}
	}
	return have
}

// among divides the shards among agents; nil for no agents.
func among(shards int, agents []*Agent, number func([]*Agent) []int) []*Agent {
	byPlace := make(map[int]*Agent, len(agents))
	places := number(agents)
	for i, a := range agents {
		byPlace[places[i]] = a
	}
	division := divide(shards, places)
	if division == nil {
		return nil
	}
	all := make([]*Agent, shards)
	for s, p := range division {
		all[s] = byPlace[p]
	}
	return all
}

// Self is the agent whose view it is; nil: its term has not begun.
func (v *View) Self() *Agent { return find(v.live, v.self) }

// Live returns the agents whose leases have not run out, by node id, whether or not
// clients are sent to them. Change nothing in it.
func (v *View) Live() []*Agent { return v.live }

// Named returns the agents that clients may be sent to, by node id. Change nothing in it.
func (v *View) Named() []*Agent { return v.named }

// Agent returns the agent with a node id if clients may be sent to it, else nil.
func (v *View) Agent(node int32) *Agent { return find(v.named, node) }

func find(agents []*Agent, node int32) *Agent {
	i, ok := slices.BinarySearchFunc(agents, node, func(a *Agent, n int32) int { return int(a.Node) - int(n) })
	if !ok {
		return nil
	}
	return agents[i]
}

// routesOf returns where clients of a zone are sent: to its own agents, else to all.
func (v *View) routesOf(zone string) *routes {
	if r := v.zones[zone]; r != nil && zone != "" {
		return r
	}
	return v.spread
}

// Leader is whom a client of a zone ("": of none) is sent to for a shard; nil if
// there are no agents.
func (v *View) Leader(zone string, shard int) *Agent {
	if leaders := v.routesOf(zone).leaders; leaders != nil {
		return leaders[shard]
	}
	return nil
}

// Replicas are the node ids that a client of a zone is told for a shard: its leader,
// then the agent of each zone that readers are sent to. Change nothing in it.
func (v *View) Replicas(zone string, shard int) []int32 {
	if replicas := v.routesOf(zone).replicas; len(replicas) > 0 {
		return replicas[shard]
	}
	return nil
}

// Reader is whom a reader of a zone is sent to for a shard; nil if the zone has nobody.
func (v *View) Reader(zone string, shard int) *Agent {
	if r := v.zones[zone]; r != nil && r.readers != nil {
		return r.readers[shard]
	}
	return nil
}

// HasZone tells whether clients can be sent to agents of a zone.
func (v *View) HasZone(zone string) bool { return v.zones[zone] != nil }

// ZoneOf returns the zone that a client means: by its name, or by the longest name that
// is followed by a dash, since libraries add to what they were told. "" if there is none.
func (v *View) ZoneOf(said string) string {
	if said == "" || v.HasZone(said) {
		return said
	}
	best := ""
	for zone := range v.zones {
		if len(zone) > len(best) && strings.HasPrefix(said, zone+"-") {
			best = zone
		}
	}
	return best
}

// before tells whether a comes before b in the order in which they would coordinate or
// look after a journal.
func before(a, b *Agent, j metastore.JournalID) bool {
	return score(int(j), int(a.Node)) > score(int(j), int(b.Node))
}

// Coordinator is the agent that coordinates the groups or transactional ids of a journal,
// by rendezvous hashing; nil if there are no agents.
func (v *View) Coordinator(j metastore.JournalID) *Agent {
	var first *Agent
	for _, a := range v.named {
		if first == nil || before(a, first, j) {
			first = a
		}
	}
	return first
}

// Coordinates tells whether this agent coordinates a journal. One that is about to leave
// goes on with its journals until it does, while clients are sent to the next.
func (v *View) Coordinates(j metastore.JournalID) bool {
	self := v.Self()
	if self == nil || v.Agent(v.self) == nil && !(self.Roles.Serves() && self.Draining) {
		return false
	}
	for _, a := range v.named {
		if a != self && before(a, self, j) {
			return false
		}
	}
	return true
}

// Settled tells whether no agent whose lease lives, unreachable from here or about
// to leave, would coordinate the journal before this one.
func (v *View) Settled(j metastore.JournalID) bool {
	self := v.Self()
	for _, a := range v.live {
		if self != nil && a != self && a.Roles.Serves() && v.Agent(a.Node) == nil && before(a, self, j) {
			return false
		}
	}
	return true
}

// Turn says whose work it is to look after a journal (its snapshots, what expires in
// it, the ends of terms): 0, this agent's; n, that of n others before it. A shard is
// looked after by the agent that clients of no zone are sent to.
func (v *View) Turn(j metastore.JournalID) int {
	self := v.Self()
	if self == nil {
		return len(v.named)
	}
	var first *Agent
	if s, ok := j.Shard(); ok && s < v.shards && v.spread.leaders != nil {
		if first = v.spread.leaders[s]; first == self {
			return 0
		}
	}
	turn := 0
	for _, a := range v.named {
		if a == first || a != self && before(a, self, j) {
			turn++
		}
	}
	return turn
}

// Served returns the shards for which clients of any zone are sent to this agent, ascending.
func (v *View) Served() []int {
	var served []int
	for s := range v.shards {
		if v.serves(s) {
			served = append(served, s)
		}
	}
	return served
}

func (v *View) serves(shard int) bool {
	mine := func(agents []*Agent) bool { return agents != nil && agents[shard].Node == v.self }
	if mine(v.spread.leaders) {
		return true
	}
	for _, r := range v.zones {
		if mine(r.leaders) || mine(r.readers) {
			return true
		}
	}
	return false
}

// Level is the newest feature level that all live agents read.
func (v *View) Level() int32 {
	level := int32(metastore.FeatureLevel)
	for _, a := range v.live {
		level = min(level, a.AgentInfo.Level)
	}
	return level
}

// same tells whether two views were made from the same agents.
func (v *View) same(o *View) bool {
	return v.self == o.self && v.shards == o.shards &&
		slices.EqualFunc(v.live, o.live, func(a, b *Agent) bool { return *a == *b })
}
