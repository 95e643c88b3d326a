package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/transaction"
	"github.com/wadi-io/wadi/wire"
)

// FindCoordinator, versions 0–6 (several keys from 4 on).
//
// The coordinator of a group or a transactional id is the agent that looks after the
// journal that it lies in; another one answers what is for a coordinator NOT_COORDINATOR.
//
// What differs from Apache Kafka: a group's coordinator is there at once, since no topic
// of offsets must be created first. Share coordinators (type 2) get INVALID_REQUEST, as from a
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
	view := b.view()
	coordinators := make([]kmsg.FindCoordinatorResponseCoordinator, len(keys))
	for i, key := range keys {
		c := &coordinators[i]
		c.Default()
		c.Key = key
		switch req.CoordinatorType {
		case coordinatorGroup:
			coordinate(c, view.Coordinator(metastore.GroupsJournal(group.Journal(key, b.cfg.Groups))))
		case coordinatorTransaction:
			coordinate(c, view.Coordinator(metastore.TransactionsJournal(transaction.Journal(key, b.cfg.Transactions))))
		default:
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

// coordinate names an agent as a coordinator.
func coordinate(c *kmsg.FindCoordinatorResponseCoordinator, a *cluster.Agent) {
	c.NodeID, c.Host, c.Port = a.Node, a.KafkaHost, a.KafkaPort
}
