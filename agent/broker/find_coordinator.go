package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// FindCoordinator, versions 0–6 (several keys from 4 on).
//
// This agent is the coordinator of any group and any transactional id.
//
// What differs from Apache Kafka: a group's coordinator is there at once, since no topic
// of offsets must be created first. Transactions are not served yet. Share coordinators (type 2) get INVALID_REQUEST, as from a
// broker without share groups.

// The types of coordinators.
const (
	coordinatorGroup       = 0
	coordinatorTransaction = 1
)

// coordinatorKeysVersionMin is the first version that asks for several keys.
const coordinatorKeysVersionMin = 4

func (b *Broker) handleFindCoordinator(_ context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.FindCoordinatorRequest)
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if req.Version < coordinatorKeysVersionMin {
		keys = []string{req.CoordinatorKey}
	}
	coordinators := make([]kmsg.FindCoordinatorResponseCoordinator, len(keys))
	for i, key := range keys {
		c := &coordinators[i]
		c.Default()
		c.Key, c.NodeID, c.Host, c.Port = key, b.cfg.NodeID, b.cfg.Host, b.cfg.Port
		if req.CoordinatorType != coordinatorGroup && req.CoordinatorType != coordinatorTransaction {
			c.NodeID, c.Host, c.Port = -1, "", -1
			c.ErrorCode = wire.CodeInvalidRequest
			c.ErrorMessage = kmsg.StringPtr("There is no coordinator of this type.")
		}
	}
	if req.Version < coordinatorKeysVersionMin {
		c := coordinators[0]
		resp.NodeID, resp.Host, resp.Port, resp.ErrorCode, resp.ErrorMessage = c.NodeID, c.Host, c.Port, c.ErrorCode, c.ErrorMessage
	} else {
		resp.Coordinators = coordinators
	}
	return wire.Answer{Message: resp}
}
