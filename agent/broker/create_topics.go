package broker

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// CreateTopics, versions 2–7.
//
// Each topic is created with the opening of its partitions in one append: whoever
// sees it can write to it. Names, collisions (a.b and a_b), numbers and configs are
// checked as Kafka does. When the answer leaves, this agent serves the topic.
//
// What differs from Apache Kafka:
//   - A replication factor of 1 to 3, or of as many agents as there are, is accepted and means
//     nothing: the answer and Metadata say 1, since durability is the bucket's. Others get
//     INVALID_REPLICATION_FACTOR.
//   - A manual assignment is checked and decides the number of partitions; where
//     they are served is decided by their shards.
//   - The time-out bounds the wait for other changes; a change that has begun is answered
//     when its outcome is certain.
//   - Two topics of one request that collide with each other: the second is refused.
//   - The number of partitions is bounded by Limits; beyond it INVALID_PARTITIONS.

// replicationFactorAlways is the largest replication factor that is accepted whatever the
// number of agents: Connect and others ask for 3.
const replicationFactorAlways = 3

// replicationFactor is what every partition is said to have.
const replicationFactor = 1

// clusterMetadataTopic is the name of KRaft's own log, which can't be a topic.
const clusterMetadataTopic = "__cluster_metadata"

func (b *Broker) handleCreateTopics(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.CreateTopicsRequest)
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	if req.TimeoutMillis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond)
		defer cancel()
	}
	wanted := b.wantedTopics(req)
	b.createTopics(ctx, wanted, req.ValidateOnly)
	resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(wanted))
	for i, n := range wanted {
		resp.Topics[i] = b.createdTopic(n, req.ValidateOnly)
	}
	return wire.Answer{Message: resp}
}

// wantedTopics checks what can be checked without the catalog. A name that comes
// more than once is answered once.
func (b *Broker) wantedTopics(req *kmsg.CreateTopicsRequest) []*newTopic {
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	wanted := make([]*newTopic, 0, len(times))
	for i := range req.Topics {
		t := &req.Topics[i]
		n := &newTopic{name: t.Topic}
		switch times[t.Topic] {
		case 0:
			continue // answered already
		case 1:
			n.partitions, n.configs, n.err = b.checkTopic(t)
		default:
			n.err = refuse(wire.CodeInvalidRequest, "Duplicate topic name.")
			times[t.Topic] = 0
		}
		wanted = append(wanted, n)
	}
	return wanted
}

// checkTopic checks one topic in Kafka's order.
func (b *Broker) checkTopic(t *kmsg.CreateTopicsRequestTopic) (partitions int32, configs map[string]string, err error) {
	if t.Topic == clusterMetadataTopic {
		return 0, nil, refuse(wire.CodeInvalidRequest, "Creation of internal topic %s is prohibited.", clusterMetadataTopic)
	}
	if err := checkTopicName(t.Topic); err != nil {
		return 0, nil, err
	}
	values := make(map[string]string, len(t.Configs))
	for _, c := range t.Configs {
		if c.Value == nil {
			return 0, nil, refuse(wire.CodeInvalidConfig, "Null value not supported for topic configs: %s", c.Name)
		}
		values[c.Name] = *c.Value
	}
	if configs, err = b.topics.check(values, b.cfg.Limits.TopicConfigBytesMax); err != nil {
		return 0, nil, err
	}
	if len(t.ReplicaAssignment) > 0 {
		partitions, err = b.checkAssignment(t)
	} else {
		partitions, err = b.checkNumbers(t)
	}
	if err == nil && int(partitions) > b.cfg.Limits.TopicPartitionsMax {
		err = refuse(wire.CodeInvalidPartitions, "A topic can't have more than %d partitions.", b.cfg.Limits.TopicPartitionsMax)
	}
	return partitions, configs, err
}

func (b *Broker) checkNumbers(t *kmsg.CreateTopicsRequestTopic) (int32, error) {
	switch rf := t.ReplicationFactor; {
	case rf == 0 || rf < -1:
		return 0, refuse(wire.CodeInvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case int(rf) > max(replicationFactorAlways, len(b.view().Live())):
		return 0, refuse(wire.CodeInvalidReplicationFactor,
			"Unable to replicate the partition %d time(s): there are %d agents.", rf, len(b.view().Live()))
	}
	switch {
	case t.NumPartitions == -1:
		return b.partitionsDefault(), nil
	case t.NumPartitions < 1:
		return 0, refuse(wire.CodeInvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	return t.NumPartitions, nil
}

// checkAssignment holds Kafka's rules for manual assignments.
func (b *Broker) checkAssignment(t *kmsg.CreateTopicsRequestTopic) (int32, error) {
	switch {
	case t.ReplicationFactor != -1:
		return 0, refuse(wire.CodeInvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	case t.NumPartitions != -1:
		return 0, refuse(wire.CodeInvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	seen := make(map[int32]bool, len(t.ReplicaAssignment))
	for _, a := range t.ReplicaAssignment {
		switch {
		case seen[a.Partition]:
			return 0, refuse(wire.CodeInvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		case len(a.Replicas) == 0:
			return 0, refuse(wire.CodeInvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
		}
		for i, node := range a.Replicas {
			switch {
			case slices.Contains(a.Replicas[:i], node):
				return 0, refuse(wire.CodeInvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", node)
			case !b.known(node):
				return 0, refuse(wire.CodeInvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", node)
			}
		}
		seen[a.Partition] = true
	}
	for i := range int32(len(t.ReplicaAssignment)) {
		if !seen[i] {
			return 0, refuse(wire.CodeInvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	return int32(len(t.ReplicaAssignment)), nil
}

// createdTopic answers for one topic.
func (b *Broker) createdTopic(n *newTopic, validateOnly bool) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic = n.name
	if n.err != nil {
		out.ErrorCode, out.ErrorMessage = codeOf(n.err), messageOf(n.err)
		out.NumPartitions, out.ReplicationFactor = -1, -1
		return out
	}
	if !validateOnly {
		out.TopicID = n.topic.ID
	}
	out.NumPartitions, out.ReplicationFactor = n.topic.Partitions, replicationFactor
	for _, d := range b.describeTopic(n.topic, false) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source, c.IsSensitive = d.setting.Name, d.shown(), int8(d.source), d.setting.Sensitive()
		out.Configs = append(out.Configs, c)
	}
	return out
}
