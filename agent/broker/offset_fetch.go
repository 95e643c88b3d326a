package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/metastore/catalog"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// OffsetFetch, versions 1–10 (null for all topics from 2 on, require_stable from 7, several
// groups from 8, topics by id from 10): what groups have committed. A group or a partition
// without a commit is offset −1 without an error. Who requires stable offsets gets
// UNSTABLE_OFFSET_COMMIT for a partition that a transaction is to commit one for.
//
// Differs from Apache Kafka: an offset that was committed for a topic since deleted is
// gone at once, also if another topic has its name.

// The first versions of OffsetFetch in which something is so.
const (
	offsetFetchErrorVersionMin   = 2 // an error of the whole group has a field
	offsetFetchGroupsVersionMin  = 8
	offsetFetchMemberVersionMin  = 9 // of a member at its epoch
	offsetFetchTopicIDVersionMin = 10
)

func (b *Broker) handleOffsetFetch(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.OffsetFetchRequest)
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version >= offsetFetchGroupsVersionMin {
		ids := make([]string, len(req.Groups))
		for i := range req.Groups {
			ids[i] = req.Groups[i].Group
		}
		confirmed := b.deps.Groups.Confirm(ctx, ids...)
		for i := range req.Groups {
			resp.Groups = append(resp.Groups, b.fetchOffsets(ctx, &req.Groups[i], req.Version, req.RequireStable, confirmed))
		}
		return wire.Answer{Message: resp}
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics != nil {
		g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	}
	for i := range req.Topics {
		g.Topics[i].Topic, g.Topics[i].Partitions = req.Topics[i].Topic, req.Topics[i].Partitions
	}
	found := b.fetchOffsets(ctx, &g, req.Version, req.RequireStable, b.deps.Groups.Confirm(ctx, g.Group))
	resp.ErrorCode = found.ErrorCode
	for _, t := range found.Topics {
		out := kmsg.NewOffsetFetchResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			o := kmsg.NewOffsetFetchResponseTopicPartition()
			o.Partition, o.Offset, o.LeaderEpoch, o.Metadata, o.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return wire.Answer{Message: resp}
}

// fetchOffsets answers for one group. err says why what is known of it is not known to be new.
func (b *Broker) fetchOffsets(ctx context.Context, req *kmsg.OffsetFetchRequestGroup, version int16, stable bool, err error) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	if err == nil && version >= offsetFetchMemberVersionMin {
		if err := b.deps.Groups.CheckReader(ctx, req.Group, orEmpty(req.MemberID), req.MemberEpoch); err != nil {
			resp.ErrorCode = codeOf(err)
			return resp
		}
	}
	switch {
	case err != nil:
	case req.Topics == nil:
		resp.Topics, err = b.fetchAllOffsets(ctx, req.Group, stable)
	default:
		resp.Topics, err = b.fetchAskedOffsets(ctx, req, version, stable)
	}
	if err == nil {
		return resp
	}
	code := codeOf(err)
	resp.Topics = nil
	if version >= offsetFetchErrorVersionMin {
		resp.ErrorCode = code
		return resp
	}
	for _, t := range req.Topics {
		out := kmsg.NewOffsetFetchResponseGroupTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			out.Partitions = append(out.Partitions, offsetAnswer(p, noOffset, code))
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// noOffset stands for what was never committed.
var noOffset = stored.Offset{Offset: -1, LeaderEpoch: -1}

func offsetAnswer(partition int32, o stored.Offset, code int16) kmsg.OffsetFetchResponseGroupTopicPartition {
	out := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	out.Partition, out.Offset, out.LeaderEpoch, out.Metadata, out.ErrorCode = partition, o.Offset, o.LeaderEpoch, &o.Metadata, code
	return out
}

func (b *Broker) fetchAskedOffsets(ctx context.Context, req *kmsg.OffsetFetchRequestGroup, version int16, stable bool) ([]kmsg.OffsetFetchResponseGroupTopic, error) {
	topics := make([]*catalog.Topic, len(req.Topics))
	look := func(s *catalog.State) {
		for i := range req.Topics {
			if topics[i] = s.Topic(req.Topics[i].Topic); version >= offsetFetchTopicIDVersionMin {
				topics[i] = s.ByID(req.Topics[i].TopicID)
			}
		}
	}
	b.viewCatalog(look)
	if slices.Contains(topics, nil) {
		// "Nothing committed" has its reader begin anew: not on the word of an old catalog.
		if err := b.refreshForGroup(ctx); err != nil {
			return nil, err
		}
		b.viewCatalog(look)
	}
	var known, unknown []kmsg.OffsetFetchResponseGroupTopic
	err := b.deps.Groups.Read(ctx, req.Group, func(s *stored.State) {
		for i := range req.Topics {
			in, topic := &req.Topics[i], topics[i]
			out := kmsg.NewOffsetFetchResponseGroupTopic()
			out.Topic, out.TopicID = in.Topic, in.TopicID
			code := wire.CodeNone
			if topic == nil && version >= offsetFetchTopicIDVersionMin {
				code = wire.CodeUnknownTopicID
			}
			for _, p := range in.Partitions {
				o, code := noOffset, code
				if topic != nil {
					place := stored.Place{Topic: topic.Number, Partition: p}
					if stable && s.Unstable(req.Group, place) {
						code = wire.CodeUnstableOffsetCommit
					} else if found, ok := s.Offset(req.Group, place); ok {
						o = found
					}
				}
				out.Partitions = append(out.Partitions, offsetAnswer(p, o, code))
			}
			if code != wire.CodeNone {
				unknown = append(unknown, out)
				continue
			}
			known = append(known, out)
		}
	})
	return append(known, unknown...), err
}

// refreshForGroup reads the catalog for a group's coordinator.
func (b *Broker) refreshForGroup(ctx context.Context) error {
	if err := b.refreshCatalog(ctx); err != nil {
		return fmt.Errorf("%w: %w", group.ErrNotAvailable, err)
	}
	return nil
}

func (b *Broker) fetchAllOffsets(ctx context.Context, id string, stable bool) ([]kmsg.OffsetFetchResponseGroupTopic, error) {
	var offsets []stored.PlacedOffset
	var unstable []stored.Place
	err := b.deps.Groups.Read(ctx, id, func(s *stored.State) {
		if offsets = s.Offsets(id); stable {
			unstable = s.UnstablePlaces(id)
		}
	})
	if err != nil {
		return nil, err
	}
	var lacking bool
	b.viewCatalog(func(s *catalog.State) {
		lacking = slices.ContainsFunc(offsets, func(o stored.PlacedOffset) bool { return s.ByNumber(o.Place.Topic) == nil })
	})
	if lacking { // deleted, or made just now by another agent
		if err := b.refreshForGroup(ctx); err != nil {
			return nil, err
		}
	}
	var topics []kmsg.OffsetFetchResponseGroupTopic
	b.viewCatalog(func(s *catalog.State) {
		number := uint64(0)
		for _, o := range offsets {
			topic := s.ByNumber(o.Place.Topic)
			if topic == nil {
				continue
			}
			if len(topics) == 0 || number != topic.Number {
				out := kmsg.NewOffsetFetchResponseGroupTopic()
				out.Topic, out.TopicID = topic.Name, topic.ID
				topics, number = append(topics, out), topic.Number
			}
			last := &topics[len(topics)-1]
			answer := offsetAnswer(o.Partition, o.Offset, wire.CodeNone)
			if _, found := slices.BinarySearchFunc(unstable, o.Place, stored.Place.Compare); found {
				answer = offsetAnswer(o.Partition, noOffset, wire.CodeUnstableOffsetCommit)
			}
			last.Partitions = append(last.Partitions, answer)
		}
	})
	return slices.Clip(topics), nil
}
