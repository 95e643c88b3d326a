package main

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// assignment is what a classic leader assigns.
func assignment(topic string, partitions ...int32) []byte {
	m := kmsg.NewConsumerMemberAssignment()
	m.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: topic, Partitions: partitions}}
	return m.AppendTo(nil)
}

// mixedGroups: members of both protocols in one group, and an administrator that
// removes members.
func mixedGroups(s *session) {
	s.topic("mixed", 2)
	beat := func(group, id string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
		r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		r.Group, r.MemberID, r.MemberEpoch, r.RebalanceTimeoutMillis = group, id, epoch, -1
		if epoch == 0 {
			r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = 30_000, []string{"mixed"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}
		return r
	}
	send := func(call string, r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
		return ask[*kmsg.ConsumerGroupHeartbeatResponse](s, call, 1, r)
	}
	classic := func(m member) *kmsg.JoinGroupRequest {
		r := m.join()
		r.Protocols[0].Metadata = subscription("mixed")
		return r
	}
	describe := func(call, group string) {
		r := kmsg.NewPtrConsumerGroupDescribeRequest()
		r.Groups = []string{group}
		ask[*kmsg.ConsumerGroupDescribeResponse](s, "describe "+call, 1, r)
		old := kmsg.NewPtrDescribeGroupsRequest()
		old.Groups = r.Groups
		ask[*kmsg.DescribeGroupsResponse](s, "describe as a classic group "+call, 6, old)
	}
	remove := func(call string, version int16, group string, leaving ...kmsg.LeaveGroupRequestMember) {
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Group, r.Members = group, leaving
		ask[*kmsg.LeaveGroupResponse](s, "an administrator removes "+call, version, r)
	}

	// A classic member comes into a consumer group.
	const a = "member-a"
	send("the first, by the consumer protocol", beat("mixed", a, 0))
	m := member{group: "mixed"}
	m.id = ask[*kmsg.JoinGroupResponse](s, "a classic member's id", 9, classic(m)).MemberID
	s.names.member(m.id)
	m.generation = ask[*kmsg.JoinGroupResponse](s, "a classic member", 9, classic(m)).Generation
	ask[*kmsg.SyncGroupResponse](s, "its sync", 5, m.sync())
	ask[*kmsg.HeartbeatResponse](s, "its heartbeat", 4, m.heartbeat())
	describe("both", "mixed")
	ask[*kmsg.OffsetCommitResponse](s, "its commit", 9, m.commit("mixed", 0, 1))
	old := m
	old.generation--
	ask[*kmsg.OffsetCommitResponse](s, "its commit as before", 9, old.commit("mixed", 0, 1))
	ask[*kmsg.HeartbeatResponse](s, "its heartbeat as before", 4, old.heartbeat())
	ask[*kmsg.HeartbeatResponse](s, "a heartbeat of the other by the classic protocol", 4, member{group: "mixed", id: a, generation: 1}.heartbeat())
	ask[*kmsg.SyncGroupResponse](s, "a sync of the other by the classic protocol", 5, member{group: "mixed", id: a, generation: 1}.sync())
	ask[*kmsg.LeaveGroupResponse](s, "a leave of the other by the classic protocol", 5, member{group: "mixed", id: a}.leave())
	bad := classic(member{group: "mixed"})
	bad.ProtocolType = "connect"
	ask[*kmsg.JoinGroupResponse](s, "a worker of Connect", 9, bad)
	bad = classic(member{group: "mixed"})
	bad.Protocols[0].Metadata = []byte("nonsense")
	bad.MemberID = ask[*kmsg.JoinGroupResponse](s, "a classic member with odd metadata, its id", 9, bad).MemberID
	ask[*kmsg.JoinGroupResponse](s, "a classic member with odd metadata", 9, bad)

	// An administrator, who leaves in the name of others.
	const d = "member-d"
	send("another, by the consumer protocol", beat("removed", a, 0))
	static := beat("removed", d, 0)
	static.InstanceID = kmsg.StringPtr("instance")
	send("an instance, by the consumer protocol", static)
	member_ := func(id, instance string) kmsg.LeaveGroupRequestMember {
		l := kmsg.NewLeaveGroupRequestMember()
		l.MemberID = id
		if instance != "" {
			l.InstanceID = kmsg.StringPtr(instance)
		}
		return l
	}
	remove("nobody", 5, "removed")
	remove("an unknown member and an unknown instance", 5, "removed", member_("nobody", ""), member_("", "nobody"))
	remove("an instance of another member", 5, "removed", member_(a, "instance"))
	remove("a member by its id", 5, "removed", member_(a, ""))
	remove("an instance, version 3", 3, "removed", member_("", "instance"))
	describe("after all were removed", "removed")
	remove("a member of no group", 5, "removed-none", member_(a, ""))

	// The group goes over between the protocols.
	up := member{group: "up"}
	up.id = quiet[*kmsg.JoinGroupResponse](s, 9, classic(up)).MemberID
	s.names.member(up.id)
	up.generation = quiet[*kmsg.JoinGroupResponse](s, 9, classic(up)).Generation
	assigned := up.sync(up.id)
	assigned.GroupAssignment[0].MemberAssignment = assignment("mixed", 0, 1)
	quiet[*kmsg.SyncGroupResponse](s, 5, assigned)
	send("a member of the consumer protocol joins a classic group", beat("up", a, 0))
	describe("after it went over", "up")
	odd := s.enter(member{group: "up-odd"})
	s.names.member(odd.id)
	send("a member of the consumer protocol joins a group with an odd assignment", beat("up-odd", a, 0))
}
