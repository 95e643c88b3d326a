package group

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
)

// state is a group's, under Kafka's names.
type state int

const (
	empty state = iota
	preparing
	completing
	stable
)

func (s state) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}

// consumerType is the protocol type of consumers, whose subscriptions the broker understands.
const consumerType = "consumer"

// group is a group in memory. All fields behind mu are guarded by it.
type group struct {
	c       *Coordinator
	id      string
	journal int

	mu             sync.Mutex
	dead           bool // forgotten: look it up anew
	state          state
	before         state             // the state before this one
	number         int32             // of the generation
	written        metastore.Version // of the generation in the journal that this one follows; 0: none
	protocolType   string            // empty: nobody ever joined
	protocol       string
	leader         string
	members        map[string]*member
	order          []*member         // as they joined
	static         map[string]string // member ids by instance id
	pending        map[string]*alarm // given an id, and expected to join with it
	unsynced       map[string]bool   // expected to sync
	newMember      bool              // one came while the first rebalance is delayed
	subscribed     map[string]bool   // topics, of a consumer group; nil: not known
	joinAlarm      alarm
	syncAlarm      alarm
	storing        bool // a generation is on its way into the journal
	storeNext      []func()
	stored         []chan struct{} // closed once nothing is on its way
	leaderSyncedAt int32           // the generation whose assignments are on their way
}

func newGroup(c *Coordinator, id string, journal int) *group {
	return &group{c: c, id: id, journal: journal, members: map[string]*member{}, static: map[string]string{},
		pending: map[string]*alarm{}, unsynced: map[string]bool{}, leaderSyncedAt: -1}
}

// restore takes over what the journal has.
func (g *group) restore(s *stored.Generation) {
	g.written, g.number = s.Written, s.Number
	g.protocolType, g.protocol, g.leader = s.ProtocolType, s.Protocol, s.Leader
	for i := range s.Members {
		x := &s.Members[i]
		m := &member{
			id: x.ID, instance: x.Instance, clientID: x.ClientID, clientHost: x.ClientHost,
			rebalanceTimeout: milliseconds(x.RebalanceTimeout), sessionTimeout: milliseconds(x.SessionTimeout),
			protocols:  []Protocol{{Name: s.Protocol, Metadata: x.Subscription}},
			assignment: x.Assignment,
		}
		g.insert(m)
		g.keepSession(m)
	}
	if len(g.order) > 0 {
		g.state, g.before = stable, completing
	}
	g.subscribed = g.subscriptions()
	if len(g.order) > 0 && g.leader == "" {
		g.leader = g.order[0].id
		g.prepare("the group has come back from the consumer group protocol")
	} else if len(g.order) > g.c.cfg.GroupSizeMax {
		g.prepare("the restored group is over group.max.size")
	}
}

func milliseconds(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

// insert adds a member without asking.
func (g *group) insert(m *member) {
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	g.members[m.id] = m
	g.order = append(g.order, m)
	g.c.memberBytes.Add(m.bytes())
}

// add adds a member that joins.
func (g *group) add(m *member, protocolType string) {
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.insert(m)
	g.removePending(m.id)
}

// remove takes out a member, or one that was expected to join.
func (g *group) remove(id string) {
	if m := g.members[id]; m != nil {
		g.stop(&m.session)
		delete(g.members, id)
		g.order = slices.DeleteFunc(g.order, func(o *member) bool { return o == m })
		if g.static[m.instance] == id {
			delete(g.static, m.instance)
		}
		g.c.memberBytes.Add(-m.bytes())
	}
	if g.leader == id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
	g.removePending(id)
	delete(g.unsynced, id)
}

func (g *group) removePending(id string) {
	if a := g.pending[id]; a != nil {
		g.stop(a)
		delete(g.pending, id)
	}
}

// awaitingJoin counts the members whose JoinGroup waits.
func (g *group) awaitingJoin() int {
	n := 0
	for _, m := range g.order {
		if m.joining != nil {
			n++
		}
	}
	return n
}

func (g *group) allJoined() bool { return len(g.pending) == 0 && g.awaitingJoin() == len(g.order) }

func (g *group) become(s state) { g.before, g.state = g.state, s }

// rebalanceTimeout is the longest of the members'.
func (g *group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.order {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// check says whether a member may speak for itself.
func (g *group) check(id, instance string) error {
	if instance != "" {
		switch existing, ok := g.static[instance]; {
		case !ok:
			return ErrUnknownMember
		case existing != id:
			return ErrFencedInstance
		}
	}
	if g.members[id] == nil {
		return ErrUnknownMember
	}
	return nil
}

// candidates are the protocols that all members know.
func (g *group) candidates() map[string]bool {
	count := map[string]int{}
	for _, m := range g.order {
		for _, p := range m.protocols {
			count[p.Name]++
		}
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n < len(g.order) })
	all := make(map[string]bool, len(count))
	for name := range count {
		all[name] = true
	}
	return all
}

// supports tells whether a member of such a protocol type, with such protocols, fits the group.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if g.state == empty {
		return protocolType != "" && len(protocols) > 0
	}
	all := g.candidates()
	return g.protocolType == protocolType && slices.ContainsFunc(protocols, func(p Protocol) bool {
		return all[p.Name] || len(g.order) == 0
	})
}

// choose returns the protocol that most members prefer of those that all know; of
// several the one that the member that is here longest prefers.
func (g *group) choose() string {
	all := g.candidates()
	votes := map[string]int{}
	for _, m := range g.order {
		for _, p := range m.protocols {
			if all[p.Name] {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.order[0].protocols {
		if votes[p.Name] > votes[best] {
			best = p.Name
		}
	}
	return best
}

// subscriptions are the topics of all members, nil if they can't be known.
func (g *group) subscriptions() map[string]bool {
	if g.protocolType != consumerType {
		return nil
	}
	topics := map[string]bool{}
	for _, m := range g.order {
		if !addTopics(topics, m.metadata(g.protocol)) {
			return nil
		}
	}
	return topics
}

// isSubscribed tells whether offsets of a topic may be in use by the group's members.
func (g *group) isSubscribed(topic string) bool {
	if g.subscribed == nil {
		return g.protocolType == consumerType
	}
	return g.subscribed[topic]
}

// generation is what the journal will hold of this one; assignments by member id.
func (g *group) generation(assignments map[string][]byte) *stored.Generation {
	s := &stored.Generation{Number: g.number, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader}
	for _, m := range g.order {
		s.Members = append(s.Members, stored.Member{
			ID: m.id, Instance: m.instance, ClientID: m.clientID, ClientHost: m.clientHost,
			RebalanceTimeout: int32(m.rebalanceTimeout / time.Millisecond),
			SessionTimeout:   int32(m.sessionTimeout / time.Millisecond),
			Subscription:     m.metadata(g.protocol),
			Assignment:       assignments[m.id],
		})
	}
	slices.SortFunc(s.Members, func(a, b stored.Member) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// store writes a generation into the journal, after the one that is on its way there.
// done runs under the lock, unless the group has died: another coordinator's generation
// in its place kills it. An error's generation is not in the journal, or nobody knows.
func (g *group) store(s *stored.Generation, done func(err error)) {
	if g.storing {
		g.storeNext = append(g.storeNext, func() { g.store(s, done) })
		return
	}
	finish := func(version metastore.Version, stood bool, err error) {
		g.storing = false
		if g.dead {
			return
		}
		switch {
		case err == nil && !stood:
			g.c.deps.Log.Warn("another coordinator has the group", "group", g.id, "generation", s.Number)
			g.die(ErrNotCoordinator)
			g.c.forget(g)
			return
		case err == nil:
			g.written = version
		}
		done(refusal(err))
		if len(g.storeNext) > 0 && !g.storing {
			next := g.storeNext[0]
			g.storeNext = g.storeNext[1:]
			next()
		}
		if !g.storing {
			g.tellStored()
		}
	}
	g.storing = true
	err := g.c.committer.submit(&job{
		journal: g.journal,
		effect:  stored.AppendGeneration(nil, g.id, g.written, s),
		done: func(version metastore.Version, outcome any, err error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			stood, _ := outcome.(bool)
			finish(version, stood, err)
		},
	})
	if err != nil {
		finish(0, false, err)
	}
}

// whenStored returns what is closed once nothing of the group is on its way into the journal.
func (g *group) whenStored() <-chan struct{} {
	ch := make(chan struct{})
	g.stored = append(g.stored, ch)
	return ch
}

func (g *group) tellStored() {
	for _, ch := range g.stored {
		close(ch)
	}
	g.stored = nil
}

// die answers all that waits with err, and forgets the group. The caller takes it out
// of the map.
func (g *group) die(err error) {
	g.dead = true
	g.tellStored()
	g.stop(&g.joinAlarm)
	g.stop(&g.syncAlarm)
	for _, a := range g.pending {
		g.stop(a)
	}
	for _, m := range g.order {
		g.stop(&m.session)
		g.c.memberBytes.Add(-m.bytes())
		m.answerJoin(refusedJoin(m.id, err))
		m.answerSync(Synced{Err: err})
	}
}
