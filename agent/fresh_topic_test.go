package agent

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire/batch"
)

// TestCluster_WhatAnotherAgentHasJustMade: a topic, or a partition, that was made by one
// agent can be used at another at once, also where agents push nothing to each other:
// nobody is told that it isn't there.
func TestCluster_WhatAnotherAgentHasJustMade(t *testing.T) {
	type ask struct {
		name string
		do   func(ask func(kmsg.Request) kmsg.Response, topic string, id [16]byte, partition int32) (codes []int16)
	}
	body := batch.Append(nil, batch.Header{LeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, []batch.Record{{Value: []byte("v")}})
	produce := func(version int16) func(func(kmsg.Request) kmsg.Response, string, [16]byte, int32) []int16 {
		return func(ask func(kmsg.Request) kmsg.Response, topic string, id [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrProduceRequest()
			r.Version, r.Acks, r.TimeoutMillis = version, -1, 30_000
			r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: body}}}}
			return []int16{ask(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode}
		}
	}
	fetch := func(version int16) func(func(kmsg.Request) kmsg.Response, string, [16]byte, int32) []int16 {
		return func(ask func(kmsg.Request) kmsg.Response, topic string, id [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrFetchRequest()
			r.Version, r.MaxBytes, r.SessionEpoch = version, 1<<20, -1
			r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.FetchRequestTopicPartition{{Partition: partition, PartitionMaxBytes: 1 << 20, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}}}}
			a := ask(r).(*kmsg.FetchResponse)
			return []int16{a.ErrorCode, a.Topics[0].Partitions[0].ErrorCode}
		}
	}
	configs := func(topic string) []kmsg.IncrementalAlterConfigsRequestResource {
		value := "1000"
		return []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &value}}}}
	}
	asks := []ask{
		{"Metadata", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrMetadataRequest()
			r.Version, r.AllowAutoTopicCreation = 12, false
			r.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
			m := ask(r).(*kmsg.MetadataResponse).Topics[0]
			if len(m.Partitions) <= int(partition) && partition == 0 {
				return []int16{m.ErrorCode, -1}
			}
			return []int16{m.ErrorCode}
		}},
		{"Metadata by id", func(ask func(kmsg.Request) kmsg.Response, _ string, id [16]byte, _ int32) []int16 {
			r := kmsg.NewPtrMetadataRequest()
			r.Version = 12
			r.Topics = []kmsg.MetadataRequestTopic{{TopicID: id}}
			return []int16{ask(r).(*kmsg.MetadataResponse).Topics[0].ErrorCode}
		}},
		{"DescribeTopicPartitions", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, _ int32) []int16 {
			r := kmsg.NewPtrDescribeTopicPartitionsRequest()
			r.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: topic}}
			r.ResponsePartitionLimit = 100
			return []int16{ask(r).(*kmsg.DescribeTopicPartitionsResponse).Topics[0].ErrorCode}
		}},
		{"Produce", produce(9)}, {"Produce by id", produce(13)},
		{"Fetch", fetch(12)}, {"Fetch by id", fetch(16)},
		{"ListOffsets", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrListOffsetsRequest()
			r.Version, r.ReplicaID = 7, -1
			r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Partition: partition, Timestamp: -1, CurrentLeaderEpoch: -1}}}}
			return []int16{ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode}
		}},
		{"OffsetForLeaderEpoch", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrOffsetForLeaderEpochRequest()
			r.Version, r.ReplicaID = 4, -1
			r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{Partition: partition, CurrentLeaderEpoch: -1}}}}
			return []int16{ask(r).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0].ErrorCode}
		}},
		{"DeleteRecords", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrDeleteRecordsRequest()
			r.Version, r.TimeoutMillis = 2, 30_000
			r.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: -1}}}}
			return []int16{ask(r).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode}
		}},
		{"DescribeProducers", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrDescribeProducersRequest()
			r.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
			return []int16{ask(r).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0].ErrorCode}
		}},
		{"DescribeConfigs", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, _ int32) []int16 {
			r := kmsg.NewPtrDescribeConfigsRequest()
			r.Version = 4
			r.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic}}
			return []int16{ask(r).(*kmsg.DescribeConfigsResponse).Resources[0].ErrorCode}
		}},
		{"IncrementalAlterConfigs", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, _ int32) []int16 {
			r := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r.Version, r.Resources = 1, configs(topic)
			return []int16{ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode}
		}},
		{"IncrementalAlterConfigs, validated only", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, _ int32) []int16 {
			r := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r.Version, r.Resources, r.ValidateOnly = 1, configs(topic), true
			return []int16{ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode}
		}},
		{"ElectLeaders", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrElectLeadersRequest()
			r.Version, r.TimeoutMillis = 2, 30_000
			r.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
			a := ask(r).(*kmsg.ElectLeadersResponse)
			code := a.Topics[0].Partitions[0].ErrorCode
			if code == kerr.ElectionNotNeeded.Code {
				code = 0 // the answer for a partition that is there
			}
			return []int16{a.ErrorCode, code}
		}},
		{"OffsetCommit", func(ask func(kmsg.Request) kmsg.Response, topic string, id [16]byte, partition int32) []int16 {
			r := kmsg.NewPtrOffsetCommitRequest()
			r.Version, r.Group, r.Generation = 8, "g", -1
			r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: partition, LeaderEpoch: -1}}}}
			code := ask(r).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
			if code == kerr.NotCoordinator.Code {
				code = 0 // another agent is asked
			}
			return []int16{code}
		}},
		{"CreatePartitions", func(ask func(kmsg.Request) kmsg.Response, topic string, _ [16]byte, _ int32) []int16 {
			r := kmsg.NewPtrCreatePartitionsRequest()
			r.Version, r.TimeoutMillis = 3, 30_000
			r.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: topic, Count: 9}}
			return []int16{ask(r).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode}
		}},
		{"DeleteTopics", func(ask func(kmsg.Request) kmsg.Response, _ string, id [16]byte, _ int32) []int16 {
			r := kmsg.NewPtrDeleteTopicsRequest()
			r.Version, r.TimeoutMillis = 6, 30_000
			r.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: id}}
			return []int16{ask(r).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode}
		}},
	}
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		a, b := n.start("a", false), n.start("b", false)
		time.Sleep(3 * time.Second)
		conn := map[*started]func(kmsg.Request) kmsg.Response{}
		for _, s := range []*started{a, b} {
			seed := n.client(s).SeedBrokers()[0]
			conn[s] = func(r kmsg.Request) kmsg.Response {
				t.Helper()
				answer, err := seed.Request(t.Context(), r)
				if err != nil {
					t.Fatalf("%T: %v", r, err)
				}
				return answer
			}
		}
		for i, ask := range asks {
			topic := fmt.Sprint("t", i)
			a.create(topic, 2)
			var id [16]byte
			metastore.View(a.process.follower.Replica(metastore.CatalogJournal), func(c *catalog.State) { id = c.Topic(topic).ID })
			for _, code := range ask.do(conn[b], topic, id, 0) {
				if code != 0 {
					t.Errorf("%s, of a topic: %v", ask.name, kerr.ErrorForCode(code))
				}
			}
			if ask.name == "CreatePartitions" || ask.name == "DeleteTopics" {
				continue
			}
			more := kmsg.NewPtrCreatePartitionsRequest()
			more.Version, more.TimeoutMillis = 3, 30_000
			more.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: topic, Count: 5}}
			if code := conn[a](more).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode; code != 0 {
				t.Fatal(kerr.ErrorForCode(code))
			}
			for _, code := range ask.do(conn[b], topic, id, 4) {
				if code != 0 {
					t.Errorf("%s, of a partition: %v", ask.name, kerr.ErrorForCode(code))
				}
			}
		}
	})
}
