package broker

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

func growing(topic string, count int32, assignments ...[]int32) kmsg.CreatePartitionsRequestTopic {
	g := kmsg.NewCreatePartitionsRequestTopic()
	g.Topic, g.Count = topic, count
	for _, nodes := range assignments {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = nodes
		g.Assignment = append(g.Assignment, a)
	}
	return g
}

func growRequest(version int16, topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.Topics, req.TimeoutMillis = version, topics, 30_000
	return req
}

// openPartitions counts the partitions of a topic that are open in their shards, from 0 on.
func (a *agent) openPartitions(name string) int32 {
	a.t.Helper()
	t := a.broker.topic(name)
	for i := range testShards { // another agent may have opened them
		if err := a.follower.Refresh(a.t.Context(), metastore.ShardJournal(i)); err != nil {
			a.t.Fatal(err)
		}
	}
	n := int32(0)
	for ; ; n++ {
		found := false
		metastore.View(a.follower.Replica(metastore.ShardJournal(t.Shard(n, testShards))), func(s *shard.State) {
			_, _, _, found = s.Bounds(shard.PartitionID{Topic: t.Number, Index: n})
		})
		if !found {
			return n
		}
	}
}

func TestCreatePartitions_EveryVersion(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for version := int16(0); version <= 3; version++ {
		name := "flights" + string('0'+rune(version))
		id := a.create(name, 3, nil)
		if got := a.produce(13, "", id, records(plain(), "before")); got.ErrorCode != 0 {
			t.Fatalf("%+v", got)
		}
		got := call[*kmsg.CreatePartitionsResponse](a, growRequest(version, growing(name, 9))).Topics[0]
		if got.ErrorCode != 0 || got.ErrorMessage != nil || got.Topic != name {
			t.Fatalf("version %d: %+v", version, got)
		}
		if topic := a.broker.topic(name); topic.Partitions != 9 || topic.ID != id || a.openPartitions(name) != 9 {
			t.Errorf("version %d: %d partitions, %d open", version, topic.Partitions, a.openPartitions(name))
		}
		req := produceRequest(13, "", id, records(plain(), "new"))
		req.Topics[0].Partitions[0].Partition = 8
		if p := call[*kmsg.ProduceResponse](a, req).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
			t.Errorf("version %d: %+v", version, p)
		}
		if p := a.produce(13, "", id, records(plain(), "after")); p.ErrorCode != 0 || p.BaseOffset != 1 {
			t.Errorf("version %d: %+v", version, p)
		}
	}
}

func TestCreatePartitions_Refuses(t *testing.T) {
	a := newAgent(t, newStore(), options{limits: func(l *Limits) { l.PartitionsMax, l.TopicPartitionsMax = 20, 15 }})
	a.create("t", 4, nil)
	a.create("other", 2, nil)
	before := a.version()
	for _, x := range []struct {
		name    string
		topic   kmsg.CreatePartitionsRequestTopic
		code    int16
		message string
	}{
		{"unknown", growing("nowhere", 2), wire.CodeUnknownTopicOrPartition, "<null>"},
		{"as many", growing("t", 4), wire.CodeInvalidPartitions, "Topic already has 4 partition(s)."},
		{"fewer", growing("t", 3), wire.CodeInvalidPartitions, "The topic t currently has 4 partition(s); 3 would not be an increase."},
		{"below none", growing("t", -1), wire.CodeInvalidPartitions, "-1 would not be an increase."},
		{"more than a topic may have", growing("t", 16), wire.CodeInvalidPartitions, "more than 15"},
		{"more than all topics may have", growing("other", 15), wire.CodeNone, ""},
		{"too few assignments", growing("t", 6, []int32{1}), wire.CodeInvalidReplicaAssignment, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
		{"an empty assignment", growing("t", 5, []int32{}), wire.CodeInvalidReplicaAssignment, "includes an empty replica list"},
		{"an unknown broker", growing("t", 5, []int32{7}), wire.CodeInvalidReplicaAssignment, "includes broker 7, but no such broker is registered."},
		{"a broker twice", growing("t", 5, []int32{1, 1}), wire.CodeInvalidReplicaAssignment, "includes the broker 1 more than once."},
	} {
		req := growRequest(3, x.topic)
		req.ValidateOnly = true
		got := call[*kmsg.CreatePartitionsResponse](a, req).Topics[0]
		if got.ErrorCode != x.code || x.message != "" && !strings.Contains(kmsgText(got.ErrorMessage), x.message) {
			t.Errorf("%s: %d %s", x.name, got.ErrorCode, kmsgText(got.ErrorMessage))
		}
	}
	if a.version() != before || a.broker.topic("other").Partitions != 2 {
		t.Error("something was appended")
	}
	resp := call[*kmsg.CreatePartitionsResponse](a, growRequest(3, growing("other", 15), growing("t", 6)))
	if resp.Topics[0].ErrorCode != 0 || resp.Topics[1].ErrorCode != wire.CodeInvalidPartitions {
		t.Errorf("together above the limit: %+v", resp.Topics)
	}
}

func TestCreatePartitions_Duplicates(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("a", 1, nil)
	a.create("b", 1, nil)
	resp := call[*kmsg.CreatePartitionsResponse](a, growRequest(3, growing("b", 2), growing("a", 2), growing("a", 3)))
	if len(resp.Topics) != 2 || resp.Topics[0].Topic != "a" || resp.Topics[0].ErrorCode != wire.CodeInvalidRequest || resp.Topics[1].ErrorCode != 0 {
		t.Errorf("%+v", resp.Topics)
	}
	if a.broker.topic("a").Partitions != 1 || a.broker.topic("b").Partitions != 2 {
		t.Error("not as told")
	}
}

func TestCreatePartitions_DecidedAnewAfterAStrictLoss(t *testing.T) {
	store := newStore()
	other := newAgent(t, store, options{})
	other.create("t", 1, nil)
	racing := &ahead{Store: store}
	a := newAgent(t, store, options{store: racing})
	racing.before = func() { call[*kmsg.CreatePartitionsResponse](other, growRequest(3, growing("t", 5))) }
	racing.times.Store(1)
	if got := call[*kmsg.CreatePartitionsResponse](a, growRequest(3, growing("t", 6))).Topics[0]; got.ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	if a.broker.topic("t").Partitions != 6 || a.openPartitions("t") != 6 {
		t.Errorf("%d partitions, %d open", a.broker.topic("t").Partitions, a.openPartitions("t"))
	}
	racing.times.Store(1)
	racing.before = func() { call[*kmsg.CreatePartitionsResponse](other, growRequest(3, growing("t", 8))) }
	if got := call[*kmsg.CreatePartitionsResponse](a, growRequest(3, growing("t", 7))).Topics[0]; got.ErrorCode != wire.CodeInvalidPartitions {
		t.Errorf("another one grew it further: %+v", got)
	}
}

func TestCreatePartitions_ReplyLost(t *testing.T) {
	store := newStore()
	newAgent(t, store, options{}).create("t", 1, nil)
	a := newAgent(t, store, options{store: &lossy{Store: store}})
	if got := call[*kmsg.CreatePartitionsResponse](a, growRequest(3, growing("t", 6))).Topics[0]; got.ErrorCode != 0 || a.openPartitions("t") != 6 {
		t.Errorf("%+v, %d open", got, a.openPartitions("t"))
	}
}
