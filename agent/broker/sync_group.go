package broker

import (
	"bytes"
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/wire"
)

// SyncGroup, versions 0–5: give a member its assignment, once the leader's assignments
// are durable. Protocol type and name are mandatory from 5 on (KIP-559).
//
// Differs from Apache Kafka: a member that is removed while its request waits is
// answered UNKNOWN_MEMBER_ID, instead of never.

// syncProtocolVersionMin is the first version that must name the protocol.
const syncProtocolVersionMin = 5

func (b *Broker) handleSyncGroup(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.SyncGroupRequest)
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	resp.MemberAssignment = []byte{}
	if req.Version >= syncProtocolVersionMin && (req.ProtocolType == nil || req.Protocol == nil) {
		resp.ErrorCode = wire.CodeInconsistentGroupProtocol
		return wire.Answer{Message: resp}
	}
	s := group.Sync{
		Group: req.Group, Generation: req.Generation, MemberID: req.MemberID, Instance: orEmpty(req.InstanceID),
		ProtocolType: req.ProtocolType, Protocol: req.Protocol,
	}
	if len(req.GroupAssignment) > 0 {
		s.Assignments = make(map[string][]byte, len(req.GroupAssignment))
		for i := range req.GroupAssignment {
			a := &req.GroupAssignment[i]
			s.Assignments[a.MemberID] = bytes.Clone(a.MemberAssignment) // it outlives the frame
		}
	}
	synced := b.deps.Groups.Sync(ctx, s)
	if resp.ErrorCode = codeOf(synced.Err); synced.Err == nil {
		resp.ProtocolType, resp.Protocol = &synced.ProtocolType, &synced.Protocol
		resp.MemberAssignment = append(resp.MemberAssignment, synced.Assignment...)
	}
	return wire.Answer{Message: resp}
}
