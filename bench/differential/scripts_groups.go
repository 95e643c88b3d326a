package main

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is what one sends in the name of a group's member.
type member struct {
	group, id  string
	instance   string // "" is none
	generation int32
}

func (m member) instanceID() *string {
	if m.instance == "" {
		return nil
	}
	return kmsg.StringPtr(m.instance)
}

// join asks to be a member, with the protocol "range" unless others are named.
func (m member) join(protocols ...string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.InstanceID = m.group, m.id, m.instanceID()
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = 30_000, 5_000, "consumer"
	if len(protocols) == 0 {
		protocols = []string{"range"}
	}
	for _, name := range protocols {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, subscription("t")
		r.Protocols = append(r.Protocols, p)
	}
	return r
}

// subscription is a consumer's metadata. Apache Kafka never ends the join of a member
// whose metadata it can't read.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 1, topics
	return m.AppendTo(nil)
}

// sync asks for the assignment; the leader's request names those of all members.
func (m member) sync(assigned ...string) *kmsg.SyncGroupRequest {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Group, r.MemberID, r.InstanceID, r.Generation = m.group, m.id, m.instanceID(), m.generation
	r.ProtocolType, r.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	for _, id := range assigned {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = id, []byte("assigned")
		r.GroupAssignment = append(r.GroupAssignment, a)
	}
	return r
}

func (m member) heartbeat() *kmsg.HeartbeatRequest {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.InstanceID, r.Generation = m.group, m.id, m.instanceID(), m.generation
	return r
}

func (m member) leave() *kmsg.LeaveGroupRequest {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Group, r.MemberID = m.group, m.id
	leaving := kmsg.NewLeaveGroupRequestMember()
	leaving.MemberID, leaving.InstanceID = m.id, m.instanceID()
	r.Members = append(r.Members, leaving)
	return r
}

func (m member) commit(topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.InstanceID, r.Generation = m.group, m.id, m.instanceID(), m.generation
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, -1, kmsg.StringPtr("note")
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// enter makes m the first and only member of its group, quietly.
func (s *session) enter(m member) member {
	response := quiet[*kmsg.JoinGroupResponse](s, 9, m.join())
	if response.ErrorCode == 79 {
		m.id = response.MemberID
		response = quiet[*kmsg.JoinGroupResponse](s, 9, m.join())
	}
	m.id, m.generation = response.MemberID, response.Generation
	quiet[*kmsg.SyncGroupResponse](s, 5, m.sync(m.id))
	return m
}

// groups: how a member gets in, is refused, and leaves.
func groups(s *session) {
	join := func(call string, version int16, r *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
		return ask[*kmsg.JoinGroupResponse](s, "join "+call, version, r)
	}
	for _, version := range []int16{0, 1, 2, 3} {
		join(named("at once, version %d", version), version, member{group: named("old-%d", version)}.join())
	}
	for _, version := range []int16{4, 5, 6, 7, 8, 9} {
		m := member{group: named("new-%d", version)}
		m.id = join(named("without an id, version %d", version), version, m.join()).MemberID
		m.generation = join(named("with the id, version %d", version), version, m.join()).Generation
		ask[*kmsg.SyncGroupResponse](s, named("sync, version %d", version), min(version-2, 5), m.sync(m.id))
		ask[*kmsg.HeartbeatResponse](s, named("heartbeat, version %d", version), min(version-2, 4), m.heartbeat())
		ask[*kmsg.LeaveGroupResponse](s, named("leave, version %d", version), min(version-3, 5), m.leave())
	}
	m := member{group: "g"}
	join("an empty group", 9, member{}.join())
	join("as a member nobody knows", 9, member{group: "g", id: "nobody"}.join())
	change := func(f func(r *kmsg.JoinGroupRequest)) *kmsg.JoinGroupRequest {
		r := m.join()
		f(r)
		return r
	}
	join("with a session time-out too short", 9, change(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 }))
	join("with a session time-out too long", 9, change(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 }))
	join("with a session time-out of 0", 9, change(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 0 }))
	join("without protocols", 9, change(func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }))
	join("without a protocol type", 9, change(func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }))
	join("with an instance id too long", 9, change(func(r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr(string(make([]byte, 250))) }))
	join("with an empty instance id", 9, change(func(r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr("") }))
	m = s.enter(m)
	s.names.member(m.id)
	other := member{group: "g"}
	join("with other protocols", 3, other.join("roundrobin"))
	join("with another protocol type", 3, func() *kmsg.JoinGroupRequest { r := other.join(); r.ProtocolType = "connect"; return r }())
	ask[*kmsg.HeartbeatResponse](s, "heartbeat", 4, m.heartbeat())
	wrong := func(f func(m *member)) member { w := m; f(&w); return w }
	cases := []struct {
		call string
		m    member
	}{
		{"of an old generation", wrong(func(m *member) { m.generation-- })},
		{"of a generation to come", wrong(func(m *member) { m.generation++ })},
		{"of generation -1", wrong(func(m *member) { m.generation = -1 })},
		{"of an unknown member", wrong(func(m *member) { m.id = "nobody" })},
		{"without a member id", wrong(func(m *member) { m.id = "" })},
		{"of an unknown group", wrong(func(m *member) { m.group = "no-such-group" })},
		{"of an empty group", wrong(func(m *member) { m.group = "" })},
		{"of an unknown instance", wrong(func(m *member) { m.instance = "nobody" })},
	}
	for _, c := range cases {
		ask[*kmsg.HeartbeatResponse](s, "heartbeat "+c.call, 4, c.m.heartbeat())
		ask[*kmsg.SyncGroupResponse](s, "sync "+c.call, 5, c.m.sync())
		ask[*kmsg.OffsetCommitResponse](s, "commit "+c.call, 8, c.m.commit("t", 0, 5))
		if c.m.generation == m.generation {
			ask[*kmsg.LeaveGroupResponse](s, "leave "+c.call, 5, c.m.leave())
			ask[*kmsg.LeaveGroupResponse](s, "leave "+c.call+", version 2", 2, c.m.leave())
		}
	}
	ask[*kmsg.SyncGroupResponse](s, "sync once more", 5, m.sync())
	bad := m.sync()
	bad.Protocol = kmsg.StringPtr("roundrobin")
	ask[*kmsg.SyncGroupResponse](s, "sync with another protocol", 5, bad)
	bad = m.sync()
	bad.ProtocolType = kmsg.StringPtr("connect")
	ask[*kmsg.SyncGroupResponse](s, "sync with another protocol type", 5, bad)
	join("again as the leader", 9, m.join())
	m.generation++
	ask[*kmsg.HeartbeatResponse](s, "heartbeat before sync", 4, m.heartbeat())
	ask[*kmsg.OffsetCommitResponse](s, "commit before sync", 8, m.commit("t", 0, 5))
	ask[*kmsg.SyncGroupResponse](s, "sync of the leader", 5, m.sync(m.id, "nobody"))
	ask[*kmsg.LeaveGroupResponse](s, "leave", 5, m.leave())
	ask[*kmsg.HeartbeatResponse](s, "heartbeat after it left", 4, m.heartbeat())
	join("after it left", 9, m.join())
	connect := member{group: "connect"}.join("compatible")
	connect.ProtocolType = "connect"
	connect.MemberID = join("as a worker of Connect", 9, connect).MemberID
	join("as a worker of Connect, with the id", 9, connect)
}

// generations: two members, and what each sees while the other comes and goes.
func generations(s *session) {
	a, b := member{group: "two"}, member{group: "two"}
	a = s.on("a").enter(a)
	s.names.member(a.id)
	b.id = ask[*kmsg.JoinGroupResponse](s.on("b"), "the second's id", 9, b.join()).MemberID
	joining := begin[*kmsg.JoinGroupResponse](s.on("b"), "the second joins", 9, b.join("range", "roundrobin"))
	s.awaitRebalance(a)
	ask[*kmsg.HeartbeatResponse](s.on("a"), "the first's heartbeat meanwhile", 4, a.heartbeat())
	ask[*kmsg.OffsetCommitResponse](s.on("a"), "the first's commit meanwhile", 8, a.commit("t", 0, 1))
	ask[*kmsg.SyncGroupResponse](s.on("a"), "the first's sync meanwhile", 5, a.sync())
	ask[*kmsg.JoinGroupResponse](s.on("a"), "the first joins again", 9, a.join())
	b.generation = joining().Generation
	a.generation = b.generation
	waiting := begin[*kmsg.SyncGroupResponse](s.on("b"), "the follower's sync", 5, b.sync())
	ask[*kmsg.SyncGroupResponse](s.on("a"), "the leader's sync", 5, a.sync(a.id, b.id))
	waiting()
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"two"}
	ask[*kmsg.DescribeGroupsResponse](s, "describe", 6, describe)
	ask[*kmsg.JoinGroupResponse](s.on("b"), "the follower joins again with what it had", 9, b.join("range", "roundrobin"))
	ask[*kmsg.LeaveGroupResponse](s.on("b"), "the follower leaves", 5, b.leave())
	s.awaitRebalance(a)
	ask[*kmsg.HeartbeatResponse](s.on("a"), "the leader's heartbeat after", 4, a.heartbeat())
	ask[*kmsg.JoinGroupResponse](s.on("a"), "the leader joins again", 9, a.join())
	a.generation++
	ask[*kmsg.SyncGroupResponse](s.on("a"), "the leader's sync alone", 5, a.sync(a.id))
	both := a.leave()
	both.Members = append(both.Members, kmsg.LeaveGroupRequestMember{MemberID: "nobody"})
	ask[*kmsg.LeaveGroupResponse](s.on("a"), "two leave, one of them unknown", 5, both)
	ask[*kmsg.DescribeGroupsResponse](s, "describe when empty", 6, describe)
}

// awaitRebalance waits until a member's heartbeat says that its group rebalances.
func (s *session) awaitRebalance(m member) {
	s.on("watch").await(4, m.heartbeat(), func(r kmsg.Response) bool { return r.(*kmsg.HeartbeatResponse).ErrorCode != 0 })
}

func staticMembers(s *session) {
	m := member{group: "static", instance: "one"}
	response := ask[*kmsg.JoinGroupResponse](s, "join", 9, m.join())
	m.id, m.generation = response.MemberID, response.Generation
	ask[*kmsg.SyncGroupResponse](s, "sync", 5, m.sync(m.id))
	ask[*kmsg.HeartbeatResponse](s, "heartbeat", 4, m.heartbeat())
	old := m
	m.id = ""
	m.id = ask[*kmsg.JoinGroupResponse](s, "restart", 9, m.join()).MemberID
	ask[*kmsg.SyncGroupResponse](s, "sync after restart", 5, m.sync())
	ask[*kmsg.HeartbeatResponse](s, "heartbeat after restart", 4, m.heartbeat())
	ask[*kmsg.HeartbeatResponse](s, "heartbeat as before", 4, old.heartbeat())
	ask[*kmsg.SyncGroupResponse](s, "sync as before", 5, old.sync())
	ask[*kmsg.OffsetCommitResponse](s, "commit as before", 8, old.commit("t", 0, 1))
	ask[*kmsg.JoinGroupResponse](s, "join as before", 9, old.join())
	ask[*kmsg.LeaveGroupResponse](s, "leave as before", 5, old.leave())
	again := m
	again.id = ""
	m.id = ask[*kmsg.JoinGroupResponse](s, "restart with another protocol", 9, again.join("roundrobin")).MemberID
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"static"}
	ask[*kmsg.DescribeGroupsResponse](s, "describe", 6, describe)
	byInstance := m
	byInstance.id = ""
	ask[*kmsg.LeaveGroupResponse](s, "leave by instance", 5, byInstance.leave())
	byInstance.instance = "nobody"
	ask[*kmsg.LeaveGroupResponse](s, "an unknown instance leaves", 5, byInstance.leave())
}
