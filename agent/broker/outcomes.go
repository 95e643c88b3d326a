package broker

import (
	"cmp"
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// outcomeClosed stands for a code where the connection is closed instead of an answer.
const outcomeClosed = math.MinInt16

// counted has the outcome of each answer told: the first error in it, else none. Produce
// and Fetch tell theirs themselves.
func (b *Broker) counted(routes []wire.Route) []wire.Route {
	for i := range routes {
		key, handle := routes[i].Key, routes[i].Handle
		if handle == nil || key == keyFetch {
			continue
		}
		routes[i].Handle = func(ctx context.Context, r *wire.Request) wire.Answer {
			a := handle(ctx, r)
			switch code, known := outcomeOf(a.Message); {
			case a.Close != nil:
				b.deps.Outcome(key, outcomeClosed, 1)
			case known:
				b.deps.Outcome(key, code, 1)
			}
			return a
		}
	}
	return routes
}

// codeIn is the first code in a list, none if there is no error in it.
func codeIn[T any](list []T, code func(*T) int16) int16 {
	for i := range list {
		if c := code(&list[i]); c != wire.CodeNone {
			return c
		}
	}
	return wire.CodeNone
}

// outcomeOf is the first error code in an answer, the whole answer's before its parts'.
func outcomeOf(m kmsg.Response) (code int16, known bool) {
	switch m := m.(type) {
	case *kmsg.ListOffsetsResponse:
		return codeIn(m.Topics, func(t *kmsg.ListOffsetsResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.ListOffsetsResponseTopicPartition) int16 { return p.ErrorCode })
		}), true
	case *kmsg.MetadataResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Topics, func(t *kmsg.MetadataResponseTopic) int16 { return t.ErrorCode })), true
	case *kmsg.FindCoordinatorResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Coordinators, func(c *kmsg.FindCoordinatorResponseCoordinator) int16 { return c.ErrorCode })), true
	case *kmsg.ApiVersionsResponse:
		return m.ErrorCode, true
	case *kmsg.CreateTopicsResponse:
		return codeIn(m.Topics, func(t *kmsg.CreateTopicsResponseTopic) int16 { return t.ErrorCode }), true
	case *kmsg.DeleteTopicsResponse:
		return codeIn(m.Topics, func(t *kmsg.DeleteTopicsResponseTopic) int16 { return t.ErrorCode }), true
	case *kmsg.InitProducerIDResponse:
		return m.ErrorCode, true
	case *kmsg.OffsetForLeaderEpochResponse:
		return codeIn(m.Topics, func(t *kmsg.OffsetForLeaderEpochResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.OffsetForLeaderEpochResponseTopicPartition) int16 { return p.ErrorCode })
		}), true
	case *kmsg.DescribeConfigsResponse:
		return codeIn(m.Resources, func(r *kmsg.DescribeConfigsResponseResource) int16 { return r.ErrorCode }), true
	case *kmsg.DescribeClusterResponse:
		return m.ErrorCode, true
	case *kmsg.DeleteRecordsResponse:
		return codeIn(m.Topics, func(t *kmsg.DeleteRecordsResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.DeleteRecordsResponseTopicPartition) int16 { return p.ErrorCode })
		}), true
	case *kmsg.AlterConfigsResponse:
		return codeIn(m.Resources, func(r *kmsg.AlterConfigsResponseResource) int16 { return r.ErrorCode }), true
	case *kmsg.IncrementalAlterConfigsResponse:
		return codeIn(m.Resources, func(r *kmsg.IncrementalAlterConfigsResponseResource) int16 { return r.ErrorCode }), true
	case *kmsg.DescribeLogDirsResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Dirs, func(d *kmsg.DescribeLogDirsResponseDir) int16 { return d.ErrorCode })), true
	case *kmsg.CreatePartitionsResponse:
		return codeIn(m.Topics, func(t *kmsg.CreatePartitionsResponseTopic) int16 { return t.ErrorCode }), true
	case *kmsg.ElectLeadersResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Topics, func(t *kmsg.ElectLeadersResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.ElectLeadersResponseTopicPartition) int16 { return p.ErrorCode })
		})), true
	case *kmsg.DescribeProducersResponse:
		return codeIn(m.Topics, func(t *kmsg.DescribeProducersResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.DescribeProducersResponseTopicPartition) int16 { return p.ErrorCode })
		}), true
	case *kmsg.ListConfigResourcesResponse:
		return m.ErrorCode, true
	case *kmsg.DescribeTopicPartitionsResponse:
		return codeIn(m.Topics, func(t *kmsg.DescribeTopicPartitionsResponseTopic) int16 { return t.ErrorCode }), true
	}
	return outcomeOfGroups(m)
}

// outcomeOfGroups is outcomeOf for consumer groups and transactions.
func outcomeOfGroups(m kmsg.Response) (code int16, known bool) {
	switch m := m.(type) {
	case *kmsg.OffsetCommitResponse:
		return codeIn(m.Topics, func(t *kmsg.OffsetCommitResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.OffsetCommitResponseTopicPartition) int16 { return p.ErrorCode })
		}), true
	case *kmsg.OffsetFetchResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Groups, func(g *kmsg.OffsetFetchResponseGroup) int16 {
			return cmp.Or(g.ErrorCode, codeIn(g.Topics, func(t *kmsg.OffsetFetchResponseGroupTopic) int16 {
				return codeIn(t.Partitions, func(p *kmsg.OffsetFetchResponseGroupTopicPartition) int16 { return p.ErrorCode })
			}))
		}),
			codeIn(m.Topics, func(t *kmsg.OffsetFetchResponseTopic) int16 {
				return codeIn(t.Partitions, func(p *kmsg.OffsetFetchResponseTopicPartition) int16 { return p.ErrorCode })
			})), true
	case *kmsg.JoinGroupResponse:
		return m.ErrorCode, true
	case *kmsg.HeartbeatResponse:
		return m.ErrorCode, true
	case *kmsg.LeaveGroupResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Members, func(x *kmsg.LeaveGroupResponseMember) int16 { return x.ErrorCode })), true
	case *kmsg.SyncGroupResponse:
		return m.ErrorCode, true
	case *kmsg.DescribeGroupsResponse:
		return codeIn(m.Groups, func(g *kmsg.DescribeGroupsResponseGroup) int16 { return g.ErrorCode }), true
	case *kmsg.ListGroupsResponse:
		return m.ErrorCode, true
	case *kmsg.DeleteGroupsResponse:
		return codeIn(m.Groups, func(g *kmsg.DeleteGroupsResponseGroup) int16 { return g.ErrorCode }), true
	case *kmsg.ConsumerGroupHeartbeatResponse:
		return m.ErrorCode, true
	case *kmsg.ConsumerGroupDescribeResponse:
		return codeIn(m.Groups, func(g *kmsg.ConsumerGroupDescribeResponseGroup) int16 { return g.ErrorCode }), true
	case *kmsg.OffsetDeleteResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Topics, func(t *kmsg.OffsetDeleteResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.OffsetDeleteResponseTopicPartition) int16 { return p.ErrorCode })
		})), true
	case *kmsg.AddPartitionsToTxnResponse:
		return cmp.Or(m.ErrorCode, codeIn(m.Topics, func(t *kmsg.AddPartitionsToTxnResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.AddPartitionsToTxnResponseTopicPartition) int16 { return p.ErrorCode })
		}), codeIn(m.Transactions, func(x *kmsg.AddPartitionsToTxnResponseTransaction) int16 {
			return codeIn(x.Topics, func(t *kmsg.AddPartitionsToTxnResponseTransactionTopic) int16 {
				return codeIn(t.Partitions, func(p *kmsg.AddPartitionsToTxnResponseTransactionTopicPartition) int16 { return p.ErrorCode })
			})
		})), true
	case *kmsg.AddOffsetsToTxnResponse:
		return m.ErrorCode, true
	case *kmsg.EndTxnResponse:
		return m.ErrorCode, true
	case *kmsg.TxnOffsetCommitResponse:
		return codeIn(m.Topics, func(t *kmsg.TxnOffsetCommitResponseTopic) int16 {
			return codeIn(t.Partitions, func(p *kmsg.TxnOffsetCommitResponseTopicPartition) int16 { return p.ErrorCode })
		}), true
	case *kmsg.DescribeTransactionsResponse:
		return codeIn(m.TransactionStates, func(t *kmsg.DescribeTransactionsResponseTransactionState) int16 { return t.ErrorCode }), true
	case *kmsg.ListTransactionsResponse:
		return m.ErrorCode, true
	case *kmsg.WriteTxnMarkersResponse:
		return codeIn(m.Markers, func(x *kmsg.WriteTxnMarkersResponseMarker) int16 {
			return codeIn(x.Topics, func(t *kmsg.WriteTxnMarkersResponseMarkerTopic) int16 {
				return codeIn(t.Partitions, func(p *kmsg.WriteTxnMarkersResponseMarkerTopicPartition) int16 { return p.ErrorCode })
			})
		}), true
	}
	return 0, false
}
