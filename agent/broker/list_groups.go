package broker

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// ListGroups, versions 0–5 (by state from 4 on, by type from 5 on).
// No differences from Apache Kafka, but that groups come in the order of their ids.

// Kafka's names of the groups whose members assign partitions, and of those that have them assigned.
const (
	groupTypeClassic  = "classic"
	groupTypeConsumer = "consumer"
)

func (b *Broker) handleListGroups(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ListGroupsRequest)
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	groups, err := b.deps.Groups.List(ctx)
	if err != nil {
		resp.ErrorCode = codeOf(err)
		return wire.Answer{Message: resp}
	}
	named := func(filter []string, name string) bool {
		return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool {
			return strings.EqualFold(strings.TrimSpace(f), name)
		})
	}
	for _, g := range groups {
		kind := groupTypeClassic
		if g.Consumer {
			kind = groupTypeConsumer
		}
		if !named(req.StatesFilter, g.State) || !named(req.TypesFilter, kind) {
			continue
		}
		out := kmsg.NewListGroupsResponseGroup()
		out.Group, out.ProtocolType, out.GroupState, out.GroupType = g.Group, g.ProtocolType, g.State, kind
		resp.Groups = append(resp.Groups, out)
	}
	return wire.Answer{Message: resp}
}
