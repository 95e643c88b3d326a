package broker

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/google/uuid"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// ConsumerGroupHeartbeat, versions 0–1 (KIP-848): let a member join, go on or leave, and
// tell it which partitions it may use. Its subscription may be a regular expression (RE2,
// from 1 on, when the client makes the member's id); the broker assigns (uniform, range).
//
// A group of classic consumers goes over with its members as one joins by this protocol, and
// back as the last such member goes (group.consumer.migration.policy).
//
// Differs from Apache Kafka: a member that joins again under its
// id, owning nothing, is let in at any epoch. A regular
// expression is resolved at once, not some heartbeats later. A heartbeat's changes are answered once they
// are in the metastore. A static member that leaves for a while needn't repeat its instance
// id (franz-go doesn't).

// heartbeatClientIDVersionMin is the first version in which clients make their members' ids.
const heartbeatClientIDVersionMin = 1

// Epochs by which members come and go.
const (
	memberEpochJoin        = 0
	memberEpochLeaveStatic = stored.StaticLeft
)

func (b *Broker) handleConsumerGroupHeartbeat(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ConsumerGroupHeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	if req.MemberEpoch == memberEpochLeaveStatic && req.InstanceID == nil {
		if d, err := b.deps.Groups.DescribeConsumer(ctx, req.Group); err == nil {
			if m := d.Member(req.MemberID); m != nil && m.Instance != "" {
				req.InstanceID = &m.Instance
			}
		}
	}
	if err := checkHeartbeat(req, b.deps.Groups.Assignors()); err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeOf(err), messageOf(err)
		return wire.Answer{Message: resp}
	}
	h := group.ConsumerHeartbeat{
		Group: req.Group, MemberID: req.MemberID, Epoch: req.MemberEpoch,
		Instance: orEmpty(req.InstanceID), Rack: orEmpty(req.RackID), Assignor: orEmpty(req.ServerAssignor),
		RebalanceTimeout: req.RebalanceTimeoutMillis, Topics: req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex,
		OwnedSaid: req.Topics != nil, ClientID: r.ClientID, ClientHost: hostOf(r.Conn),
	}
	if h.MemberID == "" {
		h.MemberID = uuid.NewString()
	}
	b.viewCatalog(func(s *catalog.State) {
		for i := range req.Topics {
			if topic := s.ByID(req.Topics[i].TopicID); topic != nil {
				for _, p := range req.Topics[i].Partitions {
					h.Owned = append(h.Owned, stored.Place{Topic: topic.Number, Partition: p})
				}
			}
		}
	})
	a, err := b.deps.Groups.ConsumerHeartbeat(ctx, h)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeOf(err), messageOf(err)
		return wire.Answer{Message: resp}
	}
	resp.MemberID, resp.MemberEpoch = &h.MemberID, a.Epoch
	if a.Epoch >= memberEpochJoin {
		resp.HeartbeatIntervalMillis = int32(b.deps.Groups.HeartbeatInterval(req.Group).Milliseconds())
	}
	if a.Said {
		resp.Assignment = b.heartbeatAssignment(a.Assigned)
	}
	return wire.Answer{Message: resp}
}

func (b *Broker) heartbeatAssignment(places []stored.Place) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	out := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	out.Topics = []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}
	for _, t := range b.topicPartitions(places) {
		topic := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
		topic.TopicID, topic.Partitions = t.TopicID, t.Partitions
		out.Topics = append(out.Topics, topic)
	}
	return &out
}

// topicPartitions are places by their topics' ids and names; those of deleted topics are left out.
func (b *Broker) topicPartitions(places []stored.Place) []kmsg.AssignmentTopicPartition {
	all := []kmsg.AssignmentTopicPartition{}
	b.viewCatalog(func(s *catalog.State) {
		for i, p := range places {
			topic := s.ByNumber(p.Topic)
			if topic == nil {
				continue
			}
			if i == 0 || places[i-1].Topic != p.Topic {
				t := kmsg.NewAssignmentTopicPartition()
				t.TopicID, t.Topic = topic.ID, topic.Name
				all = append(all, t)
			}
			last := &all[len(all)-1]
			last.Partitions = append(last.Partitions, p.Partition)
		}
	})
	return all
}

// checkHeartbeat refuses what Kafka refuses before it looks at the group.
func checkHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest, known []string) error {
	invalid := func(message string) error { return refuse(wire.CodeInvalidRequest, "%s", message) }
	isEmpty := func(s *string) bool { return s != nil && *s == "" }
	switch {
	case req.MemberID == "" && (req.Version >= heartbeatClientIDVersionMin || req.MemberEpoch != memberEpochJoin):
		return invalid("MemberId can't be empty.")
	case req.Group == "":
		return invalid("GroupId can't be empty.")
	case isEmpty(req.InstanceID):
		return invalid("InstanceId can't be empty.")
	case isEmpty(req.RackID):
		return invalid("RackId can't be empty.")
	}
	switch {
	case req.MemberEpoch == memberEpochJoin && req.RebalanceTimeoutMillis == -1:
		return invalid("RebalanceTimeoutMs must be provided in first request.")
	case req.MemberEpoch == memberEpochJoin && (req.Topics == nil || len(req.Topics) > 0):
		return invalid("TopicPartitions must be empty when (re-)joining.")
	case req.MemberEpoch == memberEpochJoin && req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
		return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case req.MemberEpoch == memberEpochLeaveStatic && req.InstanceID == nil:
		return invalid("InstanceId can't be null.")
	case req.MemberEpoch < memberEpochLeaveStatic:
		return invalid("MemberEpoch is invalid.")
	case req.ServerAssignor != nil && !slices.Contains(known, *req.ServerAssignor):
		return refuse(wire.CodeUnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.",
			cmp.Or(*req.ServerAssignor, `""`), strings.Join(known, ", "))
	case req.RebalanceTimeoutMillis < -1:
		return invalid("RebalanceTimeoutMs is invalid.")
	}
	return nil
}
