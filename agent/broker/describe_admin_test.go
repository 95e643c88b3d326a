package broker

import (
	"fmt"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

func TestListConfigResources(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("b", 1, nil)
	a.create("a", 1, nil)
	for _, x := range []struct {
		version int16
		types   []int8
		code    int16
		want    string
	}{
		{0, nil, 0, "[]"},
		{1, nil, 0, "[4 1 2 a 2 b]"},
		{1, []int8{2}, 0, "[2 a 2 b]"},
		{1, []int8{4, 8, 16, 32}, 0, "[4 1]"},
		{1, []int8{2, 3}, wire.CodeUnsupportedVersion, "[]"},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = x.version, x.types
		resp := call[*kmsg.ListConfigResourcesResponse](a, req)
		got := []any{}
		for _, r := range resp.ConfigResources {
			got = append(got, r.Type, r.Name)
		}
		if resp.ErrorCode != x.code || fmt.Sprint(got) != x.want {
			t.Errorf("version %d %v: %d %v", x.version, x.types, resp.ErrorCode, got)
		}
	}
}

func electRequest(version int16, kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersRequest {
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType = version, kind
	if topic != "" {
		t := kmsg.NewElectLeadersRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
	}
	return req
}

func TestElectLeaders_IsNeverNeeded(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 2, nil)
	for version := int16(0); version <= 2; version++ {
		for kind := range min(int8(2), int8(version)+1) {
			resp := call[*kmsg.ElectLeadersResponse](a, electRequest(version, kind, "t", 1, 0, 2))
			if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 3 {
				t.Fatalf("version %d: %+v", version, resp)
			}
			for i, want := range []int16{wire.CodeElectionNotNeeded, wire.CodeElectionNotNeeded, wire.CodeUnknownTopicOrPartition} {
				if p := resp.Topics[0].Partitions[i]; p.ErrorCode != want || p.ErrorMessage == nil {
					t.Errorf("version %d: %+v", version, p)
				}
			}
		}
		if got := call[*kmsg.ElectLeadersResponse](a, electRequest(version, 0, "nowhere", 0)).Topics[0].Partitions[0]; got.ErrorCode != wire.CodeUnknownTopicOrPartition ||
			*got.ErrorMessage != "No such topic as nowhere" {
			t.Errorf("version %d: %+v", version, got)
		}
		if all := call[*kmsg.ElectLeadersResponse](a, electRequest(version, 0, "")); all.ErrorCode != 0 || len(all.Topics) != 1 || len(all.Topics[0].Partitions) != 0 {
			t.Errorf("version %d, all: %+v", version, all)
		}
	}
	resp := call[*kmsg.ElectLeadersResponse](a, electRequest(2, 7, "t", 0))
	if resp.ErrorCode != wire.CodeInvalidRequest || resp.Topics[0].Partitions[0].ErrorCode != wire.CodeInvalidRequest {
		t.Errorf("an unknown kind: %+v", resp)
	}
}

// pageRequest asks for topics from a cursor on; partition -2: none.
func pageRequest(limit int32, topic string, partition int32, names ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = limit
	for _, name := range names {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = name
		req.Topics = append(req.Topics, t)
	}
	if partition > -2 {
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: partition}
	}
	return req
}

// page is an answer in short: topics with their first partition and count, codes, the cursor.
func page(resp *kmsg.DescribeTopicPartitionsResponse) string {
	s := ""
	for _, t := range resp.Topics {
		s += *t.Topic
		if t.ErrorCode != 0 {
			s += fmt.Sprintf("!%d", t.ErrorCode)
		} else if n := len(t.Partitions); n > 0 {
			s += fmt.Sprintf(":%d-%d", t.Partitions[0].Partition, t.Partitions[n-1].Partition)
		}
		s += " "
	}
	if c := resp.NextCursor; c != nil {
		s += fmt.Sprintf("> %s:%d", c.Topic, c.Partition)
	}
	return s
}

func TestDescribeTopicPartitions_Pages(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"max.request.partition.size.limit": "6"}})
	a.create("a", 2, nil)
	a.create("b", 5, nil)
	a.create("c", 1, nil)
	for _, x := range []struct {
		name string
		req  *kmsg.DescribeTopicPartitionsRequest
		want string
	}{
		{"all", pageRequest(2000, "", -2), "a:0-1 b:0-3 > b:4"},
		{"the rest", pageRequest(2000, "b", 4), "b:4-4 c:0-0 "},
		{"a full page", pageRequest(2, "", -2), "a:0-1 > b:0"},
		{"no room asked for", pageRequest(0, "", -2), "a:0-0 > a:1"},
		{"a cursor between topics", pageRequest(9, "bb", 3), "c:0-0 "},
		{"a cursor beyond a topic's end", pageRequest(9, "b", 7), "b c:0-0 "},
		{"by name", pageRequest(9, "", -2, "c", "a", "c"), "a:0-1 c:0-0 "},
		{"unknown and bad names", pageRequest(9, "", -2, "x/y", "nowhere", "c"), "c:0-0 nowhere!3 x/y!17 "},
		{"by name from a cursor", pageRequest(9, "b", 3, "c", "a", "b"), "b:3-4 c:0-0 "},
		{"a cursor that is not asked for", pageRequest(9, "b", 0, "c", "a"), "c!42 a!42 "},
		{"a cursor below 0", pageRequest(9, "b", -1, "b"), "b!42 "},
	} {
		if got := page(call[*kmsg.DescribeTopicPartitionsResponse](a, x.req)); got != x.want {
			t.Errorf("%s: %q", x.name, got)
		}
	}
	resp := call[*kmsg.DescribeTopicPartitionsResponse](a, pageRequest(9, "", -2, "a"))
	topic := resp.Topics[0]
	p := topic.Partitions[0]
	if topic.TopicID != a.broker.topic("a").ID || topic.AuthorizedOperations != topicOperations || topic.AuthorizedOperations == math.MinInt32 {
		t.Errorf("%+v", topic)
	}
	if p.LeaderID != 1 || p.LeaderEpoch != 0 || len(p.Replicas) != 1 || len(p.ISR) != 1 || len(p.OfflineReplicas) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestDescribeTopicPartitions_SeesWhatAnotherAgentCreated(t *testing.T) {
	store := newStore()
	other, a := newAgent(t, store, options{}), newAgent(t, store, options{})
	other.create("t", 1, nil)
	if got := page(call[*kmsg.DescribeTopicPartitionsResponse](a, pageRequest(9, "", -2, "t"))); got != "t:0-0 " {
		t.Error(got)
	}
}

func TestDescribeProducers(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 1, nil)
	h := plain()
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = 7, 3, 0
	if got := a.produce(13, "", id, records(h, "a", "b")); got.ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	for _, name := range []string{"t", "nowhere"} {
		topic := kmsg.NewDescribeProducersRequestTopic()
		topic.Topic, topic.Partitions = name, []int32{0, 1}
		req.Topics = append(req.Topics, topic)
	}
	resp := call[*kmsg.DescribeProducersResponse](a, req)
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 || len(p.ActiveProducers) != 1 {
		t.Fatalf("%+v", p)
	}
	got := p.ActiveProducers[0]
	if got.ProducerID != 7 || got.ProducerEpoch != 3 || got.LastSequence != 1 || got.LastTimestamp <= 0 || got.CoordinatorEpoch != -1 || got.CurrentTxnStartOffset != -1 {
		t.Errorf("%+v", got)
	}
	for _, p := range append(resp.Topics[1].Partitions, resp.Topics[0].Partitions[1]) {
		if p.ErrorCode != wire.CodeUnknownTopicOrPartition || len(p.ActiveProducers) != 0 {
			t.Errorf("%+v", p)
		}
	}
}

func TestDescribeLogDirs(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 2, nil)
	a.create("u", 1, nil)
	b := records(plain(), "a", "b")
	a.produce(13, "", id, b)
	for version := int16(1); version <= 4; version++ {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version = version
		sizes := func() string {
			resp := call[*kmsg.DescribeLogDirsResponse](a, req)
			if resp.ErrorCode != 0 || len(resp.Dirs) != 1 || resp.Dirs[0].ErrorCode != 0 || resp.Dirs[0].Dir != "bucket" ||
				version >= 4 && (resp.Dirs[0].TotalBytes != -1 || resp.Dirs[0].UsableBytes != -1) {
				t.Fatalf("version %d: %+v", version, resp)
			}
			s := ""
			for _, topic := range resp.Dirs[0].Topics {
				s += topic.Topic
				for _, p := range topic.Partitions {
					s += fmt.Sprintf(" %d:%d", p.Partition, p.Size)
				}
				s += "; "
			}
			return s
		}
		if got, want := sizes(), fmt.Sprintf("t 0:%d 1:0; u 0:0; ", len(b)); got != want {
			t.Errorf("version %d: %s, want %s", version, got, want)
		}
		topic := kmsg.NewDescribeLogDirsRequestTopic()
		topic.Topic, topic.Partitions = "t", []int32{7, 1, 1, -1}
		nowhere := kmsg.NewDescribeLogDirsRequestTopic()
		nowhere.Topic, nowhere.Partitions = "nowhere", []int32{0}
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{nowhere, topic}
		if got := sizes(); got != "t 1:0; " {
			t.Errorf("version %d: %s", version, got)
		}
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		if got := sizes(); got != "" {
			t.Errorf("version %d, none asked: %s", version, got)
		}
	}
}
