package clients

import (
	"errors"
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	segment "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// idleGroup makes an empty group with one commit, to a topic of its own, as a
// tour of the admin calls wants it.
func idleGroup(t *testing.T, address, group string) {
	t.Helper()
	topic := "topic-of-" + group
	franz{}.create(t, address, topic, 1, nil)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, At: 3, LeaderEpoch: -1})
	if err := (franz{}).admin(t, address).CommitAllOffsets(patient(t), group, offsets); err != nil {
		t.Fatal(err)
	}
}

// tenRecords go to the last partition of a topic of four.
func tenRecords(t *testing.T, address, topic string) {
	t.Helper()
	c := franz{}.connect(t, address, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	defer c.Close()
	for range 10 {
		if err := c.ProduceSync(patient(t), &kgo.Record{Partition: 3, Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// Each client's admin calls: they find what they did. Topics are made and
// removed in TestTopics.
func TestTour(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	checkTour(t, address)
}

func checkTour(t *testing.T, address string) {
	for name, tour := range map[string]func(t *testing.T, address, topic, group string){
		"franz-go": tourFranz, "librdkafka": tourLibrdkafka, "sarama": tourSarama, "kafka-go": tourSegmentio,
	} {
		t.Run(name, func(t *testing.T) {
			topic, group := "tour-"+name, "toured-"+name
			franz{}.create(t, address, topic, 2, nil)
			idleGroup(t, address, group)
			tour(t, address, topic, group)
			groups, err := franz{}.admin(t, address).ListGroups(patient(t))
			if _, found := groups[group]; found || err != nil {
				t.Errorf("%s is there, though deleted (%v)", group, err)
			}
		})
	}
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func tourFranz(t *testing.T, address, topic, group string) {
	a, ctx := franz{}.admin(t, address), patient(t)
	config := func(name string) *kadm.Config {
		t.Helper()
		found, err := a.DescribeTopicConfigs(ctx, topic)
		must(t, err)
		for _, c := range found[0].Configs {
			if c.Key == name {
				return &c
			}
		}
		t.Fatalf("no config %s", name)
		return nil
	}
	set, compact := "86400000", "compact"
	altered, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: &set}, {Op: kadm.AppendConfig, Name: "cleanup.policy", Value: &compact},
	}, topic)
	must(t, errors.Join(err, altered[0].Err))
	expect(t, "retention.ms", config("retention.ms").MaybeValue(), set)
	expect(t, "cleanup.policy", config("cleanup.policy").MaybeValue(), "delete,compact")
	altered, err = a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "retention.ms"}}, topic)
	must(t, errors.Join(err, altered[0].Err))
	expect(t, "retention.ms", config("retention.ms").MaybeValue(), "604800000")
	expect(t, "its source", config("retention.ms").Source.String(), "DEFAULT_CONFIG")
	grown, err := a.UpdatePartitions(ctx, 4, topic)
	must(t, errors.Join(err, grown.Error()))
	expect(t, "the number of partitions", franz{}.partitions(t, address, topic), 4)
	tenRecords(t, address, topic)
	var to kadm.Offsets
	to.Add(kadm.Offset{Topic: topic, Partition: 3, At: 7})
	deleted, err := a.DeleteRecords(ctx, to)
	must(t, errors.Join(err, deleted.Error()))
	starts, err := a.ListStartOffsets(ctx, topic)
	must(t, err)
	expect(t, "the log start", starts[topic][3].Offset, int64(7))
	dirs, err := a.DescribeAllLogDirs(ctx, nil)
	must(t, err)
	expect(t, "the number of nodes with log dirs", len(dirs), brokersAt(address))
	described, err := a.DescribeGroups(ctx, group)
	must(t, errors.Join(err, described.Error()))
	expect(t, "the group's state", described[group].State, "Empty")
	committed, err := a.FetchOffsets(ctx, group)
	must(t, err)
	expect(t, "its commit", committed["topic-of-"+group][0].At, int64(3))
	_, err = a.DeleteGroup(ctx, group)
	must(t, err)
	if _, err = a.DeleteGroup(ctx, group); !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

func tourSarama(t *testing.T, address, topic, group string) {
	a := saramaClient{}.admin(t, address)
	value := "86400000"
	must(t, a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
	}, false))
	found, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	must(t, err)
	expect(t, "retention.ms", found[0].Value, value)
	must(t, a.AlterConfig(sarama.TopicResource, topic, map[string]*string{}, false))
	found, err = a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	must(t, err)
	expect(t, "retention.ms", found[0].Value, "604800000")
	must(t, a.CreatePartitions(topic, 4, nil, false))
	expect(t, "the number of partitions", saramaClient{}.partitions(t, address, topic), 4)
	tenRecords(t, address, topic)
	must(t, a.DeleteRecords(topic, map[int32]int64{3: 7}))
	start, err := saramaClient{}.connect(t, address).GetOffset(topic, 3, sarama.OffsetOldest)
	must(t, err)
	expect(t, "the log start", start, int64(7))
	brokers, _, err := a.DescribeCluster()
	must(t, err)
	_, err = a.DescribeLogDirs([]int32{brokers[0].ID()})
	must(t, err)
	groups, err := a.ListConsumerGroups()
	must(t, err)
	if _, found := groups[group]; !found {
		t.Errorf("%s is not in %v", group, groups)
	}
	described, err := a.DescribeConsumerGroups([]string{group})
	must(t, err)
	expect(t, "the group's state", described[0].State, "Empty")
	committed, err := a.ListConsumerGroupOffsets(group, nil)
	must(t, err)
	expect(t, "its commit", committed.GetBlock("topic-of-"+group, 0).Offset, int64(3))
	must(t, a.DeleteConsumerGroupOffset(group, "topic-of-"+group, 0))
	if _, err := (franz{}).admin(t, address).DeleteGroup(patient(t), group); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		t.Error(err)
	}
}

func tourLibrdkafka(t *testing.T, address, topic, group string) {
	a, ctx := librdkafka{}.admin(t, address), patient(t)
	resource := kafka.ConfigResource{Type: kafka.ResourceTopic, Name: topic}
	value := func(name string) string {
		t.Helper()
		found, err := a.DescribeConfigs(ctx, []kafka.ConfigResource{resource})
		must(t, err)
		return found[0].Config[name].Value
	}
	changed := resource
	changed.Config = []kafka.ConfigEntry{{Name: "retention.ms", Value: "86400000", IncrementalOperation: kafka.AlterConfigOpTypeSet}}
	results, err := a.IncrementalAlterConfigs(ctx, []kafka.ConfigResource{changed})
	must(t, err)
	expect(t, "the error", results[0].Error.Code(), kafka.ErrNoError)
	expect(t, "retention.ms", value("retention.ms"), "86400000")
	grown, err := a.CreatePartitions(ctx, []kafka.PartitionsSpecification{{Topic: topic, IncreaseTo: 4}})
	librdkafka{}.done(t, grown, err)
	expect(t, "the number of partitions", librdkafka{}.partitions(t, address, topic), 4)
	tenRecords(t, address, topic)
	place := kafka.TopicPartition{Topic: &topic, Partition: 3, Offset: 7}
	deleted, err := a.DeleteRecords(ctx, []kafka.TopicPartition{place})
	must(t, err)
	expect(t, "the low watermark", deleted.DeleteRecordsResults[0].DeletedRecords.LowWatermark, kafka.Offset(7))
	offsets, err := a.ListOffsets(ctx, map[kafka.TopicPartition]kafka.OffsetSpec{place: kafka.EarliestOffsetSpec})
	must(t, err)
	for _, o := range offsets.ResultInfos {
		expect(t, "the log start", o.Offset, kafka.Offset(7))
	}
	listed, err := a.ListConsumerGroups(ctx)
	must(t, err)
	if !slices.ContainsFunc(listed.Valid, func(g kafka.ConsumerGroupListing) bool { return g.GroupID == group }) {
		t.Errorf("%s is not in %v", group, listed.Valid)
	}
	described, err := a.DescribeConsumerGroups(ctx, []string{group})
	must(t, err)
	expect(t, "the group's state", described.ConsumerGroupDescriptions[0].State, kafka.ConsumerGroupStateEmpty)
	of := "topic-of-" + group
	committed := []kafka.TopicPartition{{Topic: &of, Partition: 0, Offset: 2}}
	moved, err := a.AlterConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{{Group: group, Partitions: committed}})
	must(t, err)
	must(t, moved.ConsumerGroupsTopicPartitions[0].Partitions[0].Error)
	got, err := a.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{{Group: group, Partitions: committed}})
	must(t, err)
	expect(t, "its commit", got.ConsumerGroupsTopicPartitions[0].Partitions[0].Offset, kafka.Offset(2))
	gone, err := a.DeleteConsumerGroups(ctx, []string{group})
	must(t, err)
	expect(t, "the error", gone.ConsumerGroupResults[0].Error.Code(), kafka.ErrNoError)
}

func tourSegmentio(t *testing.T, address, topic, group string) {
	c, ctx := segmentio{}.client(t, address), patient(t)
	altered, err := c.IncrementalAlterConfigs(ctx, &segment.IncrementalAlterConfigsRequest{
		Resources: []segment.IncrementalAlterConfigsRequestResource{{
			ResourceType: segment.ResourceTypeTopic, ResourceName: topic,
			Configs: []segment.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: "86400000", ConfigOperation: segment.ConfigOperationSet}},
		}},
	})
	must(t, err)
	must(t, altered.Resources[0].Error)
	found, err := c.DescribeConfigs(ctx, &segment.DescribeConfigsRequest{Resources: []segment.DescribeConfigRequestResource{
		{ResourceType: segment.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}},
	}})
	must(t, err)
	expect(t, "retention.ms", found.Resources[0].ConfigEntries[0].ConfigValue, "86400000")
	grown, err := c.CreatePartitions(ctx, &segment.CreatePartitionsRequest{Topics: []segment.TopicPartitionsConfig{{Name: topic, Count: 4}}})
	must(t, err)
	must(t, grown.Errors[topic])
	expect(t, "the number of partitions", segmentio{}.partitions(t, address, topic), 4)
	groups, err := c.ListGroups(ctx, &segment.ListGroupsRequest{})
	must(t, errors.Join(err, groups.Error))
	if !slices.ContainsFunc(groups.Groups, func(g segment.ListGroupsResponseGroup) bool { return g.GroupID == group }) {
		t.Errorf("%s is not in %v", group, groups.Groups)
	}
	described, err := c.DescribeGroups(ctx, &segment.DescribeGroupsRequest{GroupIDs: []string{group}})
	must(t, err)
	expect(t, "the group's state", described.Groups[0].GroupState, "Empty")
	of := "topic-of-" + group
	committed, err := c.OffsetFetch(ctx, &segment.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{of: {0}}})
	must(t, err)
	expect(t, "its commit", committed.Topics[of][0].CommittedOffset, int64(3))
	gone, err := c.DeleteGroups(ctx, &segment.DeleteGroupsRequest{GroupIDs: []string{group}})
	must(t, err)
	must(t, gone.Errors[group])
}
