package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// DeleteGroups, versions 0–2: delete groups without members, with what they have committed.
// No differences from Apache Kafka.
func (b *Broker) handleDeleteGroups(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DeleteGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	var ids []string
	named := make(map[string]bool, len(req.Groups))
	for _, id := range req.Groups {
		if !named[id] {
			ids = append(ids, id)
		}
		named[id] = true
	}
	for i, err := range b.deps.Groups.Delete(ctx, slices.Clip(ids)) {
		out := kmsg.NewDeleteGroupsResponseGroup()
		out.Group, out.ErrorCode = ids[i], codeOf(err)
		resp.Groups = append(resp.Groups, out)
	}
	return wire.Answer{Message: resp}
}
