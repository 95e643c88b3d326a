package broker

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// DescribeTopicPartitions, version 0 (KIP-966): the partitions of some topics, or of all, by
// name, in pages.
//
// A page ends after the number of partitions that the client asks for, at most
// max.request.partition.size.limit; the cursor says where the next one begins. A topic
// that a request names twice is answered once. Leader, replicas and in-sync replicas
// are those of Metadata.
//
// What differs from Apache Kafka: there are no eligible leaders to tell.

func (b *Broker) handleDescribeTopicPartitions(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DescribeTopicPartitionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	resp.Topics = []kmsg.DescribeTopicPartitionsResponseTopic{}
	var after kmsg.DescribeTopicPartitionsRequestCursor
	if req.Cursor != nil {
		after = *req.Cursor
	}
	all := len(req.Topics) == 0
	named := func(name string) bool {
		return slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == name })
	}
	if req.Cursor != nil && (after.Partition < 0 || !all && !named(after.Topic)) {
		for _, t := range req.Topics {
			out := kmsg.NewDescribeTopicPartitionsResponseTopic()
			out.ErrorCode, out.Topic = wire.CodeInvalidRequest, &t.Topic
			resp.Topics = append(resp.Topics, out)
		}
		return wire.Answer{Message: resp}
	}
	limit := int32(max(1, min(int64(req.ResponsePartitionLimit), b.cfg.Settings.Int64("max.request.partition.size.limit"))))
	view := b.view()
	page := topicPage{b: b, view: view, zone: b.zone(r, view), resp: resp, left: limit, after: after}
	if all {
		var topics []*catalog.Topic
		b.viewCatalog(func(s *catalog.State) { topics = s.Topics() })
		i, _ := slices.BinarySearchFunc(topics, after.Topic, func(t *catalog.Topic, name string) int { return strings.Compare(t.Name, name) })
		for _, t := range topics[i:] {
			if !page.add(t) {
				break
			}
		}
		return wire.Answer{Message: resp}
	}
	for _, name := range b.pagedNames(ctx, req, after.Topic) {
		if !page.addNamed(name) {
			break
		}
	}
	return wire.Answer{Message: resp}
}

// pagedNames returns the names that a request asks for from the cursor on, each once, in order. The catalog is
// read once more where one is unknown.
func (b *Broker) pagedNames(ctx context.Context, req *kmsg.DescribeTopicPartitionsRequest, from string) []string {
	names := make([]string, 0, len(req.Topics))
	for i := range req.Topics {
		if req.Topics[i].Topic >= from {
			names = append(names, req.Topics[i].Topic)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if slices.ContainsFunc(names, func(name string) bool { return b.topic(name) == nil }) {
		if err := b.confirmCatalog(ctx); err != nil {
			b.deps.Log.Debug("describing topics on an old catalog", "err", err)
		}
	}
	return names
}

// topicPage fills an answer until it is full.
type topicPage struct {
	b     *Broker
	view  *cluster.View
	zone  string // of the client
	resp  *kmsg.DescribeTopicPartitionsResponse
	left  int32 // partitions
	after kmsg.DescribeTopicPartitionsRequestCursor
}

// end ends the page before a partition.
func (p *topicPage) end(topic string, partition int32) bool {
	p.resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: topic, Partition: partition}
	return false
}

// addNamed adds the topic with a name; false ends the page.
func (p *topicPage) addNamed(name string) bool {
	if t := p.b.topic(name); t != nil {
		return p.add(t)
	}
	if p.left == 0 {
		return p.end(name, 0)
	}
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.IsInternal = &name, internalTopic(name)
	out.ErrorCode = wire.CodeUnknownTopicOrPartition
	if checkTopicName(name) != nil {
		out.ErrorCode = wire.CodeInvalidTopicException
	}
	out.AuthorizedOperations = topicOperations
	p.resp.Topics = append(p.resp.Topics, out)
	return true
}

// add adds a topic; false ends the page.
func (p *topicPage) add(t *catalog.Topic) bool {
	if p.left == 0 {
		return p.end(t.Name, 0)
	}
	first := int32(0)
	if t.Name == p.after.Topic {
		first = p.after.Partition
	}
	past := min(int64(t.Partitions), int64(first)+int64(p.left))
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = &t.Name, t.ID, internalTopic(t.Name)
	out.AuthorizedOperations = topicOperations
	for i := int64(first); i < past; i++ {
		partition := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		partition.Partition = int32(i)
		shard := t.Shard(partition.Partition, p.b.cfg.Shards)
		partition.LeaderID, partition.LeaderEpoch = p.view.Leader(p.zone, shard).Node, leaderEpoch
		partition.Replicas = p.view.Replicas(p.zone, shard)
		partition.ISR = partition.Replicas
		partition.EligibleLeaderReplicas, partition.LastKnownELR = []int32{}, []int32{}
		out.Partitions = append(out.Partitions, partition)
	}
	p.left -= int32(len(out.Partitions))
	p.resp.Topics = append(p.resp.Topics, out)
	if past < int64(t.Partitions) && past > int64(first) {
		return p.end(t.Name, int32(past))
	}
	return true
}
