package group

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// ConsumerHeartbeat is a ConsumerGroupHeartbeat.
type ConsumerHeartbeat struct {
	Group            string
	MemberID         string
	Epoch            int32 // 0 joins, −1 leaves, −2 leaves as a static member that comes back
	Instance         string
	Rack             string   // empty: as it was
	RebalanceTimeout int32    // ms; −1: as it was
	Topics           []string // nil: as they were
	Regex            *string  // nil: as it was
	Assignor         string   // empty: as it was
	Owned            []stored.Place
	OwnedSaid        bool // false: as it was
	ClientID         string
	ClientHost       string
}

// The epochs by which members come and go.
const (
	epochJoin  = 0
	epochLeave = -1
)

// ConsumerAnswer answers a ConsumerHeartbeat.
type ConsumerAnswer struct {
	Epoch int32
	// Assigned are the partitions that the member may use, if Said; else they are as they were.
	Assigned []stored.Place
	Said     bool
}

// topicSizes is what a group needs of the catalog.
type topicSizes struct {
	numbers    map[string]uint64
	partitions map[uint64]int32
}

// names are the topics' names by number.
func (t topicSizes) names() map[uint64]string {
	names := make(map[uint64]string, len(t.numbers))
	for name, number := range t.numbers {
		names[number] = name
	}
	return names
}

// consumerWork is a group in the course of a change: the members as they will be.
type consumerWork struct {
	epoch, targetEpoch int32
	topics             uint64
	members            map[string]*stored.ConsumerMember // each immutable, replaced when it changes
	before             *stored.Consumer
	catalog            topicSizes
	matches            func(regex string) []string // topics' names
	sizeMax            int
	assignors          []string // the first is the default
	owners             map[stored.Place]string
	classic            int  // of the members how many speak the classic protocol
	modernBefore       bool // not all did before
	replaced           bool // a static member has just come by the classic protocol in the place of one of the other
}

func newConsumerWork(before *stored.Consumer, catalog topicSizes, matches func(string) []string, sizeMax int) *consumerWork {
	w := &consumerWork{before: before, catalog: catalog, matches: matches, sizeMax: sizeMax, assignors: assignors[:],
		members: map[string]*stored.ConsumerMember{}, owners: map[stored.Place]string{}}
	if before == nil {
		return w
	}
	w.epoch, w.targetEpoch, w.topics = before.Epoch, before.TargetEpoch, before.Topics
	for _, m := range before.Members {
		w.put(m)
	}
	w.modernBefore = w.classic < len(w.members)
	return w
}

// put adds a member, or replaces the one with its id.
func (w *consumerWork) put(m *stored.ConsumerMember) {
	w.drop(m.ID)
	w.members[m.ID] = m
	if m.Classic != nil {
		w.classic++
	}
	for _, places := range [][]stored.Place{m.Assigned, m.Revoking} {
		for _, p := range places {
			w.owners[p] = m.ID
		}
	}
}

// release takes a member's partitions from it.
func (w *consumerWork) release(id string) {
	m := w.members[id]
	if m == nil {
		return
	}
	for _, places := range [][]stored.Place{m.Assigned, m.Revoking} {
		for _, p := range places {
			if w.owners[p] == id {
				delete(w.owners, p)
			}
		}
	}
}

// drop takes a member out, as if it had never been.
func (w *consumerWork) drop(id string) {
	m := w.members[id]
	if m == nil {
		return
	}
	w.release(id)
	delete(w.members, id)
	if m.Classic != nil {
		w.classic--
	}
}

// remove takes a member out; the others' targets are computed with the next heartbeat.
func (w *consumerWork) remove(id string) {
	w.drop(id)
	w.epoch++
}

// heartbeat takes a member, and the group with it, as far as it goes. After an error nothing has changed.
func (w *consumerWork) heartbeat(r *ConsumerHeartbeat) (ConsumerAnswer, error) {
	if r.Epoch < epochJoin {
		return w.leave(r)
	}
	m, err := w.subject(r)
	if err != nil {
		return ConsumerAnswer{}, err
	}
	was := w.members[r.MemberID]
	if m.ID != "" && m.ID != r.MemberID { // A static member comes back under another id; nobody else is concerned.
		w.drop(m.ID)
	}
	next := r.applied(m)
	if m.ID == "" || next.Regex != m.Regex || next.Assignor != m.Assignor || !slices.Equal(next.Topics, m.Topics) {
		w.epoch++
	}
	w.put(next)
	w.retarget()
	next = w.reconciled(w.members[next.ID], r)
	w.put(next)
	full := r.Epoch == epochJoin || r.RebalanceTimeout >= 0 && r.OwnedSaid && (r.Topics != nil || r.Regex != nil)
	return ConsumerAnswer{Epoch: next.Epoch, Assigned: next.Assigned,
		Said: full || was == nil || !slices.Equal(was.Assigned, next.Assigned)}, nil
}

// subject is the member that a heartbeat speaks for, as it was: without an id a new one.
func (w *consumerWork) subject(r *ConsumerHeartbeat) (*stored.ConsumerMember, error) {
	m := w.members[r.MemberID]
	if r.Instance != "" {
		static := w.static(r.Instance)
		switch {
		case static == nil && r.Epoch != epochJoin:
			return nil, ErrUnknownMember
		case static != nil && static.ID != r.MemberID && r.Epoch != epochJoin:
			return nil, ErrFencedInstance
		case static != nil && static.ID != r.MemberID && static.Epoch != stored.StaticLeft && static.Classic == nil:
			return nil, ErrUnreleasedInstance
		case static != nil && static.Epoch == stored.StaticLeft && r.Epoch == epochJoin:
			back := *static
			back.Epoch, back.PreviousEpoch = static.PreviousEpoch, epochJoin
			return &back, nil
		case static != nil && static.ID != r.MemberID:
			return static, nil // A classic member says nothing when it goes for a while.
		}
		m = static
	}
	switch {
	case m == nil && r.Epoch != epochJoin:
		return nil, ErrUnknownMember
	case m == nil && len(w.members) >= w.sizeMax:
		return nil, ErrGroupMaxSize
	case m == nil:
		return &stored.ConsumerMember{PreviousEpoch: -1}, nil
	case r.Epoch == m.Epoch || r.Epoch == m.PreviousEpoch && r.Epoch < m.Epoch && r.OwnedSaid && within(r.Owned, m.Assigned):
		return m, nil // The answer with the new epoch may have been lost.
	case r.Epoch == epochJoin:
		again := *m // It has given up everything, as a fenced member does.
		again.Assigned, again.Revoking, again.State = nil, nil, stored.MemberUnreleased
		return &again, nil
	}
	return nil, ErrFencedMemberEpoch
}

func (w *consumerWork) static(instance string) *stored.ConsumerMember {
	for _, m := range w.members {
		if m.Instance == instance {
			return m
		}
	}
	return nil
}

// leave removes a member, or lets a static one keep what it has until it comes back.
func (w *consumerWork) leave(r *ConsumerHeartbeat) (ConsumerAnswer, error) {
	m := w.members[r.MemberID]
	if r.Instance != "" {
		if m = w.static(r.Instance); m != nil && m.ID != r.MemberID {
			return ConsumerAnswer{}, ErrFencedInstance
		}
	}
	if m == nil {
		return ConsumerAnswer{}, ErrUnknownMember
	}
	switch {
	case r.Epoch == epochLeave:
		w.remove(m.ID)
	case m.Epoch != stored.StaticLeft:
		left := *m
		left.Epoch, left.PreviousEpoch = stored.StaticLeft, m.Epoch
		w.put(&left)
	}
	return ConsumerAnswer{Epoch: r.Epoch}, nil
}

// applied is a member with what its heartbeat says of it.
func (r *ConsumerHeartbeat) applied(m *stored.ConsumerMember) *stored.ConsumerMember {
	next := *m
	next.ID, next.Instance, next.Classic = r.MemberID, cmp.Or(r.Instance, m.Instance), nil
	next.ClientID, next.ClientHost = r.ClientID, r.ClientHost
	next.Rack, next.Assignor = cmp.Or(r.Rack, m.Rack), cmp.Or(r.Assignor, m.Assignor)
	if r.RebalanceTimeout >= 0 {
		next.RebalanceTimeout = r.RebalanceTimeout
	}
	if r.Topics != nil {
		next.Topics = slices.Clone(r.Topics)
		slices.Sort(next.Topics)
		next.Topics = slices.Compact(next.Topics)
	}
	if r.Regex != nil {
		next.Regex = *r.Regex
	}
	return &next
}

func within(places, all []stored.Place) bool {
	return !slices.ContainsFunc(places, func(p stored.Place) bool { return !contains(all, p) })
}

func contains(places []stored.Place, p stored.Place) bool {
	_, ok := slices.BinarySearchFunc(places, p, stored.Place.Compare)
	return ok
}

// subscribed are the topics of a member that exist, ordered.
func (w *consumerWork) subscribed(m *stored.ConsumerMember) []uint64 {
	names := m.Topics
	if m.Regex != "" {
		names = slices.Concat(names, w.matches(m.Regex))
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := w.catalog.numbers[name]; ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// ids are the members' ids, ordered.
func (w *consumerWork) ids() []string { return slices.Sorted(maps.Keys(w.members)) }

// retarget begins an epoch if the topics have changed, and computes the targets of one that has begun.
func (w *consumerWork) retarget() {
	ids := w.ids()
	candidates := make([]candidate, len(ids))
	asked := map[string]int{}
	used := map[uint64]bool{}
	for i, id := range ids {
		m := w.members[id]
		candidates[i] = candidate{id: id, instance: m.Instance, topics: w.subscribed(m), target: m.Target}
		if m.Assignor != "" {
			asked[m.Assignor]++
		}
		for _, t := range candidates[i].topics {
			used[t] = true
		}
	}
	digest := fnv.New64a()
	for _, t := range slices.Sorted(maps.Keys(used)) {
		digest.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, t), uint32(w.catalog.partitions[t])))
	}
	if topics := digest.Sum64(); topics != w.topics {
		w.topics = topics
		w.epoch = max(w.epoch, w.targetEpoch+1)
	}
	if w.epoch == w.targetEpoch {
		return
	}
	w.targetEpoch = w.epoch
	for i, target := range assign(preferred(asked, w.assignors), candidates, w.catalog.partitions) {
		if m := w.members[ids[i]]; !slices.Equal(m.Target, target) {
			next := *m
			next.Target = target
			w.put(&next)
		}
	}
}

// preferred is the assignor that most members ask for; the first one if nobody asks.
func preferred(asked map[string]int, assignors []string) string {
	best := assignors[0]
	for _, name := range assignors {
		if asked[name] > asked[best] {
			best = name
		}
	}
	return best
}
