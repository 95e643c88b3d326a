package main

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// committed asks for a group's offsets: of the partitions of a topic, or of all.
func committed(group, topic string, partitions ...int32) *kmsg.OffsetFetchRequest {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if topic != "" {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		r.Topics = append(r.Topics, t)
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = topic, partitions
		g.Topics = append(g.Topics, gt)
	}
	r.Groups = append(r.Groups, g)
	return r
}

// outside commits for nobody in particular.
func outside(group string) member { return member{group: group, generation: -1} }

func commits(s *session) {
	id := s.topic("kept", 3)
	commit := func(call string, version int16, r *kmsg.OffsetCommitRequest) {
		ask[*kmsg.OffsetCommitResponse](s, "commit "+call, version, r)
	}
	fetch := func(call string, version int16, r *kmsg.OffsetFetchRequest) {
		ask[*kmsg.OffsetFetchResponse](s, "fetch "+call, version, r)
	}
	fetch("of a group that isn't", 8, committed("none-yet", "kept", 0))
	fetch("all of a group that isn't", 8, committed("none-yet", ""))
	for _, version := range []int16{2, 5, 6, 7, 8, 9} {
		commit(named("version %d", version), version, outside("alone").commit("kept", 0, int64(version)))
	}
	byID := outside("alone").commit("", 1, 10)
	byID.Topics[0].TopicID = id
	commit("version 10", 10, byID)
	byID.Topics[0].TopicID = noSuchID()
	commit("an unknown id", 10, byID)
	for _, version := range []int16{1, 2, 3, 5, 6, 7} {
		fetch(named("version %d", version), version, committed("alone", "kept", 0, 1, 2))
	}
	for _, version := range []int16{8, 9} {
		fetch(named("version %d", version), version, committed("alone", "kept", 0, 1, 2))
		fetch(named("all, version %d", version), version, committed("alone", ""))
	}
	ten := committed("alone", "", 0)
	ten.Groups[0].Topics = []kmsg.OffsetFetchRequestGroupTopic{{TopicID: id, Partitions: []int32{0, 1, 2}}}
	fetch("version 10", 10, ten)
	ten.Groups[0].Topics[0].TopicID = noSuchID()
	fetch("an unknown id", 10, ten)
	fetch("all, version 10", 10, committed("alone", ""))
	fetch("an unknown topic", 8, committed("alone", "nobody", 0))
	fetch("an unknown partition", 8, committed("alone", "kept", 9))
	fetch("an empty group", 8, committed("", "kept", 0))
	several := committed("alone", "kept", 0)
	several.Groups = append(several.Groups, committed("none-yet", "kept", 0).Groups...)
	several.RequireStable = true
	fetch("two groups", 8, several)
	none := committed("alone", "")
	none.Groups = nil
	fetch("no group", 8, none)
	commit("an unknown topic", 9, outside("alone").commit("nobody", 0, 1))
	commit("an unknown partition", 9, outside("alone").commit("kept", 9, 1))
	commit("partition -1", 9, outside("alone").commit("kept", -1, 1))
	commit("an empty group", 9, outside("").commit("kept", 0, 1))
	commit("a generation of no group", 9, member{group: "none-yet", id: "x", generation: 3}.commit("kept", 0, 1))
	commit("a generation of a group without members", 9, member{group: "alone", id: "x", generation: 3}.commit("kept", 0, 1))
	commit("offset -1", 9, outside("alone").commit("kept", 2, -1))
	change := func(f func(p *kmsg.OffsetCommitRequestTopicPartition)) *kmsg.OffsetCommitRequest {
		r := outside("alone").commit("kept", 2, 5)
		f(&r.Topics[0].Partitions[0])
		return r
	}
	commit("a long note", 9, change(func(p *kmsg.OffsetCommitRequestTopicPartition) {
		p.Metadata = kmsg.StringPtr(strings.Repeat("n", 4096))
	}))
	commit("too long a note", 9, change(func(p *kmsg.OffsetCommitRequestTopicPartition) {
		p.Metadata = kmsg.StringPtr(strings.Repeat("n", 4097))
	}))
	commit("no note", 9, change(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = nil }))
	fetch("after no note", 8, committed("alone", "kept", 2))
	commit("an epoch", 9, change(func(p *kmsg.OffsetCommitRequestTopicPartition) { p.LeaderEpoch = 7 }))
	fetch("after an epoch", 8, committed("alone", "kept", 2))
	mixed := outside("alone").commit("kept", 0, 77)
	mixed.Topics = append(mixed.Topics, outside("alone").commit("nobody", 0, 1).Topics...)
	commit("good and bad", 9, mixed)
	nothing := outside("alone").commit("kept", 0, 1)
	nothing.Topics = nil
	commit("nothing", 9, nothing)
	m := s.enter(member{group: "with-members"})
	s.names.member(m.id)
	commit("of a member", 9, m.commit("kept", 0, 3))
	commit("of nobody to a group with members", 9, outside("with-members").commit("kept", 0, 9))
	fetch("of a group with members", 8, committed("with-members", "kept", 0))
	asMember := committed("with-members", "kept", 0)
	asMember.Groups[0].MemberID, asMember.Groups[0].MemberEpoch = kmsg.StringPtr(m.id), m.generation
	fetch("as a member", 9, asMember)
	asMember.Groups[0].MemberID, asMember.Groups[0].MemberEpoch = kmsg.StringPtr("nobody"), 5
	fetch("as an unknown member", 9, asMember)
	quiet[*kmsg.LeaveGroupResponse](s, 5, m.leave())
	fetch("after all left", 8, committed("with-members", "kept", 0))
	s.topic("kept-short", 1)
	commit("to a topic that goes", 9, outside("alone").commit("kept-short", 0, 1))
	quiet[*kmsg.DeleteTopicsResponse](s, 6, deleting("kept-short"))
	s.awaitNoTopic("kept-short")
	until(s, "fetch after the topic went", 8, committed("alone", "kept-short", 0), func(r *kmsg.OffsetFetchResponse) bool {
		return len(r.Groups) == 1 && len(r.Groups[0].Topics) == 1 && r.Groups[0].Topics[0].Partitions[0].Offset == -1
	})
}

func groupAdmin(s *session) {
	s.topic("adm", 2)
	quiet[*kmsg.OffsetCommitResponse](s, 9, outside("adm-empty").commit("adm", 0, 3))
	quiet[*kmsg.OffsetCommitResponse](s, 9, outside("adm-empty").commit("adm", 1, 4))
	m := s.enter(member{group: "adm-stable"})
	s.names.member(m.id)
	quiet[*kmsg.OffsetCommitResponse](s, 9, m.commit("adm", 0, 3))
	list := func(call string, version int16, states, types []string) {
		r := kmsg.NewPtrListGroupsRequest()
		r.StatesFilter, r.TypesFilter = states, types
		response, err := s.exchange(r, version)
		groups := response.(*kmsg.ListGroupsResponse)
		kept := groups.Groups[:0]
		for _, g := range groups.Groups {
			if strings.HasPrefix(g.Group, "adm-") { // other scripts' groups come and go
				kept = append(kept, g)
			}
		}
		groups.Groups = kept
		s.show("list "+call, groups, err)
	}
	for _, version := range []int16{0, 2, 3, 4, 5} {
		list(named("version %d", version), version, nil, nil)
	}
	list("stable ones", 5, []string{"Stable"}, nil)
	list("empty ones", 5, []string{"empty"}, nil)
	list("of an unknown state", 5, []string{"Asleep"}, nil)
	list("classic ones", 5, nil, []string{"classic"})
	list("consumer ones", 5, nil, []string{"Consumer"})
	list("of an unknown type", 5, nil, []string{"odd"})
	describe := func(call string, version int16, operations bool, groups ...string) {
		r := kmsg.NewPtrDescribeGroupsRequest()
		r.Groups, r.IncludeAuthorizedOperations = groups, operations
		ask[*kmsg.DescribeGroupsResponse](s, "describe "+call, version, r)
	}
	for _, version := range []int16{0, 2, 3, 4, 5, 6} {
		describe(named("version %d", version), version, false, "adm-stable", "adm-empty", "adm-none")
	}
	describe("with authorised operations", 6, true, "adm-stable", "adm-none")
	describe("an empty name", 6, false, "")
	describe("one twice", 6, false, "adm-stable", "adm-stable")
	describe("nothing", 6, false)

	drop := func(call, group, topic string, partitions ...int32) {
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = group
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = topic
		for _, p := range partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
		}
		r.Topics = append(r.Topics, t)
		ask[*kmsg.OffsetDeleteResponse](s, "delete offsets "+call, 0, r)
	}
	drop("of a group", "adm-empty", "adm", 0)
	ask[*kmsg.OffsetFetchResponse](s, "the offsets after", 8, committed("adm-empty", "adm", 0, 1))
	drop("that aren't", "adm-empty", "adm", 0)
	drop("of an unknown topic", "adm-empty", "nobody", 0)
	drop("of an unknown partition", "adm-empty", "adm", 9)
	drop("of an unknown group", "adm-none", "adm", 0)
	drop("of an empty name", "", "adm", 0)
	drop("of a group with members", "adm-stable", "adm", 0)

	remove := func(call string, version int16, groups ...string) {
		r := kmsg.NewPtrDeleteGroupsRequest()
		r.Groups = groups
		ask[*kmsg.DeleteGroupsResponse](s, "delete "+call, version, r)
	}
	remove("a group with members", 2, "adm-stable")
	remove("an unknown group", 2, "adm-none")
	remove("an empty name", 2, "")
	remove("a group", 2, "adm-empty")
	remove("it again", 1, "adm-empty")
	remove("nothing", 2)
	ask[*kmsg.OffsetFetchResponse](s, "the offsets of a deleted group", 8, committed("adm-empty", "adm", 0, 1))
	quiet[*kmsg.LeaveGroupResponse](s, 5, m.leave())
	// Wadi asks for another try while the last member's leaving is being kept.
	two := kmsg.NewPtrDeleteGroupsRequest()
	two.Groups = []string{"adm-stable", "adm-none"}
	until(s, "delete two groups", 2, two, func(r *kmsg.DeleteGroupsResponse) bool {
		return len(r.Groups) == 2 && r.Groups[0].ErrorCode != 15 && r.Groups[1].ErrorCode != 15
	})
	describe("a deleted one", 6, false, "adm-stable")
}

// consumerGroups: the protocol of KIP-848.
func consumerGroups(s *session) {
	s.topic("next", 2)
	s.topic("next-other", 1)
	beat := func(group, member string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
		r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		r.Group, r.MemberID, r.MemberEpoch, r.RebalanceTimeoutMillis = group, member, epoch, -1
		return r
	}
	first := func(group, member string) *kmsg.ConsumerGroupHeartbeatRequest {
		r := beat(group, member, 0)
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = 30_000, []string{"next"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		return r
	}
	send := func(call string, version int16, r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
		return ask[*kmsg.ConsumerGroupHeartbeatResponse](s, call, version, r)
	}
	const a, b = "member-a", "member-b"
	send("join", 1, first("cg", a))
	send("join again", 1, first("cg", a))
	send("heartbeat", 1, beat("cg", a, 2))
	send("heartbeat of an epoch to come", 1, beat("cg", a, 99))
	send("heartbeat of an unknown member", 1, beat("cg", "nobody", 1))
	send("heartbeat of an unknown group", 1, beat("cg-none", a, 1))
	send("join of an empty group", 1, first("", a))
	send("join without a member id", 1, first("cg", ""))
	send("join without a member id, version 0", 0, first("cg-0", ""))
	change := func(f func(r *kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatRequest {
		r := first("cg", b)
		f(r)
		return r
	}
	send("join without topics", 1, change(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }))
	send("join without a rebalance time-out", 1, change(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }))
	send("join that owns something", 1, change(func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: noSuchID(), Partitions: []int32{0}}}
	}))
	send("join with an unknown assignor", 1, change(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("odd") }))
	send("join with a bad expression", 1, change(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("(") }))
	send("join with an empty instance", 1, change(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("") }))
	send("join with an empty rack", 1, change(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = kmsg.StringPtr("") }))
	send("epoch -3", 1, beat("cg", a, -3))
	send("epoch -2 without an instance", 1, beat("cg", a, -2))
	describe := func(call string, version int16, groups ...string) {
		r := kmsg.NewPtrConsumerGroupDescribeRequest()
		r.Groups = groups
		ask[*kmsg.ConsumerGroupDescribeResponse](s, "describe "+call, version, r)
	}
	describe("one", 1, "cg")
	describe("one, version 0", 0, "cg")
	describe("an unknown one", 1, "cg-none")
	describe("an empty name", 1, "")
	old := kmsg.NewPtrDescribeGroupsRequest()
	old.Groups = []string{"cg"}
	ask[*kmsg.DescribeGroupsResponse](s, "describe as a classic group", 6, old)
	commit := func(call string, member_ string, epoch int32) {
		m := member{group: "cg", id: member_, generation: epoch}
		ask[*kmsg.OffsetCommitResponse](s, "commit "+call, 9, m.commit("next", 0, 1))
	}
	commit("of a member", a, 1)
	commit("of an epoch to come", a, 99)
	commit("of an unknown member", "nobody", 1)
	commit("of nobody", "", -1)
	quiet[*kmsg.JoinGroupResponse](s, 9, member{group: "cg-classic"}.join())
	m := s.enter(member{group: "cg-classic"})
	s.names.member(m.id)
	describe("a classic group", 1, "cg-classic")
	send("leave", 1, beat("cg", a, -1))
	send("leave again", 1, beat("cg", a, -1))
	describe("an empty group", 1, "cg")
	static := first("cg-static", "member-s")
	static.InstanceID = kmsg.StringPtr("instance")
	send("join as an instance", 1, static)
	static.MemberID = "member-t"
	send("join as an instance that is there", 1, static)
	away := beat("cg-static", "member-s", -2)
	away.InstanceID = kmsg.StringPtr("instance")
	send("an instance goes for a while", 1, away)
	send("join as an instance that comes back", 1, static)
	send("heartbeat as before it came back", 1, func() *kmsg.ConsumerGroupHeartbeatRequest {
		r := beat("cg-static", "member-s", 1)
		r.InstanceID = kmsg.StringPtr("instance")
		return r
	}())
	regex := first("cg-regex", "member-r")
	regex.SubscribedTopicNames, regex.SubscribedTopicRegex = nil, kmsg.StringPtr("next-.*")
	send("join with an expression", 1, regex)
}
