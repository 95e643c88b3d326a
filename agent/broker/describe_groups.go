package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/wire"
)

// DescribeGroups, versions 0–6: groups with their members. One unknown is Dead, and from
// 6 on GROUP_ID_NOT_FOUND.
// No differences from Apache Kafka.

// describeNotFoundVersionMin is the first version in which an unknown group is an error.
const describeNotFoundVersionMin = 6

// groupOperations are those that may be authorized for a group.
const groupOperations = operationRead | operationDelete | operationDescribe | operationDescribeConfigs | operationAlterConfigs

// stateDead is the state of a group that there isn't.
const stateDead = "Dead"

func (b *Broker) handleDescribeGroups(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DescribeGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	confirmed := b.deps.Groups.Confirm(ctx, req.Groups...)
	for _, id := range req.Groups {
		out := kmsg.NewDescribeGroupsResponseGroup()
		out.Group, out.AuthorizedOperations = id, notAsked
		var d group.Description
		err := confirmed
		if err == nil {
			d, err = b.deps.Groups.Describe(ctx, id)
		}
		switch {
		case errors.Is(err, group.ErrNotFound):
			out.State = stateDead
			if req.Version >= describeNotFoundVersionMin {
				out.ErrorCode = codeOf(err)
				out.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Group %s not found.", id))
			}
		case err != nil:
			out.ErrorCode = codeOf(err)
		default:
			out.State, out.ProtocolType, out.Protocol = d.State, d.ProtocolType, d.Protocol
			for i := range d.Members {
				out.Members = append(out.Members, describedMember(&d.Members[i]))
			}
		}
		if req.IncludeAuthorizedOperations && out.ErrorCode == wire.CodeNone {
			out.AuthorizedOperations = groupOperations
		}
		resp.Groups = append(resp.Groups, out)
	}
	return wire.Answer{Message: resp}
}

func describedMember(m *group.DescribedMember) kmsg.DescribeGroupsResponseGroupMember {
	out := kmsg.NewDescribeGroupsResponseGroupMember()
	out.MemberID, out.InstanceID, out.ClientID, out.ClientHost = m.ID, orNull(m.Instance), m.ClientID, m.ClientHost
	out.ProtocolMetadata = append([]byte{}, m.Metadata...)
	out.MemberAssignment = append([]byte{}, m.Assignment...)
	return out
}
