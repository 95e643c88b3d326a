package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// ElectLeaders, versions 0–2 (KIP-460).
//
// A partition always has its preferred leader, so an election is never needed:
// ELECTION_NOT_NEEDED for each partition that is asked for and exists. Asked for all
// partitions (no list), only the topics are in the answer: Kafka leaves out the
// partitions that need no election.
//
// What differs from Apache Kafka: there is nothing to elect.

// The kinds of elections.
const (
	electPreferred = 0
	electUnclean   = 1
)

func (b *Broker) handleElectLeaders(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ElectLeadersRequest)
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	var whole error
	if err := b.confirmCatalog(ctx); err != nil {
		whole = err
	}
	if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
		whole = refuse(wire.CodeInvalidRequest, "Unknown election type %d", req.ElectionType)
	}
	resp.ErrorCode = codeOf(whole)
	if req.Topics == nil {
		if whole == nil {
			b.viewCatalog(func(s *catalog.State) {
				for _, t := range s.Topics() {
					out := kmsg.NewElectLeadersResponseTopic()
					out.Topic = t.Name
					resp.Topics = append(resp.Topics, out)
				}
			})
		}
		return wire.Answer{Message: resp}
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := b.topic(asked.Topic)
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = asked.Topic
		for _, partition := range asked.Partitions {
			err := whole
			if err == nil {
				err = electLeader(t, asked.Topic, partition)
			}
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = partition, codeOf(err), messageOf(err)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return wire.Answer{Message: resp}
}

// electLeader says why there is no election.
func electLeader(t *catalog.Topic, name string, partition int32) error {
	switch {
	case t == nil:
		return refuse(wire.CodeUnknownTopicOrPartition, "No such topic as %s", name)
	case partition < 0 || partition >= t.Partitions:
		return refuse(wire.CodeUnknownTopicOrPartition, "No such partition as %s-%d", name, partition)
	}
	return refuse(wire.CodeElectionNotNeeded, "Leader election not needed for topic partition.")
}
