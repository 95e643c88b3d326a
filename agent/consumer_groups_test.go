package agent

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// serverSide are the options of a member of the consumer group protocol.
func serverSide(opts ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}, opts...)
}

// describeConsumer asks for group g by the consumer group protocol.
func (s *started) describeConsumer() kmsg.ConsumerGroupDescribeResponseGroup {
	s.t.Helper()
	req := kmsg.NewConsumerGroupDescribeRequest()
	req.Groups = []string{"g"}
	resp, err := req.RequestWith(s.t.Context(), s.client())
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.Groups[0]
}

// share tells whether the members own all of n partitions, each one's, evenly.
func share(n int32, members ...*consumer) bool {
	var owned []int32
	for _, m := range members {
		owns := m.owns()
		if len(owns) < int(n)/len(members) || len(owns) > (int(n)+len(members)-1)/len(members) {
			return false
		}
		owned = append(owned, owns...)
	}
	slices.Sort(owned)
	return slices.Equal(owned, all(n))
}

// TestConsumerGroups_JoinLeaveResume: members of the consumer group protocol share a
// topic, and whoever comes after goes on where they have committed.
func TestConsumerGroups_JoinLeaveResume(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{
		"uniform": serverSide(),
		"range":   serverSide(kgo.Balancers(kgo.RangeBalancer())),
		"regex":   serverSide(kgo.ConsumeRegex(), kgo.ConsumeTopics("^t$")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, nil)
				s.create("t", 6)
				s.produce(6, "1", "2", "3", "4", "5", "6")
				a := s.member(opts...)
				time.Sleep(30 * time.Second)
				if !share(6, a) || len(a.values()) != 6 {
					t.Fatalf("one member owns %v, has read %v", a.owns(), a.values())
				}
				b := s.member(opts...)
				c := s.member(opts...)
				time.Sleep(time.Minute)
				if !share(6, a, b, c) {
					t.Fatalf("three members own %v, %v and %v", a.owns(), b.owns(), c.owns())
				}
				if g := s.describeConsumer(); g.ErrorCode != 0 || g.State != "Stable" || len(g.Members) != 3 || g.Epoch != g.AssignmentEpoch {
					t.Errorf("%+v", g)
				}
				if err := a.CommitUncommittedOffsets(t.Context()); err != nil {
					t.Error(err)
				}
				a.leave()
				time.Sleep(time.Minute)
				if !share(6, b, c) {
					t.Fatalf("two members own %v and %v", b.owns(), c.owns())
				}
				s.produce(6, "7", "8", "9", "10", "11", "12")
				time.Sleep(30 * time.Second)
				for _, m := range []*consumer{b, c} {
					if err := m.CommitUncommittedOffsets(t.Context()); err != nil {
						t.Error(err)
					}
					m.leave()
				}
				if g := s.describeConsumer(); g.State != "Empty" {
					t.Errorf("%+v", g)
				}
				s.produce(6, "13")
				d := s.member(opts...)
				time.Sleep(30 * time.Second)
				if got := d.values(); !slices.Equal(got, []string{"13"}) {
					t.Errorf("read again: %v", got)
				}
				if joins := a.joins.Load() + b.joins.Load() + c.joins.Load() + d.joins.Load(); joins != 0 {
					t.Errorf("%d JoinGroups", joins)
				}
			})
		})
	}
}

// TestConsumerGroups_ATermThatIsLost: the next term's coordinator goes on with the members
// as they are, at the same epoch.
func TestConsumerGroups_ATermThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 4)
		a, b := s.member(serverSide()...), s.member(serverSide()...)
		time.Sleep(time.Minute)
		before := s.describeConsumer()
		if !share(4, a, b) || len(before.Members) != 2 {
			t.Fatalf("they own %v and %v", a.owns(), b.owns())
		}
		for range 3 {
			if _, err := s.process.store.EndTerm(t.Context(), s.serving.Load().info.Term, true); err != nil {
				t.Fatal(err)
			}
			s.produce(4, "1", "2", "3", "4")
			time.Sleep(30 * time.Second)
			for _, m := range []*consumer{a, b} {
				if err := m.CommitUncommittedOffsets(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
		after := s.describeConsumer()
		if !share(4, a, b) || after.Epoch != before.Epoch || len(a.values())+len(b.values()) != 12 {
			t.Errorf("epoch %d after %d; they own %v and %v, and have read %v and %v", after.Epoch, before.Epoch, a.owns(), b.owns(), a.values(), b.values())
		}
	})
}

// beat sends a heartbeat of a member of group g.
func (s *started) beat(c *kgo.Client, member string, epoch int32, change func(r *kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatResponse {
	s.t.Helper()
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch = "g", member, epoch
	if epoch == 0 {
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = 20_000, []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	if change != nil {
		change(r)
	}
	resp, err := r.RequestWith(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

// commitAt commits for a member at an epoch, and returns the code.
func (s *started) commitAt(c *kgo.Client, member string, epoch int32) error {
	s.t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation = "g", member, epoch
	metadata, err := kadm.NewClient(c).ListTopics(s.t.Context(), "t")
	if err != nil {
		s.t.Fatal(err)
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = "t", metadata["t"].ID, []kmsg.OffsetCommitRequestTopicPartition{p}
	r.Topics = append(r.Topics, topic)
	resp, err := r.RequestWith(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// TestConsumerGroups_AMemberWordByWord: codes and epochs of heartbeats and commits; a
// static member that comes back; one that doesn't give up what it should.
func TestConsumerGroups_AMemberWordByWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 4)
		c := s.client()
		code := func(what string, code int16, want error) {
			t.Helper()
			if got := kerr.ErrorForCode(code); got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		static := func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("i") }
		code("unknown group", s.beat(c, "a", 1, nil).ErrorCode, kerr.GroupIDNotFound)
		code("bad regex", s.beat(c, "a", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("(") }).ErrorCode, kerr.InvalidRegularExpression)
		code("bad assignor", s.beat(c, "a", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("best") }).ErrorCode, kerr.UnsupportedAssignor)
		code("no subscription", s.beat(c, "a", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }).ErrorCode, kerr.InvalidRequest)
		code("still unknown", s.beat(c, "a", 1, nil).ErrorCode, kerr.GroupIDNotFound)

		joined := s.beat(c, "a", 0, static)
		if joined.ErrorCode != 0 || joined.MemberEpoch != 1 || joined.HeartbeatIntervalMillis != 5000 || len(joined.Assignment.Topics[0].Partitions) != 4 {
			t.Fatalf("%+v", joined)
		}
		code("unknown member", s.beat(c, "x", 1, nil).ErrorCode, kerr.UnknownMemberID)
		code("ahead", s.beat(c, "a", 2, static).ErrorCode, kerr.FencedMemberEpoch)
		if again := s.beat(c, "a", 1, static); again.ErrorCode != 0 || again.Assignment != nil || again.MemberEpoch != 1 {
			t.Errorf("%+v", again)
		}
		code("instance in use", s.beat(c, "b", 0, static).ErrorCode, kerr.UnreleasedInstanceID)
		if err := s.commitAt(c, "a", 1); err != nil {
			t.Error(err)
		}
		if err := s.commitAt(c, "a", 0); err != kerr.StaleMemberEpoch {
			t.Error(err)
		}
		if err := s.commitAt(c, "x", 1); err != kerr.UnknownMemberID {
			t.Error(err)
		}
		if err := s.commitAt(c, "", -1); err != kerr.UnknownMemberID {
			t.Error(err)
		}

		if left := s.beat(c, "a", -2, static); left.ErrorCode != 0 || left.MemberEpoch != -2 {
			t.Errorf("%+v", left)
		}
		if back := s.beat(c, "b", 0, static); back.ErrorCode != 0 || back.MemberEpoch != 1 || len(back.Assignment.Topics[0].Partitions) != 4 {
			t.Errorf("%+v", back)
		}
		if left := s.beat(c, "b", -2, nil); left.ErrorCode != 0 || left.MemberEpoch != -2 {
			t.Errorf("without its instance id: %+v", left)
		}
		if back := s.beat(c, "b", 0, static); back.ErrorCode != 0 || back.MemberEpoch != 1 {
			t.Errorf("%+v", back)
		}
		code("another has the instance", s.beat(c, "a", 1, static).ErrorCode, kerr.FencedInstanceID)

		// One more comes, and the first doesn't give up its half: it is removed after its time-out.
		if second := s.beat(c, "z", 0, nil); second.ErrorCode != 0 || len(second.Assignment.Topics) != 0 {
			t.Errorf("%+v", second)
		}
		for range 5 {
			first := s.beat(c, "b", 1, static)
			if z := s.beat(c, "z", 2, nil); first.ErrorCode != 0 || z.ErrorCode != 0 || z.Assignment != nil {
				t.Fatalf("%+v, %+v", first, z)
			}
			time.Sleep(3 * time.Second)
		}
		if g := s.describeConsumer(); g.State != "Reconciling" {
			t.Errorf("%+v", g)
		}
		time.Sleep(6 * time.Second)
		code("removed", s.beat(c, "b", 1, static).ErrorCode, kerr.UnknownMemberID)
		if z := s.beat(c, "z", 2, nil); z.ErrorCode != 0 || z.MemberEpoch != 3 || z.Assignment == nil || len(z.Assignment.Topics[0].Partitions) != 4 {
			t.Errorf("%+v", z)
		}
		code("who is not static", s.beat(c, "z", -2, nil).ErrorCode, kerr.InvalidRequest)
		code("leave", s.beat(c, "z", -1, nil).ErrorCode, nil)
		code("gone", s.beat(c, "z", 3, nil).ErrorCode, kerr.UnknownMemberID)
	})
}

// TestConsumerGroups_AMemberThatIsLost is removed when its session expires; so does a
// topic that grows reach the members.
func TestConsumerGroups_AMemberThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 4)
		cut, sever := context.WithCancel(t.Context())
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if cut.Err() != nil {
				return nil, cut.Err()
			}
			conn, err := s.pipes.dial(ctx, network, address)
			if err == nil {
				context.AfterFunc(cut, func() { conn.Close() })
			}
			return conn, err
		}
		a, b := s.member(serverSide()...), s.member(serverSide(kgo.Dialer(dial))...)
		time.Sleep(time.Minute)
		if !share(4, a, b) {
			t.Fatalf("they own %v and %v", a.owns(), b.owns())
		}
		sever()
		time.Sleep(30 * time.Second)
		if len(a.owns()) != 2 {
			t.Errorf("within the session the other one owns %v", a.owns())
		}
		time.Sleep(time.Minute)
		if !share(4, a) {
			t.Errorf("the one that is left owns %v", a.owns())
		}
		if _, err := kadm.NewClient(s.client()).UpdatePartitions(t.Context(), 7, "t"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if !share(7, a) {
			t.Errorf("of a topic that has grown it owns %v", a.owns())
		}
	})
}

// TestConsumerGroups_AndTheClassicProtocol: without online migration a classic group takes
// no member of the other protocol, and neither a classic member that is no consumer; an empty group
// goes over, with its offsets.
func TestConsumerGroups_AndTheClassicProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Settings = map[string]string{"group.consumer.migration.policy": "disabled"} })
		s.create("t", 2)
		s.produce(2, "1", "2")
		for i, opts := range [][]kgo.Opt{serverSide(), nil, serverSide()} {
			m := s.member(opts...)
			time.Sleep(30 * time.Second)
			if !share(2, m) {
				t.Fatalf("member %d owns %v", i, m.owns())
			}
			classic := kmsg.NewJoinGroupRequest()
			classic.Group, classic.ProtocolType, classic.SessionTimeoutMillis, classic.RebalanceTimeoutMillis = "g", "connect", 10_000, 10_000
			classic.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "none", Metadata: []byte{}}}
			joined, err := classic.RequestWith(t.Context(), s.client())
			if err != nil || opts != nil && kerr.ErrorForCode(joined.ErrorCode) != kerr.InconsistentGroupProtocol {
				t.Errorf("a classic member: %+v, %v", joined, err)
			}
			beat := kmsg.NewConsumerGroupHeartbeatRequest()
			beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis = "g", "other", 1000
			beat.SubscribedTopicNames, beat.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			if opts == nil {
				r, err := beat.RequestWith(t.Context(), s.client())
				if err != nil || kerr.ErrorForCode(r.ErrorCode) != kerr.GroupIDNotFound {
					t.Errorf("a consumer to a classic group: %+v, %v", r, err)
				}
			}
			listed, err := kadm.NewClient(s.client()).ListGroups(t.Context())
			if err != nil || listed["g"].State != "Stable" {
				t.Errorf("%+v, %v", listed, err)
			}
			if i == 0 && len(m.values()) != 2 || i > 0 && len(m.values()) != 0 {
				t.Errorf("member %d has read %v", i, m.values())
			}
			if i == 0 {
				if err := m.CommitUncommittedOffsets(t.Context()); err != nil {
					t.Error(err)
				}
			}
			m.leave()
		}
		if deleted, err := kadm.NewClient(s.client()).DeleteGroup(t.Context(), "g"); err != nil || deleted.Err != nil {
			t.Error(deleted, err)
		}
		if g := s.describeConsumer(); kerr.ErrorForCode(g.ErrorCode) != kerr.GroupIDNotFound {
			t.Errorf("%+v", g)
		}
	})
}
