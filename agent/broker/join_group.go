package broker

import (
	"bytes"
	"context"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/wire"
)

// JoinGroup, versions 0–9: take a member into a group, and answer when the next
// generation is complete. Later requests of the connection wait meanwhile, as with
// Apache Kafka. KIP-394 (an id first, from 4 on), KIP-345 (static members, from 5 on), KIP-814 (from 9 on).
//
// A member of a group of the consumer group protocol is answered at once, with no leader: the
// coordinator assigns, and its epoch there is the member's generation (KIP-848).
//
// Differs from Apache Kafka: of protocols with as many votes the one that the oldest
// member prefers is chosen. A member that asks again by another connection has its
// earlier request answered with REBALANCE_IN_PROGRESS, instead of never. A subscription that can't
// be read is INCONSISTENT_GROUP_PROTOCOL in such a group, instead of UNKNOWN_SERVER_ERROR.

// The first versions of JoinGroup in which something is so.
const (
	joinNeedsIDVersionMin       = 4
	joinProtocolNullVersionMin  = 7
	joinSkipsAssignmentVersions = 9
)

func (b *Broker) handleJoinGroup(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.JoinGroupRequest)
	rebalance := req.RebalanceTimeoutMillis
	if req.Version == 0 {
		rebalance = req.SessionTimeoutMillis
	}
	j := group.Join{
		Group:            req.Group,
		MemberID:         req.MemberID,
		Instance:         orEmpty(req.InstanceID),
		ClientID:         r.ClientID,
		ClientHost:       hostOf(r.Conn),
		SessionTimeout:   time.Duration(req.SessionTimeoutMillis) * time.Millisecond,
		RebalanceTimeout: time.Duration(rebalance) * time.Millisecond,
		ProtocolType:     req.ProtocolType,
		NeedsID:          req.Version >= joinNeedsIDVersionMin,
		SkipsAssignment:  req.Version >= joinSkipsAssignmentVersions,
	}
	for i := range req.Protocols {
		p := &req.Protocols[i]
		j.Protocols = append(j.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)}) // it outlives the frame
	}
	joined := b.deps.Groups.Join(ctx, j)
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	resp.ErrorCode = codeOf(joined.Err)
	resp.Generation, resp.MemberID, resp.LeaderID, resp.SkipAssignment = joined.Generation, joined.MemberID, joined.Leader, joined.SkipAssignment
	if joined.Err == nil || req.Version < joinProtocolNullVersionMin {
		resp.Protocol, resp.ProtocolType = &joined.Protocol, &joined.ProtocolType
	}
	for i := range joined.Members {
		m := &joined.Members[i]
		out := kmsg.NewJoinGroupResponseMember()
		out.MemberID, out.InstanceID, out.ProtocolMetadata = m.ID, orNull(m.Instance), m.Metadata
		resp.Members = append(resp.Members, out)
	}
	return wire.Answer{Message: resp}
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// hostOf is the client's address as Java prints it.
func hostOf(c *wire.Conn) string {
	address := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	return "/" + address
}
