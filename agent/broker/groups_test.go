package broker

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// groupClient speaks as one member of group g, in chosen versions.
type groupClient struct {
	a                         *agent
	join, sync, commit, fetch int16
	id                        string
	generation                int32
}

func (g *groupClient) joinGroup(t *testing.T) *kmsg.JoinGroupResponse {
	t.Helper()
	for {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = g.join, "g", 10_000, 10_000
		req.MemberID, req.ProtocolType = g.id, "consumer"
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("subscription")}}
		resp := call[*kmsg.JoinGroupResponse](g.a, req)
		g.id, g.generation = resp.MemberID, resp.Generation
		if resp.ErrorCode != wire.CodeMemberIDRequired {
			return resp
		}
		if g.join < 4 {
			t.Fatal("an id is required before version 4")
		}
	}
}

func (g *groupClient) syncGroup() *kmsg.SyncGroupResponse {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.Generation, req.MemberID = g.sync, "g", g.generation, g.id
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: g.id, MemberAssignment: []byte("assignment")}}
	return call[*kmsg.SyncGroupResponse](g.a, req)
}

func (g *groupClient) leaveGroup(version int16) *kmsg.LeaveGroupResponse {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group, req.MemberID = version, "g", g.id
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: g.id}}
	return call[*kmsg.LeaveGroupResponse](g.a, req)
}

func (g *groupClient) commitOffset(id [16]byte, partition int32, offset int64, metadata string) int16 {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation, req.MemberID = g.commit, "g", g.generation, g.id
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 0, &metadata
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = "t", id, []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = []kmsg.OffsetCommitRequestTopic{topic}
	return call[*kmsg.OffsetCommitResponse](g.a, req).Topics[0].Partitions[0].ErrorCode
}

// fetched is what OffsetFetch says of partitions 0 and 1 of topic t, or of all topics.
func (g *groupClient) fetched(group string, id [16]byte, all bool) (offsets []int64, metadata []string, code int16) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group, req.RequireStable = g.fetch, group, true
	in := kmsg.NewOffsetFetchRequestGroup()
	in.Group = group
	if !all {
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
		in.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: id, Partitions: []int32{0, 1}}}
	}
	req.Groups = []kmsg.OffsetFetchRequestGroup{in}
	resp := call[*kmsg.OffsetFetchResponse](g.a, req)
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			offsets, metadata, code = append(offsets, p.Offset), append(metadata, *p.Metadata), p.ErrorCode
		}
	}
	for _, out := range resp.Groups {
		for _, topic := range out.Topics {
			for _, p := range topic.Partitions {
				offsets, metadata, code = append(offsets, p.Offset), append(metadata, *p.Metadata), p.ErrorCode
			}
		}
	}
	return offsets, metadata, code
}

// TestGroups_EveryVersion: a member's life, in every version of its requests.
func TestGroups_EveryVersion(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 2, nil)
	for v := range int16(11) {
		g := &groupClient{a: a, join: min(v, 9), sync: min(v, 5), commit: max(v, 2), fetch: max(v, 1), generation: -1}
		j := g.joinGroup(t)
		if j.ErrorCode != 0 || *j.Protocol != "range" || j.LeaderID != g.id || len(j.Members) != 1 || string(j.Members[0].ProtocolMetadata) != "subscription" {
			t.Fatalf("version %d: %+v", v, j)
		}
		if s := g.syncGroup(); s.ErrorCode != 0 || string(s.MemberAssignment) != "assignment" {
			t.Fatalf("version %d: %+v", v, s)
		}
		heartbeat := kmsg.NewPtrHeartbeatRequest()
		heartbeat.Version, heartbeat.Group, heartbeat.Generation, heartbeat.MemberID = min(v, 4), "g", g.generation, g.id
		if code := call[*kmsg.HeartbeatResponse](a, heartbeat).ErrorCode; code != 0 {
			t.Errorf("version %d: heartbeat: %d", v, code)
		}
		if code := g.commitOffset(id, 0, int64(100+v), "m"); code != 0 {
			t.Errorf("version %d: commit: %d", v, code)
		}
		for _, all := range []bool{false, true} {
			if all && g.fetch < 2 {
				continue
			}
			offsets, metadata, code := g.fetched("g", id, all)
			want, words := []int64{int64(100 + v), -1}, []string{"m", ""}
			if all {
				want, words = want[:1], words[:1]
			}
			if code != 0 || !slices.Equal(offsets, want) || !slices.Equal(metadata, words) {
				t.Errorf("version %d, all %v: %v, %q, %d", v, all, offsets, metadata, code)
			}
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Version, describe.Groups, describe.IncludeAuthorizedOperations = min(v, 6), []string{"g", "none"}, true
		d := call[*kmsg.DescribeGroupsResponse](a, describe).Groups
		if d[0].State != "Stable" || d[0].ProtocolType != "consumer" || d[0].Protocol != "range" || len(d[0].Members) != 1 || string(d[0].Members[0].MemberAssignment) != "assignment" {
			t.Errorf("version %d: %+v", v, d[0])
		}
		if notFound := v >= 6; d[1].State != "Dead" || (d[1].ErrorCode == wire.CodeGroupIDNotFound) != notFound {
			t.Errorf("version %d: %+v", v, d[1])
		}
		list := kmsg.NewPtrListGroupsRequest()
		list.Version, list.StatesFilter, list.TypesFilter = min(v, 5), []string{"stable"}, []string{"Classic"}
		if l := call[*kmsg.ListGroupsResponse](a, list); len(l.Groups) != 1 || l.Groups[0].Group != "g" || l.Groups[0].ProtocolType != "consumer" {
			t.Errorf("version %d: %+v", v, l)
		}
		if l := g.leaveGroup(min(v, 5)); l.ErrorCode != 0 || min(v, 5) >= 3 && l.Members[0].ErrorCode != 0 {
			t.Errorf("version %d: %+v", v, l)
		}
	}
}

// TestGroups_Refusals: the codes that are the broker's own to give.
func TestGroups_Refusals(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 2, nil)
	nobody := &groupClient{a: a, commit: 9, fetch: 9, generation: -1}
	byID := &groupClient{a: a, commit: 10, fetch: 10, generation: -1}
	long := string(make([]byte, 4097))
	for name, row := range map[string]struct{ got, want int16 }{
		"nobody's commit":             {nobody.commitOffset(id, 0, 1, ""), 0},
		"metadata too long":           {nobody.commitOffset(id, 0, 2, long), wire.CodeOffsetMetadataTooLarge},
		"metadata of the longest":     {nobody.commitOffset(id, 1, 2, long[1:]), 0},
		"a partition unknown":         {nobody.commitOffset(id, 2, 1, ""), wire.CodeUnknownTopicOrPartition},
		"a partition below 0":         {nobody.commitOffset(id, -1, 1, ""), wire.CodeUnknownTopicOrPartition},
		"a topic id unknown":          {byID.commitOffset([16]byte{9}, 0, 1, ""), wire.CodeUnknownTopicID},
		"a generation of before":      {(&groupClient{a: a, commit: 9, generation: 4, id: "x"}).commitOffset(id, 0, 1, ""), wire.CodeUnknownMemberID},
		"a sync that names no method": {call[*kmsg.SyncGroupResponse](a, &kmsg.SyncGroupRequest{Version: 5, Group: "g"}).ErrorCode, wire.CodeInconsistentGroupProtocol},
		"a sync of no group":          {call[*kmsg.SyncGroupResponse](a, &kmsg.SyncGroupRequest{Version: 4}).ErrorCode, wire.CodeInvalidGroupID},
	} {
		if row.got != row.want {
			t.Errorf("%s: %d, want %d", name, row.got, row.want)
		}
	}
	if offsets, _, code := byID.fetched("g", [16]byte{9}, false); code != wire.CodeUnknownTopicID || !slices.Equal(offsets, []int64{-1, -1}) {
		t.Errorf("fetched by an id unknown: %v, %d", offsets, code)
	}
	if offsets, _, code := nobody.fetched("unknown", id, false); code != 0 || !slices.Equal(offsets, []int64{-1, -1}) {
		t.Errorf("fetched of a group unknown: %v, %d", offsets, code)
	}
	if offsets, _, code := nobody.fetched("unknown", id, true); code != 0 || len(offsets) != 0 {
		t.Errorf("all of a group unknown: %v, %d", offsets, code)
	}
}

// TestGroups_TopicDeletedAndMadeAgain: the new topic has none of the old one's offsets.
func TestGroups_TopicDeletedAndMadeAgain(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 2, nil)
	g := &groupClient{a: a, commit: 9, fetch: 9, generation: -1}
	if code := g.commitOffset(id, 0, 7, ""); code != 0 {
		t.Fatal(code)
	}
	deletion := kmsg.NewPtrDeleteTopicsRequest()
	deletion.Version, deletion.TimeoutMillis = 6, 30_000
	deletion.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("t")}}
	if r := call[*kmsg.DeleteTopicsResponse](a, deletion); r.Topics[0].ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	for _, remake := range []bool{false, true} {
		if remake {
			id = a.create("t", 2, nil)
		}
		if offsets, _, code := g.fetched("g", id, false); code != 0 || !slices.Equal(offsets, []int64{-1, -1}) {
			t.Errorf("made again %v: %v, %d", remake, offsets, code)
		}
		if offsets, _, code := g.fetched("g", id, true); code != 0 || len(offsets) != 0 {
			t.Errorf("made again %v: all: %v, %d", remake, offsets, code)
		}
	}
}

// TestGroups_Deletions: groups and offsets, each named once or twice.
func TestGroups_Deletions(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 2, nil)
	g := &groupClient{a: a, commit: 9, fetch: 9, generation: -1}
	if code := g.commitOffset(id, 0, 7, ""); code != 0 {
		t.Fatal(code)
	}
	offsets := kmsg.NewPtrOffsetDeleteRequest()
	offsets.Group = "g"
	offsets.Topics = []kmsg.OffsetDeleteRequestTopic{
		{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 5}}},
		{Topic: "u", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
	}
	o := call[*kmsg.OffsetDeleteResponse](a, offsets)
	if o.ErrorCode != 0 || o.Topics[0].Partitions[0].ErrorCode != 0 || o.Topics[0].Partitions[1].ErrorCode != wire.CodeUnknownTopicOrPartition || o.Topics[1].Partitions[0].ErrorCode != wire.CodeUnknownTopicOrPartition {
		t.Errorf("%+v", o)
	}
	if got, _, _ := g.fetched("g", id, false); got[0] != -1 {
		t.Errorf("%v", got)
	}
	offsets.Group = "none"
	if o := call[*kmsg.OffsetDeleteResponse](a, offsets); o.ErrorCode != wire.CodeGroupIDNotFound {
		t.Errorf("%+v", o)
	}
	groups := kmsg.NewPtrDeleteGroupsRequest()
	groups.Version, groups.Groups = 2, []string{"g", "none", "g"}
	d := call[*kmsg.DeleteGroupsResponse](a, groups)
	if len(d.Groups) != 2 || d.Groups[0].ErrorCode != 0 || d.Groups[1].ErrorCode != wire.CodeGroupIDNotFound {
		t.Errorf("%+v", d)
	}
}
