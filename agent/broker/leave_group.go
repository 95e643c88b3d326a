package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/wire"
)

// LeaveGroup, versions 0–5: remove members; several at once, also by their instance
// ids, from 3 on (KIP-345); of a group of the consumer group protocol as well.
// No differences from Apache Kafka.

// leaveSeveralVersionMin is the first version that removes several members.
const leaveSeveralVersionMin = 3

func (b *Broker) handleLeaveGroup(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.LeaveGroupRequest)
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	leavers := []group.Leaver{{MemberID: req.MemberID}}
	if req.Version >= leaveSeveralVersionMin {
		leavers = make([]group.Leaver, len(req.Members))
		for i := range req.Members {
			leavers[i] = group.Leaver{MemberID: req.Members[i].MemberID, Instance: orEmpty(req.Members[i].InstanceID)}
		}
	}
	outcomes, err := b.deps.Groups.Leave(ctx, req.Group, leavers)
	switch {
	case err != nil:
		resp.ErrorCode = codeOf(err)
	case req.Version < leaveSeveralVersionMin:
		resp.ErrorCode = codeOf(outcomes[0])
	default:
		for i, outcome := range outcomes {
			m := kmsg.NewLeaveGroupResponseMember()
			m.MemberID, m.InstanceID, m.ErrorCode = req.Members[i].MemberID, req.Members[i].InstanceID, codeOf(outcome)
			resp.Members = append(resp.Members, m)
		}
	}
	return wire.Answer{Message: resp}
}
