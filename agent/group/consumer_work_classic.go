package group

import (
	"math"
	"slices"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// classicGeneration is what a classic member of a group of the consumer group protocol
// is told when it has joined: its epoch is its generation.
type classicGeneration struct {
	number   int32
	protocol string
}

// supportsClassic tells whether all classic members know one of some protocols.
func (w *consumerWork) supportsClassic(protocolType string, protocols []Protocol) bool {
	if protocolType != consumerType || len(protocols) == 0 {
		return false
	}
	known, classic := map[string]int{}, 0
	for _, m := range w.members {
		if m.Classic != nil {
			classic++
			for _, p := range m.Classic.Protocols {
				known[p.Name]++
			}
		}
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return known[p.Name] == classic })
}

// classicJoin takes a member that joins by the classic protocol; id is its own, or a new
// one's. After an error nothing has changed.
func (w *consumerWork) classicJoin(j *Join, id string) (classicGeneration, error) {
	switch {
	case len(w.members) == 0:
		return classicGeneration{}, errMoved // It is for a classic group.
	case w.members[id] == nil && len(w.members) >= w.sizeMax:
		return classicGeneration{}, ErrGroupMaxSize
	case !w.supportsClassic(j.ProtocolType, j.Protocols):
		return classicGeneration{}, ErrInconsistentProtocol
	case j.NeedsID && j.MemberID == "" && j.Instance == "":
		return classicGeneration{}, ErrMemberIDRequired
	}
	subscription, ok := parseSubscription(j.Protocols[0].Metadata)
	if !ok {
		return classicGeneration{}, ErrInconsistentProtocol
	}
	was, err := w.classicSubject(j, id)
	if err != nil {
		return classicGeneration{}, err
	}
	r := &ConsumerHeartbeat{MemberID: id, Instance: j.Instance, Rack: subscription.rack, ClientID: j.ClientID, ClientHost: j.ClientHost,
		RebalanceTimeout: int32(min(j.RebalanceTimeout.Milliseconds(), math.MaxInt32)),
		Topics:           subscription.topics, Owned: w.catalog.places(subscription.owned), OwnedSaid: true}
	if r.Topics == nil {
		r.Topics = []string{}
	}
	next := r.applied(was)
	next.Regex, next.Assignor = "", ""
	next.Classic = &stored.ClassicMember{SessionTimeout: int32(min(j.SessionTimeout.Milliseconds(), math.MaxInt32))}
	for _, p := range j.Protocols {
		next.Classic.Protocols = append(next.Classic.Protocols, stored.ClassicProtocol{Name: p.Name, Metadata: p.Metadata})
	}
	subscribes := was.ID == "" || next.Regex != was.Regex || !slices.Equal(next.Topics, was.Topics)
	if was.ID != "" && was.ID != id {
		w.drop(was.ID)
	}
	w.replaced = was.ID != "" && was.Classic == nil && !subscribes
	if subscribes {
		w.epoch++
	}
	w.put(next)
	w.retarget()
	next = w.reconciled(w.members[id], r)
	w.put(next)
	return classicGeneration{next.Epoch, j.Protocols[0].Name}, nil
}

// classicSubject is the member that joins, as it was: without an id a new one. A static
// member takes the place of the one before it whether or not that one has left.
func (w *consumerWork) classicSubject(j *Join, id string) (*stored.ConsumerMember, error) {
	m := w.members[id]
	if j.Instance != "" {
		static := w.static(j.Instance)
		switch {
		case static == nil && j.MemberID != "":
			return nil, ErrUnknownMember
		case static != nil && static.ID != id && j.MemberID != "":
			return nil, ErrFencedInstance
		case static != nil && static.Epoch == stored.StaticLeft:
			back := *static
			back.Epoch, back.PreviousEpoch = static.PreviousEpoch, epochJoin
			return &back, nil
		}
		m = static
	}
	if m == nil {
		return &stored.ConsumerMember{PreviousEpoch: -1}, nil
	}
	return m, nil
}

// depart removes a member of whichever protocol that leaves by a LeaveGroup, or is made to.
func (w *consumerWork) depart(l Leaver) error {
	m := w.members[l.MemberID]
	if l.Instance != "" {
		if m = w.static(l.Instance); m != nil && l.MemberID != "" && l.MemberID != m.ID {
			return ErrFencedInstance
		}
	}
	if m == nil {
		return ErrUnknownMember
	}
	w.remove(m.ID)
	return nil
}

// onlyClassic tells whether all members speak the classic protocol since this change.
func (w *consumerWork) onlyClassic() bool {
	return w.modernBefore && w.classic > 0 && w.classic == len(w.members)
}

// generation is the classic generation that the members, all classic, make. They join it
// again, unless a static member has just taken the place of the last one of the other protocol and
// everyone has what it is to have.
func (w *consumerWork) generation(names map[uint64]string) *stored.Generation {
	g := &group{protocolType: consumerType}
	settled := w.replaced && w.epoch == w.targetEpoch
	number := int32(0)
	for _, id := range w.ids() {
		m := w.members[id]
		settled = settled && m.State == stored.MemberStable && m.Epoch == w.epoch
		number = max(number, m.Epoch)
		c := &member{id: id, instance: m.Instance, clientID: m.ClientID, clientHost: m.ClientHost,
			rebalanceTimeout: milliseconds(m.RebalanceTimeout), sessionTimeout: milliseconds(m.Classic.SessionTimeout)}
		for _, p := range m.Classic.Protocols {
			c.protocols = append(c.protocols, Protocol{Name: p.Name, Metadata: p.Metadata})
		}
		g.order = append(g.order, c)
	}
	g.number, g.protocol = number, g.choose()
	assignments := make(map[string][]byte, len(g.order))
	for _, c := range g.order {
		s, _ := parseSubscription(c.metadata(g.protocol))
		assignments[c.id] = appendAssignment(nil, s.version, w.members[c.id].Assigned, names)
	}
	if settled {
		g.leader = g.order[0].id
	}
	return g.generation(assignments)
}

// mustRejoin tells whether a classic member is to join again: for a new epoch, because it
// has given up what it was to, or because all that it waits for is free.
func mustRejoin(c *stored.Consumer, m *stored.ConsumerMember) bool {
	switch {
	case m.Epoch < c.Epoch || m.State == stored.MemberUnrevoked:
		return true
	case m.State == stored.MemberStable:
		return false
	}
	for _, other := range c.Members {
		if other.ID == m.ID {
			continue
		}
		for _, places := range [][]stored.Place{other.Assigned, other.Revoking} {
			if slices.ContainsFunc(places, func(p stored.Place) bool { return contains(m.Target, p) }) {
				return false
			}
		}
	}
	return true
}
