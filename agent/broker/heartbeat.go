package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/wire"
)

// Heartbeat, versions 0–4: keep a member's session, and tell it of a rebalance.
// No differences from Apache Kafka.
func (b *Broker) handleHeartbeat(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.HeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	resp.ErrorCode = codeOf(b.deps.Groups.Heartbeat(ctx, group.Identity{
		Group: req.Group, Generation: req.Generation, MemberID: req.MemberID, Instance: orEmpty(req.InstanceID),
	}))
	return wire.Answer{Message: resp}
}
