package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// Metadata, versions 0–13 (topics by id from 10).
//
// Answers the agents that clients may be sent to, and of all topics, or of those asked
// for by name or id, the partitions. The leader is the agent of the partition's shard in
// the client's zone (client.id's zone=, else its network's), or for a client of no zone
// among all agents. Replicas and in-sync replicas are the leader and the shard's agent of
// each zone, so that readers who name a rack can be sent there (KIP-392). The leader epoch
// is 0. A partition is never without a leader. Agents that are about to leave, that can't
// be reached, or that only compact are not named; where producers and readers have agents
// of their own (--roles), the leader is a producers' one, since Metadata doesn't say who
// asks, and Fetch sends readers on. An unknown name is created with
// num.partitions partitions where auto.create.topics.enable, the request and the
// name allow it, and is in the answer with its partitions.
//
// What differs from Apache Kafka:
//   - An auto-created topic is there at once; Kafka first answers UNKNOWN_TOPIC_OR_PARTITION.
//   - Kafka's internal topics don't exist and are not auto-created.
//   - The leader depends on who asks; any agent takes any request all the same.
//   - The replicas say whom readers may be sent to, not where records lie: durability is the bucket's.
//   - All topics come in the order of their names, those asked for in the request's;
//     a topic with neither id nor name is UNKNOWN_TOPIC_ID, an exception in Kafka.
//   - Auto-creation of a name that collides says so (INVALID_TOPIC_EXCEPTION) at once.

// metadataIDVersionMin is the first version in which topics may be asked for by id: the two
// before it have the field, and no broker that answers it.
const metadataIDVersionMin = 12

// metadataAllVersionMin is the first version where no list of topics asks for all,
// and an empty one for none; before it an empty one asks for all.
const metadataAllVersionMin = 1

func (b *Broker) handleMetadata(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.MetadataRequest)
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	if req.Version < metadataIDVersionMin && slices.ContainsFunc(req.Topics, byID) {
		m := metadata{b: b, operations: notAsked}
		for _, t := range req.Topics {
			m.refuse(t, wire.CodeInvalidRequest)
		}
		resp.Topics, resp.AuthorizedOperations = m.topics, notAsked
		return wire.Answer{Message: resp}
	}
	view := b.view()
	for _, a := range view.Named() {
		node := kmsg.NewMetadataResponseBroker()
		node.NodeID, node.Host, node.Port, node.Rack = a.Node, a.KafkaHost, a.KafkaPort, rackOf(a)
		resp.Brokers = append(resp.Brokers, node)
	}
	resp.ClusterID = &b.cfg.ClusterID
	resp.ControllerID = b.controller(view)
	resp.AuthorizedOperations = notAsked
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	m := metadata{b: b, operations: notAsked, view: view, zone: b.zone(r, view)}
	if req.IncludeTopicAuthorizedOperations {
		m.operations = topicOperations
	}
	if req.Topics == nil || req.Version < metadataAllVersionMin && len(req.Topics) == 0 {
		m.all()
	} else {
		m.some(ctx, req)
	}
	resp.Topics = m.topics
	return wire.Answer{Message: resp}
}

// metadata makes the topics of an answer.
type metadata struct {
	b          *Broker
	operations int32
	view       *cluster.View
	zone       string // of the client
	topics     []kmsg.MetadataResponseTopic
}

func (m *metadata) all() {
	var topics []*catalog.Topic
	m.b.viewCatalog(func(s *catalog.State) { topics = s.Topics() })
	m.topics = make([]kmsg.MetadataResponseTopic, 0, len(topics))
	for _, t := range topics {
		m.add(t)
	}
}

// some answers the topics that a request names.
func (m *metadata) some(ctx context.Context, req *kmsg.MetadataRequest) {
	asked := distinct(req.Topics)
	found := m.find(asked)
	create := m.creatable(req, asked, found)
	if unknown(found) > len(create) {
		// Another agent may have created it just now.
		refreshCtx, cancel := context.WithTimeout(ctx, refreshWaitMax)
		if err := m.b.refreshCatalog(refreshCtx); err == nil {
			found = m.find(asked)
			create = m.creatable(req, asked, found)
		}
		cancel()
	}
	if len(create) > 0 {
		m.b.createTopics(ctx, create, false)
		m.finish(asked, found, create)
	}
	m.topics = make([]kmsg.MetadataResponseTopic, 0, len(asked))
	for i, t := range found {
		switch {
		case t.topic != nil:
			m.add(t.topic)
		case t.err != nil:
			m.refuse(asked[i], codeOf(t.err))
		case byID(asked[i]) || asked[i].Topic == nil:
			m.refuse(asked[i], wire.CodeUnknownTopicID)
		default:
			m.refuse(asked[i], wire.CodeUnknownTopicOrPartition)
		}
	}
}

// askedTopic is what is known of a topic that a request names; nothing: it is unknown.
type askedTopic struct {
	topic *catalog.Topic
	err   error
}

// byID tells whether a topic is asked for by its id; a name beside it isn't looked at.
func byID(t kmsg.MetadataRequestTopic) bool { return t.TopicID != [16]byte{} }

// distinct leaves out topics that were named before.
func distinct(topics []kmsg.MetadataRequestTopic) []kmsg.MetadataRequestTopic {
	if len(topics) < 2 {
		return topics
	}
	names := make(map[string]struct{}, len(topics))
	ids := map[[16]byte]struct{}{}
	kept := topics[:0]
	for _, t := range topics {
		var seen bool
		if t.Topic != nil && !byID(t) {
			_, seen = names[*t.Topic]
			names[*t.Topic] = struct{}{}
		} else {
			_, seen = ids[t.TopicID]
			ids[t.TopicID] = struct{}{}
		}
		if !seen {
			kept = append(kept, t)
		}
	}
	return kept
}

// unknown counts the topics of which nothing is known.
func unknown(found []askedTopic) int {
	n := 0
	for _, t := range found {
		if t.topic == nil && t.err == nil {
			n++
		}
	}
	return n
}

// find looks the topics up.
func (m *metadata) find(asked []kmsg.MetadataRequestTopic) []askedTopic {
	found := make([]askedTopic, len(asked))
	m.b.viewCatalog(func(s *catalog.State) {
		for i := range asked {
			if byID(asked[i]) || asked[i].Topic == nil {
				found[i].topic = s.ByID(asked[i].TopicID)
				continue
			}
			if found[i].topic = s.Topic(*asked[i].Topic); found[i].topic == nil {
				found[i].err = checkTopicName(*asked[i].Topic)
			}
		}
	})
	return found
}

// creatable returns the topics that are to be created.
func (m *metadata) creatable(req *kmsg.MetadataRequest, asked []kmsg.MetadataRequestTopic, found []askedTopic) []*newTopic {
	if !m.b.cfg.Settings.Bool("auto.create.topics.enable") || req.Version >= 4 && !req.AllowAutoTopicCreation {
		return nil
	}
	var create []*newTopic
	for i, t := range found {
		if t.topic == nil && t.err == nil && asked[i].Topic != nil && !byID(asked[i]) && !internalTopic(*asked[i].Topic) {
			create = append(create, &newTopic{name: *asked[i].Topic, partitions: m.b.partitionsDefault()})
		}
	}
	return create
}

// finish puts what was created, by us or meanwhile by others, among the found ones.
func (m *metadata) finish(asked []kmsg.MetadataRequestTopic, found []askedTopic, created []*newTopic) {
	byName := make(map[string]*newTopic, len(created))
	for _, n := range created {
		byName[n.name] = n
	}
	for i := range found {
		if asked[i].Topic == nil || byID(asked[i]) {
			continue
		}
		n := byName[*asked[i].Topic]
		if n == nil {
			continue
		}
		found[i] = askedTopic{topic: n.topic, err: n.err}
		if codeOf(n.err) == wire.CodeTopicAlreadyExists {
			found[i] = askedTopic{topic: m.b.topic(n.name)}
		}
	}
}

func (m *metadata) add(t *catalog.Topic) {
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic = &t.Name
	topic.TopicID = t.ID
	topic.IsInternal = internalTopic(t.Name)
	topic.AuthorizedOperations = m.operations
	topic.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	for i := range topic.Partitions {
		p := &topic.Partitions[i]
		p.Default()
		p.Partition = int32(i)
		shard := t.Shard(p.Partition, m.b.cfg.Shards)
		p.Leader, p.LeaderEpoch = m.view.Leader(m.zone, shard).Node, leaderEpoch
		p.Replicas = m.view.Replicas(m.zone, shard)
		p.ISR = p.Replicas
	}
	m.topics = append(m.topics, topic)
}

func (m *metadata) refuse(asked kmsg.MetadataRequestTopic, code int16) {
	topic := kmsg.NewMetadataResponseTopic()
	topic.ErrorCode = code
	topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
	if code == wire.CodeUnknownTopicID {
		topic.Topic = nil // as Kafka, which hasn't looked at it
	}
	topic.AuthorizedOperations = m.operations
	m.topics = append(m.topics, topic)
}

// partitionsDefault is the number of partitions of a topic for which nobody chose it.
func (b *Broker) partitionsDefault() int32 { return int32(b.cfg.Settings.Int64("num.partitions")) }
