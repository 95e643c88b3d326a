package main

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// prepare makes a broker ready to coordinate groups.
func prepare(b *broker) {
	s := &session{broker: b, names: newNames(b), conns: map[string]*conn{}}
	defer s.close()
	request := kmsg.NewPtrFindCoordinatorRequest()
	request.CoordinatorKey = "prepare"
	s.await(3, request, func(r kmsg.Response) bool { return r.(*kmsg.FindCoordinatorResponse).ErrorCode == 0 })
	request.CoordinatorType = 1
	s.await(3, request, func(r kmsg.Response) bool { return r.(*kmsg.FindCoordinatorResponse).ErrorCode == 0 })
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Group = "prepare"
	s.await(7, fetch, func(r kmsg.Response) bool { return r.(*kmsg.OffsetFetchResponse).ErrorCode == 0 })
	producer := kmsg.NewPtrInitProducerIDRequest()
	s.await(4, producer, func(r kmsg.Response) bool { return r.(*kmsg.InitProducerIDResponse).ErrorCode == 0 })
}

func apiVersions(s *session) {
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "differential", "1"
	ask[*kmsg.ApiVersionsResponse](s, "version 0", 0, request)
	ask[*kmsg.ApiVersionsResponse](s, "version 3", 3, request)
	ask[*kmsg.ApiVersionsResponse](s, "version 4", 4, request)
	bad := kmsg.NewPtrApiVersionsRequest()
	bad.ClientSoftwareName, bad.ClientSoftwareVersion = "no blanks", "1"
	ask[*kmsg.ApiVersionsResponse](s, "a software name with a blank", 3, bad)
	bad.ClientSoftwareName, bad.ClientSoftwareVersion = "differential", ""
	ask[*kmsg.ApiVersionsResponse](s, "no software version", 3, bad)
	bad.ClientSoftwareVersion = "-x"
	ask[*kmsg.ApiVersionsResponse](s, "a software version that begins with a dash", 3, bad)
	// The answer to a version nobody knows comes in version 0.
	s.rawAPIVersions("version 99", 99)
	s.raw("Metadata version 99", kmsg.NewPtrMetadataResponse(), 99, []byte{0, 0, 0, 0})
	if c, err := s.conn(); err == nil {
		c.sendBody(999, 0, nil)
		response := kmsg.NewPtrApiVersionsResponse()
		s.show("a request of key 999", response, c.receive(response))
		s.drop()
	}
	s.raw("Metadata, cut off", kmsg.NewPtrMetadataResponse(), 1, []byte{0, 0})
	s.raw("Metadata with a huge count", kmsg.NewPtrMetadataResponse(), 1, []byte{0x7f, 0xff, 0xff, 0xff})
}

// rawAPIVersions sends ApiVersions of a version and reads the answer as version 0.
func (s *session) rawAPIVersions(call string, version int16) {
	response := kmsg.NewPtrApiVersionsResponse()
	c, err := s.conn()
	if err == nil {
		if err = c.sendBody(18, version, []byte{0, 2, 'x', 2, '1', 0}); err == nil {
			err = c.receive(response)
		}
	}
	if err != nil {
		s.drop()
	}
	s.show(call, response, err)
}

func metadata(s *session) {
	id := s.topic("meta", 3)
	s.topic("meta.other", 1)
	for _, version := range []int16{0, 1, 4, 5, 7, 8, 9, 10, 12, 13} {
		ask[*kmsg.MetadataResponse](s, named("one topic, version %d", version), version, metadataOf("meta"))
	}
	ask[*kmsg.MetadataResponse](s, "no topics", 9, metadataOf())
	ask[*kmsg.MetadataResponse](s, "a topic twice", 9, metadataOf("meta", "meta"))
	ask[*kmsg.MetadataResponse](s, "an unknown topic", 9, metadataOf("nobody"))
	ask[*kmsg.MetadataResponse](s, "an unknown and a known topic", 9, metadataOf("nobody", "meta"))
	for _, name := range []string{"", ".", "..", "a b", "ä", strings.Repeat("x", 250)} {
		ask[*kmsg.MetadataResponse](s, named("the name %.8q", name), 9, metadataOf(name))
		creating := metadataOf(name)
		creating.AllowAutoTopicCreation = true
		ask[*kmsg.MetadataResponse](s, named("the name %.8q, creating", name), 9, creating)
	}
	byID := metadataOf()
	topic := kmsg.NewMetadataRequestTopic()
	topic.TopicID = id
	byID.Topics = append(byID.Topics, topic)
	ask[*kmsg.MetadataResponse](s, "by id", 12, byID)
	byID.Topics[0].TopicID = noSuchID()
	ask[*kmsg.MetadataResponse](s, "by an unknown id", 12, byID)
	byID.Topics[0].Topic = kmsg.StringPtr("meta")
	ask[*kmsg.MetadataResponse](s, "by an unknown id and a name", 12, byID)
	byID.Topics[0].TopicID = id
	ask[*kmsg.MetadataResponse](s, "by id and name", 12, byID)
	ask[*kmsg.MetadataResponse](s, "by id in version 10", 10, byID)
	byID.Topics[0].TopicID, byID.Topics[0].Topic = [16]byte{}, nil
	ask[*kmsg.MetadataResponse](s, "neither id nor name", 12, byID)
	operations := metadataOf("meta")
	operations.IncludeTopicAuthorizedOperations = true
	operations.IncludeClusterAuthorizedOperations = true
	ask[*kmsg.MetadataResponse](s, "authorised operations", 8, operations)
	ask[*kmsg.MetadataResponse](s, "authorised operations of topics", 12, operations)
	creating := metadataOf("meta.made")
	creating.AllowAutoTopicCreation = true
	quiet[*kmsg.MetadataResponse](s, 12, creating)
	s.awaitTopic("meta.made", 4)
	ask[*kmsg.MetadataResponse](s, "a topic that asking has made", 12, metadataOf("meta.made"))
	colliding := metadataOf("meta_other")
	colliding.AllowAutoTopicCreation = true
	ask[*kmsg.MetadataResponse](s, "creating a name that collides", 12, colliding)

	describe := func(limit int32, names ...string) *kmsg.DescribeTopicPartitionsRequest {
		r := kmsg.NewPtrDescribeTopicPartitionsRequest()
		r.ResponsePartitionLimit = limit
		for _, name := range names {
			t := kmsg.NewDescribeTopicPartitionsRequestTopic()
			t.Topic = name
			r.Topics = append(r.Topics, t)
		}
		return r
	}
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "DescribeTopicPartitions", 0, describe(2000, "meta", "meta.other"))
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "DescribeTopicPartitions, two at a time", 0, describe(2, "meta", "meta.other"))
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "DescribeTopicPartitions of none", 0, describe(2000, "nobody"))
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "DescribeTopicPartitions of a bad name", 0, describe(2000, "a b"))
	paged := describe(2000, "meta", "meta.other")
	paged.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{}
	paged.Cursor.Topic, paged.Cursor.Partition = "meta", 1
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "DescribeTopicPartitions from a cursor", 0, paged)
	paged.Cursor.Topic, paged.Cursor.Partition = "meta", -1
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "DescribeTopicPartitions from a bad cursor", 0, paged)
}

func creating(validateOnly bool, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.TimeoutMillis, r.ValidateOnly, r.Topics = 10_000, validateOnly, topics
	return r
}

// deleting asks for the end of topics by name.
func deleting(names ...string) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.TimeoutMillis = 10_000
	r.TopicNames = names
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		r.Topics = append(r.Topics, t)
	}
	return r
}

func topics(s *session) {
	create := func(call string, version int16, topics ...kmsg.CreateTopicsRequestTopic) {
		ask[*kmsg.CreateTopicsResponse](s, "create "+call, version, creating(false, topics...))
	}
	for version := int16(2); version <= 7; version++ {
		create(named("in version %d", version), version, newTopic(named("made-%d", version), 2, 1))
	}
	create("the defaults", 7, newTopic("defaults", -1, -1))
	s.awaitTopic("defaults", 4)
	create("one that exists", 7, newTopic("defaults", 1, 1))
	create("no partitions", 7, newTopic("t-none", 0, 1))
	create("-2 partitions", 7, newTopic("t-less", -2, 1))
	create("replication factor 0", 7, newTopic("t-factor-0", 1, 0))
	create("replication factor -2", 7, newTopic("t-factor-less", 1, -2))
	create("replication factor 3", 7, newTopic("t-factor-3", 1, 3))
	create("replication factor 4", 7, newTopic("t-factor-4", 1, 4))
	for _, name := range []string{"", ".", "..", "a b", "ä", strings.Repeat("x", 250)} {
		create(named("the name %.8q", name), 7, newTopic(name, 1, 1))
	}
	create("the longest name", 7, newTopic(strings.Repeat("y", 249), 1, 1))
	create("an unknown config", 7, newTopic("t-unknown", 1, 1, "no.such.config", "1"))
	create("a bad config", 7, newTopic("t-bad", 1, 1, "retention.ms", "soon"))
	create("a config out of range", 7, newTopic("t-range", 1, 1, "max.message.bytes", "-1"))
	create("configs", 7, newTopic("t-configs", 1, 1, "max.message.bytes", "2000", "cleanup.policy", "compact,delete"))
	create("the same twice", 7, newTopic("t-twice", 1, 1), newTopic("t-twice", 2, 1))
	create("good and bad", 7, newTopic("t-good", 1, 1), newTopic("a b", 1, 1))
	create("nothing", 7)
	s.topic("t.collides", 1)
	create("a collision", 7, newTopic("t_collides", 1, 1))
	create("a collision in one request", 7, newTopic("in.one", 1, 1), newTopic("in_one", 1, 1))
	empty := newTopic("t-null", 1, 1, "retention.ms", "1")
	empty.Configs[0].Value = nil
	create("a config without a value", 7, empty)

	assign := func(name string, partitions int32, factor int16, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
		t := newTopic(name, partitions, factor)
		for i, nodes := range replicas {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(i), nodes
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
		return t
	}
	node := s.node()
	create("an assignment", 7, assign("t-assigned", -1, -1, []int32{node}, []int32{node}))
	create("an assignment and a count", 7, assign("t-assigned-count", 2, 1, []int32{node}, []int32{node}))
	create("an assignment to nobody", 7, assign("t-assigned-nobody", -1, -1, []int32{77}))
	create("an assignment twice to one", 7, assign("t-assigned-twice", -1, -1, []int32{node, node}))
	create("an empty assignment", 7, assign("t-assigned-empty", -1, -1, []int32{}))
	gap := assign("t-assigned-gap", -1, -1, []int32{node})
	gap.ReplicaAssignment[0].Partition = 1
	create("an assignment with a gap", 7, gap)

	check := func(call string, topics ...kmsg.CreateTopicsRequestTopic) {
		ask[*kmsg.CreateTopicsResponse](s, "check "+call, 7, creating(true, topics...))
	}
	check("a topic", newTopic("t-checked", 3, 1, "retention.ms", "1000"))
	check("one that exists", newTopic("defaults", 3, 1))
	check("a bad config", newTopic("t-checked", 3, 1, "retention.ms", "soon"))
	ask[*kmsg.MetadataResponse](s, "what was only checked", 12, metadataOf("t-checked"))

	for version := int16(1); version <= 6; version++ {
		ask[*kmsg.DeleteTopicsResponse](s, named("delete in version %d", version), version, deleting(named("made-%d", version+1)))
	}
	ask[*kmsg.DeleteTopicsResponse](s, "delete an unknown one", 6, deleting("nobody"))
	ask[*kmsg.DeleteTopicsResponse](s, "delete a bad name", 6, deleting("a b"))
	ask[*kmsg.DeleteTopicsResponse](s, "delete one twice", 6, deleting("defaults", "defaults"))
	ask[*kmsg.DeleteTopicsResponse](s, "delete nothing", 6, deleting())
	id := s.topic("t-by-id", 1)
	byID := deleting("")
	byID.Topics[0].Topic, byID.Topics[0].TopicID = nil, noSuchID()
	ask[*kmsg.DeleteTopicsResponse](s, "delete an unknown id", 6, byID)
	byID.Topics[0].Topic, byID.Topics[0].TopicID = kmsg.StringPtr("t-by-id"), id
	ask[*kmsg.DeleteTopicsResponse](s, "delete by id and name", 6, byID)
	byID.Topics[0].Topic, byID.Topics[0].TopicID = nil, [16]byte{}
	ask[*kmsg.DeleteTopicsResponse](s, "delete neither id nor name", 6, byID)
	byID.Topics[0].TopicID = id
	ask[*kmsg.DeleteTopicsResponse](s, "delete by id", 6, byID)
	s.awaitNoTopic("t-by-id")
	create("a name that was deleted", 7, newTopic("t-by-id", 2, 1))
}

// node is the broker's own id.
func (s *session) node() int32 {
	brokers := quiet[*kmsg.MetadataResponse](s, 9, metadataOf()).Brokers
	if len(brokers) == 0 {
		return 1
	}
	return brokers[0].NodeID
}

func partitions(s *session) {
	s.topic("parts", 2)
	grow := func(call string, version int16, validateOnly bool, topics ...kmsg.CreatePartitionsRequestTopic) {
		r := kmsg.NewPtrCreatePartitionsRequest()
		r.TimeoutMillis, r.ValidateOnly, r.Topics = 10_000, validateOnly, topics
		ask[*kmsg.CreatePartitionsResponse](s, call, version, r)
	}
	to := func(name string, count int32, assignments ...[]int32) kmsg.CreatePartitionsRequestTopic {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, count
		for _, nodes := range assignments {
			a := kmsg.NewCreatePartitionsRequestTopicAssignment()
			a.Replicas = nodes
			t.Assignment = append(t.Assignment, a)
		}
		return t
	}
	grow("check", 3, true, to("parts", 5))
	ask[*kmsg.MetadataResponse](s, "after a check", 12, metadataOf("parts"))
	grow("to 3", 3, false, to("parts", 3))
	s.awaitTopic("parts", 3)
	grow("in version 0", 0, false, to("parts", 4))
	s.awaitTopic("parts", 4)
	ask[*kmsg.MetadataResponse](s, "after growth", 12, metadataOf("parts"))
	grow("to what it has", 3, false, to("parts", 4))
	grow("to fewer", 3, false, to("parts", 2))
	grow("to none", 3, false, to("parts", 0))
	grow("to -1", 3, false, to("parts", -1))
	grow("an unknown topic", 3, false, to("nobody", 4))
	grow("a topic twice", 3, false, to("parts", 5), to("parts", 6))
	grow("with an assignment", 3, false, to("parts", 5, []int32{s.node()}))
	s.awaitTopic("parts", 5)
	grow("with too many assignments", 3, false, to("parts", 6, []int32{s.node()}, []int32{s.node()}))
	grow("with an assignment to nobody", 3, false, to("parts", 6, []int32{77}))
	grow("nothing", 3, false)
}

func cluster(s *session) {
	describe := kmsg.NewPtrDescribeClusterRequest()
	describe.EndpointType = 1
	ask[*kmsg.DescribeClusterResponse](s, "describe, version 0", 0, describe)
	ask[*kmsg.DescribeClusterResponse](s, "describe, version 1", 1, describe)
	ask[*kmsg.DescribeClusterResponse](s, "describe, version 2", 2, describe)
	describe.IncludeClusterAuthorizedOperations = true
	ask[*kmsg.DescribeClusterResponse](s, "describe, authorised operations", 1, describe)
	describe.EndpointType = 2
	ask[*kmsg.DescribeClusterResponse](s, "describe controllers", 1, describe)
	describe.EndpointType = 9
	ask[*kmsg.DescribeClusterResponse](s, "describe a bad type of end", 1, describe)

	find := func(call string, version int16, kind int8, keys ...string) {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.CoordinatorType, r.CoordinatorKeys = kind, keys
		if len(keys) > 0 {
			r.CoordinatorKey = keys[0]
		}
		ask[*kmsg.FindCoordinatorResponse](s, "find "+call, version, r)
	}
	find("a group's coordinator, version 0", 0, 0, "group")
	find("a group's coordinator, version 3", 3, 0, "group")
	find("a group's coordinator, version 4", 4, 0, "group")
	find("two groups' coordinators", 6, 0, "group", "other")
	find("the coordinator of an empty group", 4, 0, "")
	find("no coordinator", 4, 0)
	find("a coordinator of a bad kind", 4, 9, "group")
	find("a coordinator of a bad kind, version 3", 3, 9, "group")

	s.topic("dirs", 1)
	s.fill("dirs", 0, batchOf{records: values("a", "b"), first: 1000})
	logDirs := func(call string, version int16, name string, partitions ...int32) {
		r := kmsg.NewPtrDescribeLogDirsRequest()
		t := kmsg.NewDescribeLogDirsRequestTopic()
		t.Topic, t.Partitions = name, partitions
		r.Topics = append(r.Topics, t)
		ask[*kmsg.DescribeLogDirsResponse](s, "log dirs "+call, version, r)
	}
	logDirs("of a topic", 4, "dirs", 0)
	logDirs("of a topic, version 1", 1, "dirs", 0)
	logDirs("of an unknown topic", 4, "nobody", 0)
	logDirs("of an unknown partition", 4, "dirs", 9)

	elect := func(call string, kind int8, name string, partitions ...int32) {
		r := kmsg.NewPtrElectLeadersRequest()
		r.ElectionType, r.TimeoutMillis = kind, 5000
		t := kmsg.NewElectLeadersRequestTopic()
		t.Topic, t.Partitions = name, partitions
		r.Topics = append(r.Topics, t)
		ask[*kmsg.ElectLeadersResponse](s, "elect "+call, 2, r)
	}
	elect("the preferred leader", 0, "dirs", 0)
	elect("an unclean leader", 1, "dirs", 0)
	elect("a leader of an unknown topic", 0, "nobody", 0)
	elect("a leader of an unknown partition", 0, "dirs", 9)
	elect("a leader in a bad way", 9, "dirs", 0)

	initProducer := kmsg.NewPtrInitProducerIDRequest()
	initProducer.ProducerID, initProducer.ProducerEpoch = -1, -1
	for _, version := range []int16{0, 2, 3, 4, 5} {
		ask[*kmsg.InitProducerIDResponse](s, named("a producer id, version %d", version), version, initProducer)
	}
	initProducer.ProducerID, initProducer.ProducerEpoch = 5, 1
	ask[*kmsg.InitProducerIDResponse](s, "a producer id beside an old one", 4, initProducer)
}
