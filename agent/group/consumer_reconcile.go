package group

import (
	"slices"
	"strings"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// reconciled takes a member towards its target: first it gives up what it is to lose,
// then it gets what nobody else has.
func (w *consumerWork) reconciled(m *stored.ConsumerMember, r *ConsumerHeartbeat) *stored.ConsumerMember {
	owns := func(revoking []stored.Place) bool {
		return !r.OwnedSaid || slices.ContainsFunc(r.Owned, func(p stored.Place) bool { return contains(revoking, p) })
	}
	topics := w.subscribed(m)
	target := slices.DeleteFunc(slices.Clone(m.Target), func(p stored.Place) bool { return !slices.Contains(topics, p.Topic) })
	kept := slices.DeleteFunc(slices.Clone(m.Assigned), func(p stored.Place) bool { return !contains(target, p) })
	lost := slices.DeleteFunc(slices.Clone(m.Assigned), func(p stored.Place) bool { return contains(target, p) })
	if m.State == stored.MemberUnrevoked && owns(m.Revoking) {
		if unsubscribed := slices.DeleteFunc(slices.Clone(m.Assigned), func(p stored.Place) bool { return slices.Contains(topics, p.Topic) }); len(unsubscribed) > 0 {
			next := *m
			next.Assigned = slices.DeleteFunc(slices.Clone(m.Assigned), func(p stored.Place) bool { return contains(unsubscribed, p) })
			next.Revoking = sortedPlaces(slices.Concat(m.Revoking, unsubscribed))
			return &next
		}
		return m
	}
	if m.State == stored.MemberStable && m.Epoch == w.targetEpoch && len(lost) == 0 {
		return m
	}
	next := *m
	if len(lost) > 0 && owns(lost) {
		next.State, next.Assigned, next.Revoking = stored.MemberUnrevoked, kept, lost
		return &next
	}
	next.State, next.Assigned, next.Revoking = stored.MemberStable, kept, nil
	for _, p := range target {
		if contains(kept, p) {
			continue
		}
		if owner, owned := w.owners[p]; owned && owner != m.ID {
			next.State = stored.MemberUnreleased
			continue
		}
		next.Assigned = append(next.Assigned, p)
	}
	next.Assigned = sortedPlaces(next.Assigned)
	if next.Epoch != w.targetEpoch {
		next.Epoch, next.PreviousEpoch = w.targetEpoch, m.Epoch
	}
	if next.State == m.State && next.Epoch == m.Epoch && slices.Equal(next.Assigned, m.Assigned) && slices.Equal(next.Revoking, m.Revoking) {
		return m
	}
	return &next
}

func sortedPlaces(places []stored.Place) []stored.Place {
	slices.SortFunc(places, stored.Place.Compare)
	return places
}

// change is what the journal is to be told, and the group as it is then. Nil: nothing has
// changed. unwritten: the journal knows nothing of what was before.
func (w *consumerWork) change(unwritten bool) (*stored.ConsumerChange, *stored.Consumer) {
	after := &stored.Consumer{Epoch: w.epoch, TargetEpoch: w.targetEpoch, Topics: w.topics}
	x := &stored.ConsumerChange{Epoch: w.epoch, TargetEpoch: w.targetEpoch, Topics: w.topics}
	for _, id := range w.ids() {
		m := w.members[id]
		after.Members = append(after.Members, m)
		if was := w.before.Member(id); was == nil || unwritten || !sameMember(was, m) {
			x.Put = append(x.Put, m)
		}
	}
	var epoch, target int32
	if w.before != nil {
		epoch, target = w.before.Epoch, w.before.TargetEpoch
		for _, m := range w.before.Members {
			if w.members[m.ID] == nil && !unwritten {
				x.Removed = append(x.Removed, m.ID)
			}
		}
	}
	if len(x.Put) == 0 && len(x.Removed) == 0 && epoch == w.epoch && target == w.targetEpoch {
		return nil, w.before
	}
	return x, after
}

func sortMembers(members []*stored.ConsumerMember) {
	slices.SortFunc(members, func(a, b *stored.ConsumerMember) int { return strings.Compare(a.ID, b.ID) })
}

func sameClassic(a, b *stored.ClassicMember) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SessionTimeout == b.SessionTimeout && slices.EqualFunc(a.Protocols, b.Protocols, func(a, b stored.ClassicProtocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

// sameMember compares what is stored of a member.
func sameMember(a, b *stored.ConsumerMember) bool {
	if a == b {
		return true
	}
	return sameClassic(a.Classic, b.Classic) && a.Epoch == b.Epoch && a.PreviousEpoch == b.PreviousEpoch && a.State == b.State && a.RebalanceTimeout == b.RebalanceTimeout &&
		strings.Join([]string{a.Instance, a.Rack, a.ClientID, a.ClientHost, a.Regex, a.Assignor}, "\x00") ==
			strings.Join([]string{b.Instance, b.Rack, b.ClientID, b.ClientHost, b.Regex, b.Assignor}, "\x00") &&
		slices.Equal(a.Topics, b.Topics) && slices.Equal(a.Assigned, b.Assigned) && slices.Equal(a.Revoking, b.Revoking) && slices.Equal(a.Target, b.Target)
}
