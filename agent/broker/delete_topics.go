package broker

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// DeleteTopics, versions 1–6 (by id or name from 6 on).
//
// The topic and all of its partitions are closed in one append, for ever; what is
// on its way into them is void. The name can be used again at once, by a topic with
// another id. The segments are collected later.
//
// What differs from Apache Kafka: the time-out bounds the wait for other changes; a
// deletion that has begun is answered when its outcome is certain.

// deletedTopicsMax bounds the topics that one append deletes.
const deletedTopicsMax = 10_000

// unwanted is a topic to be deleted, and what becomes of that.
type unwanted struct {
	name *string // nil: named by id
	id   [16]byte
	err  error
}

func (b *Broker) handleDeleteTopics(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DeleteTopicsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	if req.TimeoutMillis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond)
		defer cancel()
	}
	topics := unwantedTopics(req)
	if !b.cfg.Settings.Bool("delete.topic.enable") {
		code := wire.CodeTopicDeletionDisabled
		if req.Version < 3 {
			code = wire.CodeInvalidRequest
		}
		for _, u := range topics {
			u.err = refuse(code, "Topic deletion is disabled.")
		}
	}
	b.deleteTopics(ctx, topics)
	resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, len(topics))
	for i, u := range topics {
		out := &resp.Topics[i]
		out.Default()
		out.Topic, out.TopicID = u.name, u.id
		out.ErrorCode, out.ErrorMessage = codeOf(u.err), messageOf(u.err)
	}
	return wire.Answer{Message: resp}
}

// unwantedTopics lists what a request names, each once, with what it is refused for.
func unwantedTopics(req *kmsg.DeleteTopicsRequest) []*unwanted {
	if req.Version < 6 {
		req.Topics = make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
		for i := range req.TopicNames {
			req.Topics[i].Topic = &req.TopicNames[i]
		}
	}
	names, ids := map[string]*unwanted{}, map[[16]byte]*unwanted{}
	var topics []*unwanted
	for _, t := range req.Topics {
		u := &unwanted{name: t.Topic, id: t.TopicID}
		switch {
		case u.name != nil && u.id != [16]byte{}:
			u.err = refuse(wire.CodeInvalidRequest, "You may not specify both topic name and topic id.")
		case u.name == nil && u.id == [16]byte{}:
			u.err = refuse(wire.CodeInvalidRequest, "Neither topic name nor id were specified.")
		case u.name != nil:
			if first := names[*u.name]; first != nil {
				first.err = refuse(wire.CodeInvalidRequest, "Duplicate topic name.")
				continue
			}
			names[*u.name] = u
		default:
			if first := ids[u.id]; first != nil {
				first.err = refuse(wire.CodeInvalidRequest, "Duplicate topic id.")
				continue
			}
			ids[u.id] = u
		}
		topics = append(topics, u)
	}
	return topics
}

// deleteTopics deletes those of the topics that have no error yet.
func (b *Broker) deleteTopics(ctx context.Context, topics []*unwanted) {
	var open []*unwanted
	for _, u := range topics {
		if u.err == nil {
			open = append(open, u)
		}
	}
	b.hear(ctx, func(s *catalog.State) bool {
		return slices.ContainsFunc(open, func(u *unwanted) bool {
			if u.name != nil {
				return s.Topic(*u.name) == nil
			}
			return s.ByID(u.id) == nil
		})
	})
	for part := range slices.Chunk(open, deletedTopicsMax) {
		var gone []*catalog.Topic // by index in part, nil where refused
		_, err := b.change(ctx, func(s *catalog.State) []metastore.Draft {
			d := &drafts{}
			gone = b.decideDeletions(s, part, d)
			return d.list()
		})
		for i, u := range part {
			switch {
			case u.err != nil:
			case err != nil:
				u.err = err
			default:
				u.name, u.id = &gone[i].Name, gone[i].ID
			}
		}
		if err != nil {
			b.tellFailed("topics could not be deleted", err)
		}
	}
}

// decideDeletions decides on a state, which may be called again with a newer one.
func (b *Broker) decideDeletions(s *catalog.State, part []*unwanted, d *drafts) []*catalog.Topic {
	gone := make([]*catalog.Topic, len(part))
	named := make(map[uint64]*unwanted, len(part))
	for i, u := range part {
		u.err = nil
		if u.name != nil {
			if gone[i] = s.Topic(*u.name); gone[i] == nil {
				u.err = refuse(wire.CodeUnknownTopicOrPartition, "This server does not host this topic-partition.")
				continue
			}
		} else if gone[i] = s.ByID(u.id); gone[i] == nil {
			u.err = refuse(wire.CodeUnknownTopicID, "This server does not host this topic ID.")
			continue
		}
		number := gone[i].Number
		if first := named[number]; first != nil {
			u.err = refuse(wire.CodeInvalidRequest, "The provided topic name maps to an ID that was already supplied.")
			first.err = u.err // as in Kafka: then it is not deleted
		}
		named[number] = u
	}
	for i, u := range part {
		t := gone[i]
		if u.err != nil {
			continue
		}
		d.catalog = catalog.AppendTopicDeleted(d.catalog, t.Number)
		for p := range min(t.Partitions, int32(b.cfg.Shards)) {
			d.shard(t.Shard(p, b.cfg.Shards), func(dst []byte) []byte { return shard.AppendClosed(dst, t.Number) })
		}
	}
	return gone
}
