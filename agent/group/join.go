package group

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Join is a JoinGroup.
type Join struct {
	Group            string
	MemberID         string // empty: not given one yet
	Instance         string // group.instance.id; empty: not static
	ClientID         string
	ClientHost       string
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	ProtocolType     string
	Protocols        []Protocol // kept: must not alias what is used again
	// NeedsID: a new member is given an id, and joins again with it (KIP-394).
	NeedsID bool
	// SkipsAssignment: a leader that is told so doesn't assign (KIP-814).
	SkipsAssignment bool
}

// Joined answers a Join.
type Joined struct {
	Err            error
	MemberID       string
	Generation     int32  // −1 with an error
	ProtocolType   string // empty with an error
	Protocol       string
	Leader         string
	SkipAssignment bool
	Members        []JoinedMember // for the leader
}

// JoinedMember is a member that the leader assigns partitions to.
type JoinedMember struct {
	ID       string
	Instance string
	Metadata []byte
}

func refusedJoin(id string, err error) Joined { return Joined{Err: err, MemberID: id, Generation: -1} }

// Join takes a member into a group. It returns when the members of the next generation
// are known, or ctx ends; the member stays.
func (c *Coordinator) Join(ctx context.Context, j Join) Joined {
	switch {
	case j.Group == "":
		return refusedJoin(j.MemberID, ErrInvalidGroupID)
	case j.SessionTimeout < c.cfg.SessionMin || j.SessionTimeout > c.cfg.SessionMax:
		return refusedJoin(j.MemberID, ErrInvalidSession)
	}
	j.RebalanceTimeout = max(j.RebalanceTimeout, 0)
	for range decisionsMax {
		if joined := c.join(ctx, j); !errors.Is(joined.Err, errMoved) {
			return joined
		}
	}
	return refusedJoin(j.MemberID, ErrNotAvailable)
}

func (c *Coordinator) join(ctx context.Context, j Join) Joined {
	g, err := c.lock(ctx, j.Group, j.MemberID == "")
	switch {
	case errors.Is(err, ErrOtherProtocol):
		return c.joinConsumer(ctx, j)
	case err != nil:
		return refusedJoin(j.MemberID, err)
	case g == nil:
		return refusedJoin(j.MemberID, ErrUnknownMember)
	}
	answer := make(chan Joined, 1)
	switch {
	case !g.accepts(j.MemberID):
		g.remove(j.MemberID)
		answer <- refusedJoin("", ErrGroupMaxSize)
	case c.memberBytes.Load() > c.cfg.MemberBytesMax && g.members[j.MemberID] == nil:
		answer <- refusedJoin("", ErrGroupMaxSize)
	case j.MemberID == "":
		g.joinNew(j, answer)
	default:
		g.joinKnown(j, answer)
	}
	g.mu.Unlock()
	select {
	case joined := <-answer:
		return joined
	case <-ctx.Done():
		return refusedJoin(j.MemberID, refusal(ctx.Err()))
	}
}

// accepts holds group.max.size.
func (g *group) accepts(id string) bool {
	m := g.members[id]
	switch g.state {
	case empty:
		return true
	case preparing:
		// By those that wait: so the last to rejoin of a group that is too large are turned away.
		return m != nil && m.joining != nil || g.awaitingJoin() < g.c.cfg.GroupSizeMax
	}
	return m != nil || len(g.order) < g.c.cfg.GroupSizeMax
}

// memberPrefixBytesMax bounds what a member's id has of its client's id or instance, in bytes: the
// longest client id that a request can have, and more behind it, is no string that an answer can.
const memberPrefixBytesMax = 16 << 10

// joinNew takes a member that has no id.
func (g *group) joinNew(j Join, answer chan Joined) {
	if !g.supports(j.ProtocolType, j.Protocols) {
		answer <- refusedJoin("", ErrInconsistentProtocol)
		return
	}
	prefix := j.ClientID
	if j.Instance != "" {
		prefix = j.Instance
	}
	id := prefix[:min(len(prefix), memberPrefixBytesMax)] + "-" + uuid.NewString()
	switch existing, known := g.static[j.Instance]; {
	case j.Instance != "" && known:
		g.replaceStatic(j, existing, id, answer)
	case j.Instance == "" && j.NeedsID:
		a := &alarm{}
		g.pending[id] = a
		g.set(a, j.SessionTimeout, func() { g.expirePending(id) })
		answer <- refusedJoin(id, ErrMemberIDRequired)
	default:
		g.addMember(j, id, answer)
	}
}

// joinKnown takes a member that has an id.
func (g *group) joinKnown(j Join, answer chan Joined) {
	refuse := func(err error) { answer <- refusedJoin(j.MemberID, err) }
	if !g.supports(j.ProtocolType, j.Protocols) {
		refuse(ErrInconsistentProtocol)
		return
	}
	if g.pending[j.MemberID] != nil && j.Instance == "" {
		g.addMember(j, j.MemberID, answer)
		return
	}
	if err := g.check(j.MemberID, j.Instance); err != nil {
		refuse(err)
		return
	}
	m := g.members[j.MemberID]
	switch same := m.matches(j.Protocols); {
	case g.state == empty:
		refuse(ErrUnknownMember)
	case g.state == preparing, g.state == completing && !same, g.state == stable && (!same || g.leader == m.id):
		// A leader joins again for what the members' metadata doesn't show, such as new partitions.
		g.update(m, j, answer)
		g.rebalance("member " + m.id + " joins again")
	default:
		// It didn't get the answer to its join.
		answer <- g.joined(m, g.state == completing)
	}
}

// joined tells a member its generation, and the leader who is in it.
func (g *group) joined(m *member, tellLeader bool) Joined {
	j := Joined{MemberID: m.id, Generation: g.number, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader}
	if tellLeader && g.leader == m.id {
		j.Members = g.joinedMembers()
	}
	return j
}

func (g *group) joinedMembers() []JoinedMember {
	all := make([]JoinedMember, len(g.order))
	for i, m := range g.order {
		all[i] = JoinedMember{ID: m.id, Instance: m.instance, Metadata: m.metadata(g.protocol)}
	}
	return all
}

// addMember adds a member that waits for the next generation.
func (g *group) addMember(j Join, id string, answer chan Joined) {
	m := &member{
		id: id, instance: j.Instance, clientID: j.ClientID, clientHost: j.ClientHost,
		rebalanceTimeout: j.RebalanceTimeout, sessionTimeout: j.SessionTimeout,
		protocols: j.Protocols, isNew: true, joining: answer,
	}
	if g.state == preparing && g.before == empty {
		g.newMember = true
	}
	g.add(m, j.ProtocolType)
	// It has no id yet, so it can't keep its session: only its join is timed.
	g.set(&m.session, g.c.cfg.NewMemberTimeout, func() { g.expire(m) })
	g.rebalance("member " + id + " joins")
}

// update takes over what a member says anew, and lets its join wait.
func (g *group) update(m *member, j Join, answer chan Joined) {
	g.c.memberBytes.Add(-m.bytes())
	m.protocols, m.rebalanceTimeout, m.sessionTimeout = j.Protocols, j.RebalanceTimeout, j.SessionTimeout
	g.c.memberBytes.Add(m.bytes())
	m.answerJoin(refusedJoin(m.id, ErrRebalanceInProgress)) // It asked again, by another connection.
	m.joining = answer
}

// replaceStatic puts a member with a new id in the place of the one with its instance id
// (KIP-345). While the group is stable and its protocol stays, nobody else need know.
func (g *group) replaceStatic(j Join, oldID, id string, answer chan Joined) {
	old := g.members[oldID]
	old.answerJoin(refusedJoin(oldID, ErrFencedInstance))
	old.answerSync(Synced{Err: ErrFencedInstance})
	leader := g.leader
	m := &member{
		id: id, instance: old.instance, clientID: old.clientID, clientHost: old.clientHost,
		protocols: old.protocols, assignment: old.assignment,
	}
	g.stop(&old.session)
	g.c.memberBytes.Add(-old.bytes())
	delete(g.members, oldID)
	delete(g.unsynced, oldID)
	g.members[id] = m
	g.order[slices.Index(g.order, old)] = m
	g.static[j.Instance] = id
	if g.leader == oldID {
		g.leader = id
	}
	g.c.memberBytes.Add(m.bytes())
	g.update(m, j, answer)
	g.keepSession(m)
	switch {
	case g.state == stable && g.choose() == g.protocol:
		number, current := g.number, g.currentAssignments()
		g.store(g.generation(current), func(err error) {
			if g.state != stable || g.number != number || g.members[id] != m {
				return // It waits for the next generation, or was answered.
			}
			switch {
			case err != nil:
				m.answerJoin(refusedJoin("", err))
			case j.SkipsAssignment:
				joined := g.joined(m, true)
				joined.SkipAssignment = g.leader == id
				m.answerJoin(joined)
			default:
				// The leader that it is told is the one before it, so that it doesn't assign.
				joined := g.joined(m, false)
				joined.Leader = leader
				m.answerJoin(joined)
			}
		})
	case g.state == stable:
		g.rebalance("static member " + id + " changes the protocol")
	case g.state == completing:
		// The leader was told the old id, and would assign to it.
		g.prepare("static member " + id + " comes while the leader assigns")
	default:
		g.maybeCompleteJoin()
	}
}

func (g *group) currentAssignments() map[string][]byte {
	all := make(map[string][]byte, len(g.order))
	for _, m := range g.order {
		all[m.id] = m.assignment
	}
	return all
}
