package broker

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// OffsetCommit, versions 2–10 (topics by id from 10 on): write the offsets that a group
// has got to. Many groups' commits share an append to the metastore.
// No differences from Apache Kafka.

// The first versions of OffsetCommit in which something is so.
const (
	commitNotFoundVersionMin = 9 // a generation of a group unknown is GROUP_ID_NOT_FOUND
	commitTopicIDVersionMin  = 10
)

func (b *Broker) handleOffsetCommit(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.OffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	c := group.Commit{
		Identity:  group.Identity{Group: req.Group, Generation: req.Generation, MemberID: req.MemberID, Instance: orEmpty(req.InstanceID)},
		Retention: time.Duration(req.RetentionTimeMillis) * time.Millisecond,
		NotFound:  group.ErrIllegalGeneration,
	}
	if req.Version >= commitNotFoundVersionMin {
		c.NotFound = group.ErrNotFound
	}
	metadataMax := int(b.cfg.Settings.Int64("offset.metadata.max.bytes"))
	asked := false        // whether the group has a say in it
	var admitted []*int16 // the codes of what the group has a say in
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	b.hear(ctx, func(s *catalog.State) bool {
		return slices.ContainsFunc(req.Topics, func(in kmsg.OffsetCommitRequestTopic) bool {
			topic := s.Topic(in.Topic)
			if req.Version >= commitTopicIDVersionMin {
				topic = s.ByID(in.TopicID)
			}
			return topic == nil || slices.ContainsFunc(in.Partitions, func(p kmsg.OffsetCommitRequestTopicPartition) bool { return p.Partition >= topic.Partitions })
		})
	})
	b.viewCatalog(func(s *catalog.State) {
		for i := range req.Topics {
			in, out := &req.Topics[i], &resp.Topics[i]
			out.Default()
			out.Topic, out.TopicID = in.Topic, in.TopicID
			topic, unknown := s.Topic(in.Topic), wire.CodeUnknownTopicOrPartition
			if req.Version >= commitTopicIDVersionMin {
				topic, unknown = s.ByID(in.TopicID), wire.CodeUnknownTopicID
			}
			out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(in.Partitions))
			for j := range in.Partitions {
				p, answer := &in.Partitions[j], &out.Partitions[j]
				answer.Default()
				answer.Partition = p.Partition
				switch {
				case topic == nil:
					answer.ErrorCode = unknown
					continue
				case p.Partition < 0 || p.Partition >= topic.Partitions:
					answer.ErrorCode = wire.CodeUnknownTopicOrPartition
					continue
				}
				asked = true
				admitted = append(admitted, &answer.ErrorCode)
				if len(orEmpty(p.Metadata)) > metadataMax {
					answer.ErrorCode = wire.CodeOffsetMetadataTooLarge
					continue
				}
				c.Offsets = append(c.Offsets, stored.PlacedOffset{
					Place:  stored.Place{Topic: topic.Number, Partition: p.Partition},
					Offset: stored.Offset{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata)},
				})
			}
		}
	})
	if !asked {
		return wire.Answer{Message: resp}
	}
	if err := b.deps.Groups.Commit(ctx, c); err != nil {
		code := codeOf(err)
		for _, answer := range admitted {
			*answer = code
		}
	}
	return wire.Answer{Message: resp}
}
