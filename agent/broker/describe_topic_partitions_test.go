package broker

import (
	"fmt"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

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
