package group

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// mixed is a member of a group that goes over, and what it may use.
type mixed struct {
	a     *agent
	id    string
	name  string // group.instance.id
	epoch int32
	has   []int32
}

// ownedSubscription is a consumer's to topic t, in version 1.
func ownedSubscription(owned []int32) []byte {
	b := []byte{0, 1, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff}
	if len(owned) == 0 {
		return append(b, 0, 0, 0, 0)
	}
	b = append(b, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, byte(len(owned)))
	for _, p := range owned {
		b = append(b, 0, 0, 0, byte(p))
	}
	return b
}

func assigned(t *testing.T, b []byte) (partitions []int32) {
	t.Helper()
	topics, custom, ok := parseAssignment(b)
	if !ok || custom {
		t.Errorf("assignment %x", b)
	}
	for _, n := range topics {
		partitions = append(partitions, n.partitions...)
	}
	return partitions
}

func (m *mixed) request() Join {
	return Join{Group: "g", MemberID: m.id, Instance: m.name, ClientID: "classic", ClientHost: "/127.0.0.1",
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 30 * time.Second, ProtocolType: "consumer",
		Protocols: []Protocol{{Name: "range", Metadata: ownedSubscription(nil)}}, NeedsID: true}
}

// join joins by the classic protocol, eagerly, and syncs; a leader gives all to itself.
func (m *mixed) join(t *testing.T) {
	t.Helper()
	for range 100 {
		j := m.a.Join(t.Context(), m.request())
		if j.MemberID != "" {
			m.id = j.MemberID
		}
		if errors.Is(j.Err, ErrMemberIDRequired) || errors.Is(j.Err, ErrRebalanceInProgress) {
			continue
		}
		if j.Err != nil {
			t.Fatalf("join: %v", j.Err)
		}
		s := Sync{Group: "g", Generation: j.Generation, MemberID: m.id, Instance: m.name, Protocol: &j.Protocol, ProtocolType: &j.ProtocolType}
		if len(j.Members) > 0 {
			s.Assignments = map[string][]byte{}
			for i, member := range j.Members {
				var places []stored.Place
				for p := int32(i); p < 4; p += int32(len(j.Members)) {
					places = append(places, stored.Place{Topic: 1, Partition: p})
				}
				s.Assignments[member.ID] = appendAssignment(nil, 1, places, map[uint64]string{1: "t"})
			}
		}
		synced := m.a.Sync(t.Context(), s)
		if errors.Is(synced.Err, ErrRebalanceInProgress) {
			continue
		}
		if synced.Err != nil {
			t.Fatalf("sync: %v", synced.Err)
		}
		m.epoch, m.has = j.Generation, assigned(t, synced.Assignment)
		return
	}
	t.Fatal("never joined")
}

func (m *mixed) beat() error {
	return m.a.Heartbeat(m.a.t.Context(), Identity{"g", m.epoch, m.id, m.name})
}

func (m *mixed) commit(offset int64) error {
	return m.a.Commit(m.a.t.Context(), Commit{Identity: Identity{"g", m.epoch, m.id, m.name}, Retention: -1, NotFound: ErrNotFound,
		Offsets: []stored.PlacedOffset{{Place: stored.Place{Topic: 1}, Offset: stored.Offset{Offset: offset, LeaderEpoch: -1}}}})
}

// modern sends a heartbeat of the consumer group protocol, having what it was told to have.
func (m *mixed) modern(t *testing.T) {
	t.Helper()
	r := consumerBeat(m.id, m.epoch)
	if m.epoch == epochJoin {
		r = consumerJoin(m.id)
	}
	r.Instance, r.OwnedSaid = m.name, true
	for _, p := range m.has {
		r.Owned = append(r.Owned, stored.Place{Topic: 1, Partition: p})
	}
	a, err := m.a.ConsumerHeartbeat(t.Context(), r)
	if err != nil {
		t.Fatalf("heartbeat: %v", err)
	}
	m.epoch = a.Epoch
	if a.Said {
		m.has = nil
		for _, p := range a.Assigned {
			m.has = append(m.has, p.Partition)
		}
	}
}

// rounds lets members do what their protocol has them do until they share the topic.
func rounds(t *testing.T, classic, modern []*mixed) {
	t.Helper()
	for range 20 {
		for _, m := range classic {
			if errors.Is(m.beat(), ErrRebalanceInProgress) {
				m.join(t)
			}
		}
		for _, m := range modern {
			m.modern(t)
		}
	}
	var all []int32
	for _, m := range slices.Concat(classic, modern) {
		all = append(all, m.has...)
	}
	slices.Sort(all)
	if !slices.Equal(all, []int32{0, 1, 2, 3}) {
		t.Fatalf("the members have %v", all)
	}
}

// TestMigration_ThereAndBack: a classic group with members gets one of the other
// protocol; coordinators change meanwhile; the last such member leaves again.
func TestMigration_ThereAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		one := c.start(nil)
		consumerTopic(one, 4)
		old := &mixed{a: one}
		old.join(t)
		if err := old.commit(3); err != nil || len(old.has) != 4 {
			t.Fatal(err, old.has)
		}
		young := &mixed{a: one, id: "young"}
		young.modern(t)
		if len(young.has) != 0 {
			t.Fatalf("it has %v while nobody gave anything up", young.has)
		}
		if err := old.commit(4); err != nil {
			t.Errorf("a commit while it is to join again: %v", err)
		}
		rounds(t, []*mixed{old}, []*mixed{young})
		if len(old.has) != 2 {
			t.Errorf("the classic one has %v", old.has)
		}
		one.stop()
		two := c.start(nil)
		old.a, young.a = two, two
		before := two.counting.Statements()
		rounds(t, []*mixed{old}, []*mixed{young})
		if n := two.counting.Statements().Since(before).Append; n != 0 {
			t.Errorf("the next coordinator's changes: %d", n)
		}
		d, err := two.DescribeConsumer(t.Context(), "g")
		if err != nil || d.State != consumerStable || d.Member(old.id).Classic == nil || d.Member("young").Classic != nil {
			t.Errorf("%+v, %v", d, err)
		}
		if err := old.commit(5); err != nil {
			t.Error(err)
		}
		leave := consumerBeat("young", epochLeave)
		if _, err := two.ConsumerHeartbeat(t.Context(), leave); err != nil {
			t.Fatal(err)
		}
		if _, err := two.DescribeConsumer(t.Context(), "g"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a group of classic members is %v", err)
		}
		// The coordinator dies before the member has joined again: the next one goes on with it.
		two.stop()
		three := c.start(nil)
		old.a = three
		if err := old.commit(6); err != nil {
			t.Error(err)
		}
		if err := old.beat(); !errors.Is(err, ErrRebalanceInProgress) {
			t.Errorf("heartbeat: %v", err)
		}
		old.join(t)
		if len(old.has) != 4 || three.state() != "Stable" {
			t.Errorf("%v, %s", old.has, three.state())
		}
		if err := old.commit(7); err != nil || three.offset(stored.Place{Topic: 1}) != 7 {
			t.Error(err)
		}
	})
}
