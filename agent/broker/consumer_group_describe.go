package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// ConsumerGroupDescribe, versions 0–1 (KIP-848; the members' type from 1 on): groups of the
// consumer group protocol with their members, what each has and what it is to have.
// One unknown, or of the classic protocol, is GROUP_ID_NOT_FOUND.
// No differences from Apache Kafka.

// The types of members, by the protocol that they speak.
const (
	memberTypeClassic  = 0
	memberTypeConsumer = 1
)

func (b *Broker) handleConsumerGroupDescribe(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ConsumerGroupDescribeRequest)
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	confirmed := b.deps.Groups.Confirm(ctx, req.Groups...)
	for _, id := range req.Groups {
		out := kmsg.NewConsumerGroupDescribeResponseGroup()
		out.Group = id
		var d group.ConsumerDescription
		err := confirmed
		if err == nil {
			d, err = b.deps.Groups.DescribeConsumer(ctx, id)
		}
		switch {
		case id == "":
			out.ErrorCode = wire.CodeInvalidGroupID
		case errors.Is(err, group.ErrNotFound):
			out.ErrorCode = codeOf(err)
			out.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Group %s not found.", id))
		case err != nil:
			out.ErrorCode = codeOf(err)
		default:
			out.State, out.Epoch, out.AssignmentEpoch, out.AssignorName = d.State, d.Epoch, d.TargetEpoch, d.Assignor
			for _, m := range d.Members {
				out.Members = append(out.Members, b.describedConsumer(m))
			}
			if req.IncludeAuthorizedOperations {
				out.AuthorizedOperations = groupOperations
			}
		}
		resp.Groups = append(resp.Groups, out)
	}
	return wire.Answer{Message: resp}
}

func (b *Broker) describedConsumer(m *stored.ConsumerMember) kmsg.ConsumerGroupDescribeResponseGroupMember {
	out := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	out.MemberID, out.InstanceID, out.RackID = m.ID, orNull(m.Instance), orNull(m.Rack)
	out.MemberEpoch, out.ClientID, out.ClientHost = m.Epoch, m.ClientID, m.ClientHost
	out.SubscribedTopics, out.SubscribedTopicRegex = m.Topics, &m.Regex // empty, never null
	out.Assignment.TopicPartitions = b.topicPartitions(m.Assigned)
	out.TargetAssignment.TopicPartitions = b.topicPartitions(m.Target)
	out.MemberType = memberTypeConsumer
	if m.Classic != nil {
		out.MemberType = memberTypeClassic
	}
	return out
}
