package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

func TestCreateTopics_EveryVersion(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"num.partitions": "3"}})
	for version := int16(2); version <= 7; version++ {
		name := fmt.Sprintf("topic-%d", version)
		resp := call[*kmsg.CreateTopicsResponse](a, createRequest(version, newTopicRequest(name, -1, map[string]string{"retention.ms": " 60000 "})))
		got := resp.Topics[0]
		if got.ErrorCode != 0 || got.Topic != name {
			t.Fatalf("version %d: %+v", version, got)
		}
		topic := a.broker.topic(name)
		if topic == nil || topic.Partitions != 3 || topic.Configs["retention.ms"] != "60000" {
			t.Fatalf("version %d: the catalog has %+v", version, topic)
		}
		if version >= 5 && (got.NumPartitions != 3 || got.ReplicationFactor != 1 || len(got.Configs) != len(topicSettings)) {
			t.Errorf("version %d: %d partitions, factor %d, %d configs", version, got.NumPartitions, got.ReplicationFactor, len(got.Configs))
		}
		if version >= 7 && got.TopicID != topic.ID {
			t.Errorf("version %d: id %x", version, got.TopicID)
		}
		for i := range topic.Partitions {
			metastore.View(a.follower.Replica(metastore.ShardJournal(topic.Shard(i, testShards))), func(s *shard.State) {
				if _, _, _, open := s.Bounds(shard.PartitionID{Topic: topic.Number, Index: i}); !open {
					t.Errorf("version %d: partition %d is not open in its shard", version, i)
				}
			})
		}
	}
}

func TestCreateTopics_Refusals(t *testing.T) {
	a := newAgent(t, newStore(), options{limits: func(l *Limits) { l.PartitionsMax, l.TopicPartitionsMax, l.TopicConfigBytesMax = 20, 10, 100 }})
	a.create("exists", 1, nil)
	a.create("dotted.name", 1, nil)
	assigned := func(rf int16, partitions int32, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
		r := newTopicRequest("assigned", partitions, nil)
		r.ReplicationFactor = rf
		for i, nodes := range replicas {
			r.ReplicaAssignment = append(r.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: nodes})
		}
		return r
	}
	factor := func(rf int16) kmsg.CreateTopicsRequestTopic {
		r := newTopicRequest("factor", 1, nil)
		r.ReplicationFactor = rf
		return r
	}
	twice := assigned(-1, -1, []int32{1}, []int32{1})
	twice.ReplicaAssignment[1].Partition = 0
	gap := assigned(-1, -1, []int32{1}, []int32{1})
	gap.ReplicaAssignment[1].Partition = 2
	null := newTopicRequest("null", 1, nil)
	null.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
	config := func(name, value string) kmsg.CreateTopicsRequestTopic {
		return newTopicRequest("config", 1, map[string]string{name: value})
	}
	for _, row := range []struct {
		name  string
		topic kmsg.CreateTopicsRequestTopic
		code  int16
	}{
		{"exists", newTopicRequest("exists", 1, nil), wire.CodeTopicAlreadyExists},
		{"collides", newTopicRequest("dotted_name", 1, nil), wire.CodeInvalidTopicException},
		{"no name", newTopicRequest("", 1, nil), wire.CodeInvalidTopicException},
		{"dot", newTopicRequest(".", 1, nil), wire.CodeInvalidTopicException},
		{"two dots", newTopicRequest("..", 1, nil), wire.CodeInvalidTopicException},
		{"a slash", newTopicRequest("a/b", 1, nil), wire.CodeInvalidTopicException},
		{"not ASCII", newTopicRequest("wadiï", 1, nil), wire.CodeInvalidTopicException},
		{"too long", newTopicRequest(strings.Repeat("x", 250), 1, nil), wire.CodeInvalidTopicException},
		{"KRaft's", newTopicRequest("__cluster_metadata", 1, nil), wire.CodeInvalidRequest},
		{"no partitions", newTopicRequest("p", 0, nil), wire.CodeInvalidPartitions},
		{"negative partitions", newTopicRequest("p", -2, nil), wire.CodeInvalidPartitions},
		{"too many partitions", newTopicRequest("p", 11, nil), wire.CodeInvalidPartitions},
		{"factor 0", factor(0), wire.CodeInvalidReplicationFactor},
		{"factor -2", factor(-2), wire.CodeInvalidReplicationFactor},
		{"factor 4", factor(4), wire.CodeInvalidReplicationFactor},
		{"factor -32768", factor(-32768), wire.CodeInvalidReplicationFactor},
		{"assignment and factor", assigned(1, -1, []int32{1}), wire.CodeInvalidRequest},
		{"assignment and partitions", assigned(-1, 1, []int32{1}), wire.CodeInvalidRequest},
		{"assigned to nobody", assigned(-1, -1, []int32{}), wire.CodeInvalidReplicaAssignment},
		{"assigned to a stranger", assigned(-1, -1, []int32{77}), wire.CodeInvalidReplicaAssignment},
		{"assigned to one node twice", assigned(-1, -1, []int32{1, 1}), wire.CodeInvalidReplicaAssignment},
		{"a partition assigned twice", twice, wire.CodeInvalidReplicaAssignment},
		{"a partition left out", gap, wire.CodeInvalidReplicaAssignment},
		{"null config", null, wire.CodeInvalidConfig},
		{"unknown config", config("retention", "1"), wire.CodeInvalidConfig},
		{"not a number", config("retention.ms", "soon"), wire.CodeInvalidConfig},
		{"out of range", config("retention.ms", "-2"), wire.CodeInvalidConfig},
		{"too large for an int", config("max.message.bytes", "2147483648"), wire.CodeInvalidConfig},
		{"not one of", config("cleanup.policy", "delete,burn"), wire.CodeInvalidConfig},
		{"tiered storage", config("remote.storage.enable", "true"), wire.CodeInvalidConfig},
		{"lags the wrong way", newTopicRequest("config", 1, map[string]string{"min.compaction.lag.ms": "2", "max.compaction.lag.ms": "1"}), wire.CodeInvalidConfig},
		{"configs too large", config("leader.replication.throttled.replicas", "1:1,2:1,3:1,4:1,5:1,6:1,7:1,8:1,9:1,10:1,11:1,12:1,13:1,14:1,15:1,16:1"), wire.CodeInvalidConfig},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, validateOnly := range []bool{true, false} {
				req := createRequest(7, row.topic)
				req.ValidateOnly = validateOnly
				got := call[*kmsg.CreateTopicsResponse](a, req).Topics[0]
				if got.ErrorCode != row.code || got.ErrorMessage == nil || *got.ErrorMessage == "" {
					t.Errorf("validate only %v: code %d, want %d", validateOnly, got.ErrorCode, row.code)
				}
			}
		})
	}
	for rf := int16(1); rf <= 3; rf++ {
		r := newTopicRequest(fmt.Sprint("factor", rf), 1, nil)
		r.ReplicationFactor = rf
		if got := call[*kmsg.CreateTopicsResponse](a, createRequest(7, r)).Topics[0]; got.ErrorCode != 0 {
			t.Errorf("factor %d: %d", rf, got.ErrorCode)
		}
	}
	if got := call[*kmsg.CreateTopicsResponse](a, createRequest(7, assigned(-1, -1, []int32{1}, []int32{1}))).Topics[0]; got.ErrorCode != 0 || got.NumPartitions != 2 {
		t.Errorf("assigned: %+v", got)
	}
}

func TestCreateTopics_ClusterLimit(t *testing.T) {
	a := newAgent(t, newStore(), options{limits: func(l *Limits) { l.PartitionsMax, l.TopicPartitionsMax = 10, 10 }})
	resp := call[*kmsg.CreateTopicsResponse](a, createRequest(7,
		newTopicRequest("a", 6, nil), newTopicRequest("b", 5, nil), newTopicRequest("c", 4, nil)))
	for i, want := range []int16{0, wire.CodeInvalidPartitions, 0} {
		if resp.Topics[i].ErrorCode != want {
			t.Errorf("topic %s: code %d", resp.Topics[i].Topic, resp.Topics[i].ErrorCode)
		}
	}
}

func TestCreateTopics_OneRequest(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	resp := call[*kmsg.CreateTopicsResponse](a, createRequest(7,
		newTopicRequest("twice", 1, nil), newTopicRequest("x.y", 1, nil), newTopicRequest("twice", 1, nil), newTopicRequest("x_y", 1, nil), newTopicRequest("z", 1, nil)))
	want := map[string]int16{"twice": wire.CodeInvalidRequest, "x.y": 0, "x_y": wire.CodeInvalidTopicException, "z": 0}
	if len(resp.Topics) != len(want) {
		t.Fatalf("%d answers", len(resp.Topics))
	}
	for _, got := range resp.Topics {
		if got.ErrorCode != want[got.Topic] {
			t.Errorf("%s: code %d", got.Topic, got.ErrorCode)
		}
	}
	if v := a.follower.Replica(metastore.CatalogJournal).Version(); v != 1 {
		t.Errorf("two topics took %d appends", v)
	}
}

func TestCreateTopics_ValidateOnlyChangesNothing(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	req := createRequest(7, newTopicRequest("t", 5, nil))
	req.ValidateOnly = true
	got := call[*kmsg.CreateTopicsResponse](a, req).Topics[0]
	if got.ErrorCode != 0 || got.NumPartitions != 5 || got.TopicID != [16]byte{} {
		t.Errorf("%+v", got)
	}
	if v := a.follower.Replica(metastore.CatalogJournal).Version(); v != 0 {
		t.Errorf("the catalog is at version %d", v)
	}
}

func TestCreateTopics_ManyAtOnce(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	var topics []kmsg.CreateTopicsRequestTopic
	for i := range 9000 {
		topics = append(topics, newTopicRequest(fmt.Sprintf("%s-%d", strings.Repeat("n", 60), i), 1, nil))
	}
	for i, got := range call[*kmsg.CreateTopicsResponse](a, createRequest(4, topics...)).Topics {
		if got.ErrorCode != 0 {
			t.Fatalf("topic %d: code %d", i, got.ErrorCode)
		}
	}
	if v := a.follower.Replica(metastore.CatalogJournal).Version(); v < 2 || v > 8 {
		t.Errorf("%d appends", v)
	}
}

// ahead is a store where another agent appends to the catalog just before each of
// the first appends of this one.
type ahead struct {
	metastore.Store
	times  atomic.Int64
	before func()
}

func (s *ahead) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	if parts[0].Journal == metastore.CatalogJournal && s.times.Add(-1) >= 0 {
		s.before()
	}
	return s.Store.Append(ctx, term, parts)
}

func TestCreateTopics_DecidedAnewAfterAStrictLoss(t *testing.T) {
	store := newStore()
	other := newAgent(t, store, options{})
	racing := &ahead{Store: store}
	theirs := []string{"unrelated", "contested"} // the last one first
	racing.before = func() { other.create(theirs[racing.times.Load()], 1, nil) }
	racing.times.Store(int64(len(theirs)))
	a := newAgent(t, store, options{store: racing})
	resp := call[*kmsg.CreateTopicsResponse](a, createRequest(7, newTopicRequest("mine", 2, nil), newTopicRequest("contested", 2, nil)))
	if resp.Topics[0].ErrorCode != 0 {
		t.Errorf("mine: %d %v", resp.Topics[0].ErrorCode, *resp.Topics[0].ErrorMessage)
	}
	if resp.Topics[1].ErrorCode != wire.CodeTopicAlreadyExists {
		t.Errorf("contested: %d", resp.Topics[1].ErrorCode)
	}
	if err := other.broker.refreshCatalog(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := other.broker.topic("mine"), a.broker.topic("mine"); got == nil || got.ID != want.ID || got.Number != want.Number {
		t.Errorf("the agents see %+v and %+v", got, want)
	}
}

func TestCreateTopics_GivesUpWhereOthersAlwaysWin(t *testing.T) {
	store := newStore()
	other := newAgent(t, store, options{})
	racing := &ahead{Store: store}
	racing.before = func() { other.create(fmt.Sprint("t", racing.times.Load()), 1, nil) }
	racing.times.Store(1 << 40)
	a := newAgent(t, store, options{store: racing})
	got := call[*kmsg.CreateTopicsResponse](a, createRequest(7, newTopicRequest("mine", 1, nil))).Topics[0]
	if got.ErrorCode != wire.CodeRequestTimedOut {
		t.Errorf("%d", got.ErrorCode)
	}
}

// lossy is a store whose appends to the catalog land while their answer is lost, once.
type lossy struct {
	metastore.Store
	done atomic.Bool
}

func (s *lossy) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	versions, err := s.Store.Append(ctx, term, parts)
	if parts[0].Journal == metastore.CatalogJournal && s.done.CompareAndSwap(false, true) {
		return nil, errors.New("connection reset")
	}
	return versions, err
}

func TestCreateTopics_ReplyLost(t *testing.T) {
	store := newStore()
	a := newAgent(t, store, options{store: &lossy{Store: store}})
	got := call[*kmsg.CreateTopicsResponse](a, createRequest(7, newTopicRequest("t", 1, nil))).Topics[0]
	if got.ErrorCode != 0 || a.broker.topic("t") == nil {
		t.Errorf("%+v", got)
	}
}

func TestTopics_TermEnded(t *testing.T) {
	store := newStore()
	a := newAgent(t, store, options{})
	terms, err := store.Terms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.EndTerm(t.Context(), terms[0].Term, true); err != nil {
		t.Fatal(err)
	}
	if got := call[*kmsg.CreateTopicsResponse](a, createRequest(7, newTopicRequest("t", 1, nil))).Topics[0]; got.ErrorCode != wire.CodeNotController {
		t.Errorf("create: %d", got.ErrorCode)
	}
	req := &kmsg.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1}
	if got := call[*kmsg.InitProducerIDResponse](a, req); got.ErrorCode != wire.CodeCoordinatorLoadInProgress || got.ProducerID != -1 {
		t.Errorf("producer id: %+v", got)
	}
}

// deletion names topics by name or id.
func deletion(topics ...any) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 6, 30_000
	for _, topic := range topics {
		r := kmsg.NewDeleteTopicsRequestTopic()
		switch v := topic.(type) {
		case string:
			r.Topic = &v
		case [16]byte:
			r.TopicID = v
		}
		req.Topics = append(req.Topics, r)
	}
	return req
}

func TestDeleteTopics_EveryVersion(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for version := int16(1); version <= 6; version++ {
		first := a.create("flights", 7, nil)
		topic := a.broker.topic("flights")
		req := deletion("flights")
		req.Version, req.TopicNames = version, []string{"flights"}
		got := call[*kmsg.DeleteTopicsResponse](a, req).Topics[0]
		if got.ErrorCode != 0 || got.Topic == nil || *got.Topic != "flights" || version >= 6 && got.TopicID != first {
			t.Errorf("version %d: %+v", version, got)
		}
		if a.broker.topic("flights") != nil || a.broker.topicByID(first) != nil {
			t.Errorf("version %d: the topic is still there", version)
		}
		for i := range topic.Partitions {
			metastore.View(a.follower.Replica(metastore.ShardJournal(topic.Shard(i, testShards))), func(s *shard.State) {
				if _, _, _, open := s.Bounds(shard.PartitionID{Topic: topic.Number, Index: i}); open {
					t.Errorf("version %d: partition %d is still open", version, i)
				}
			})
		}
	}
}

func TestDeleteTopics_ByID(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id, other := a.create("a", 1, nil), a.create("b", 1, nil)
	both := deletion("b")
	both.Topics[0].TopicID = other
	resp := call[*kmsg.DeleteTopicsResponse](a, deletion(id, [16]byte{9}, "nowhere", nil))
	for i, want := range []int16{0, wire.CodeUnknownTopicID, wire.CodeUnknownTopicOrPartition, wire.CodeInvalidRequest} {
		if resp.Topics[i].ErrorCode != want {
			t.Errorf("topic %d: code %d, want %d", i, resp.Topics[i].ErrorCode, want)
		}
	}
	if name := resp.Topics[0].Topic; name == nil || *name != "a" {
		t.Errorf("deleted by id: name %v", name)
	}
	if got := call[*kmsg.DeleteTopicsResponse](a, both).Topics[0].ErrorCode; got != wire.CodeInvalidRequest {
		t.Errorf("by name and id: %d", got)
	}
	resp = call[*kmsg.DeleteTopicsResponse](a, deletion(other, "b"))
	for _, got := range resp.Topics {
		if got.ErrorCode != wire.CodeInvalidRequest {
			t.Errorf("by id and by name: %d", got.ErrorCode)
		}
	}
	if a.broker.topic("b") == nil {
		t.Error("named in two ways, and deleted")
	}
}

func TestDeleteTopics_Duplicates(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("a", 1, nil)
	resp := call[*kmsg.DeleteTopicsResponse](a, deletion("a", "a", [16]byte{3}, [16]byte{3}))
	if len(resp.Topics) != 2 || resp.Topics[0].ErrorCode != wire.CodeInvalidRequest || resp.Topics[1].ErrorCode != wire.CodeInvalidRequest {
		t.Errorf("%+v", resp.Topics)
	}
	if a.broker.topic("a") == nil {
		t.Error("named twice, and deleted")
	}
}

func TestDeleteTopics_Disabled(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"delete.topic.enable": "false"}})
	a.create("a", 1, nil)
	for version, want := range map[int16]int16{2: wire.CodeInvalidRequest, 3: wire.CodeTopicDeletionDisabled, 6: wire.CodeTopicDeletionDisabled} {
		req := deletion("a")
		req.Version, req.TopicNames = version, []string{"a"}
		if got := call[*kmsg.DeleteTopicsResponse](a, req).Topics[0].ErrorCode; got != want {
			t.Errorf("version %d: %d", version, got)
		}
	}
}

// viewOf is a cluster of so many agents, as the first of them sees it.
func viewOf(agents int) *cluster.View {
	all := make([]cluster.Agent, agents)
	for i := range all {
		all[i] = cluster.Agent{Node: int32(i + 1), Seat: int32(i + 1), AgentInfo: metastore.AgentInfo{
			KafkaHost: "127.0.0.1", KafkaPort: int32(1000 + i), Roles: metastore.RolesAll, Level: metastore.FeatureLevel}}
	}
	return cluster.NewView(1, testShards, all)
}

// TestCreateTopics_FactorOfTheAgents: a replication factor may be as large as the number of
// agents, and 3 always.
func TestCreateTopics_FactorOfTheAgents(t *testing.T) {
	for agents, largest := range map[int]int16{1: 3, 3: 3, 5: 5} {
		a := newAgent(t, newStore(), options{view: func() *cluster.View { return viewOf(agents) }})
		for factor := int16(-1); factor <= 7; factor++ {
			topic := newTopicRequest(fmt.Sprintf("t%d", factor), 1, nil)
			topic.ReplicationFactor = factor
			want := int16(0)
			if factor == 0 || factor > largest {
				want = wire.CodeInvalidReplicationFactor
			}
			if got := call[*kmsg.CreateTopicsResponse](a, createRequest(7, topic)).Topics[0]; got.ErrorCode != want {
				t.Errorf("%d agents, factor %d: %d", agents, factor, got.ErrorCode)
			}
		}
	}
}
