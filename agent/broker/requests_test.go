package broker

import (
	"math"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

func TestAPIVersions_AreTheDispatchTable(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for version := int16(0); version <= 4; version++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "test-client", "1.0.0"
		resp := call[*kmsg.ApiVersionsResponse](a, req)
		if resp.ErrorCode != 0 || len(resp.ApiKeys) != len(a.broker.Routes()) {
			t.Fatalf("version %d: code %d, %d keys", version, resp.ErrorCode, len(resp.ApiKeys))
		}
		features := len(resp.FinalizedFeatures) == 2 && resp.FinalizedFeaturesEpoch >= 0
		if speaks := version >= featuresVersionMin; features != speaks || speaks && (resp.FinalizedFeatures[0].Name != "group.version" || resp.FinalizedFeatures[0].MaxVersionLevel != 1 ||
			resp.FinalizedFeatures[1].Name != "transaction.version" || resp.FinalizedFeatures[1].MaxVersionLevel != 2) {
			t.Errorf("version %d: features %+v", version, resp.FinalizedFeatures)
		}
		fromZero := func(f kmsg.ApiVersionsResponseSupportedFeature) bool { return f.MinVersion == 0 }
		if known := version >= featuresFromZeroVersionMin; slices.ContainsFunc(resp.SupportedFeatures, fromZero) != known || known && len(resp.SupportedFeatures) != 2 {
			t.Errorf("version %d: supported features %+v", version, resp.SupportedFeatures)
		}
		for _, r := range a.broker.Routes() {
			found := false
			for _, k := range resp.ApiKeys {
				found = found || k.ApiKey == r.Key && k.MinVersion == r.Min && k.MaxVersion == r.Max
			}
			if !found {
				t.Errorf("version %d: %s is missing", version, kmsg.NameForKey(r.Key))
			}
		}
	}
}

func TestAPIVersions_SoftwareNames(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for _, name := range []string{"", "-x", "x-", "a b", "a/b"} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, name, "1"
		if resp := call[*kmsg.ApiVersionsResponse](a, req); resp.ErrorCode != wire.CodeInvalidRequest || len(resp.ApiKeys) != 0 {
			t.Errorf("%q: %+v", name, resp)
		}
	}
}

// metadataRequest asks for topics by name or id.
func metadataRequest(version int16, topics ...any) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, topic := range topics {
		r := kmsg.NewMetadataRequestTopic()
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

func TestMetadata_EveryVersion(t *testing.T) {
	a := newAgent(t, newStore(), options{rack: "zone-a"})
	id := a.create("flights", 3, nil)
	for version := int16(0); version <= 13; version++ {
		resp := call[*kmsg.MetadataResponse](a, metadataRequest(version, "flights"))
		if len(resp.Brokers) != 1 || resp.Brokers[0].Host != "127.0.0.1" || resp.Brokers[0].NodeID != 1 || len(resp.Topics) != 1 {
			t.Fatalf("version %d: %+v", version, resp)
		}
		if version >= 1 && (resp.ControllerID != 1 || *resp.Brokers[0].Rack != "zone-a") {
			t.Errorf("version %d: controller %d, rack %v", version, resp.ControllerID, resp.Brokers[0].Rack)
		}
		if version >= 2 && *resp.ClusterID != testCluster {
			t.Errorf("version %d: cluster %v", version, *resp.ClusterID)
		}
		topic := resp.Topics[0]
		if topic.ErrorCode != 0 || *topic.Topic != "flights" || len(topic.Partitions) != 3 || version >= 10 && topic.TopicID != id {
			t.Fatalf("version %d: %+v", version, topic)
		}
		for i, p := range topic.Partitions {
			if p.ErrorCode != 0 || p.Partition != int32(i) || p.Leader != 1 || len(p.Replicas) != 1 || len(p.ISR) != 1 || version >= 7 && p.LeaderEpoch != 0 {
				t.Errorf("version %d: %+v", version, p)
			}
		}
		if version >= 8 && topic.AuthorizedOperations != math.MinInt32 {
			t.Errorf("version %d: operations %d", version, topic.AuthorizedOperations)
		}
	}
}

func TestMetadata_AllAndNone(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("b", 1, nil)
	a.create("a", 1, nil)
	for version := int16(0); version <= 13; version++ {
		all := metadataRequest(version)
		if version > 0 {
			all.Topics = nil
		}
		if resp := call[*kmsg.MetadataResponse](a, all); len(resp.Topics) != 2 || *resp.Topics[0].Topic != "a" {
			t.Errorf("version %d: %d topics", version, len(resp.Topics))
		}
		if version > 0 {
			if resp := call[*kmsg.MetadataResponse](a, metadataRequest(version)); len(resp.Topics) != 0 {
				t.Errorf("version %d, none asked: %d topics", version, len(resp.Topics))
			}
		}
	}
}

func TestMetadata_ByID(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("flights", 1, nil)
	for version := int16(10); version <= 13; version++ {
		resp := call[*kmsg.MetadataResponse](a, metadataRequest(version, id, [16]byte{9}, id))
		if version < 12 { // as Kafka: the field is there, and not taken
			if len(resp.Topics) != 3 || resp.Topics[0].ErrorCode != wire.CodeInvalidRequest || resp.Topics[0].TopicID != id || len(resp.Brokers) != 0 {
				t.Errorf("version %d: %+v", version, resp)
			}
			continue
		}
		if len(resp.Topics) != 2 || resp.Topics[0].ErrorCode != 0 || *resp.Topics[0].Topic != "flights" {
			t.Fatalf("version %d: %+v", version, resp.Topics)
		}
		if got := resp.Topics[1]; got.ErrorCode != wire.CodeUnknownTopicID || got.TopicID != [16]byte{9} || got.Topic != nil {
			t.Errorf("version %d: %+v", version, got)
		}
	}
	both := metadataRequest(12, [16]byte{9})
	both.Topics[0].Topic = kmsg.StringPtr("flights")
	if got := call[*kmsg.MetadataResponse](a, both).Topics[0]; got.ErrorCode != wire.CodeUnknownTopicID || got.Topic != nil {
		t.Errorf("an unknown id and a name: %+v", got)
	}
	both.Topics[0].TopicID, both.Topics[0].Topic = id, kmsg.StringPtr("other")
	if got := call[*kmsg.MetadataResponse](a, both).Topics[0]; got.ErrorCode != 0 || *got.Topic != "flights" {
		t.Errorf("an id and another's name: %+v", got)
	}
}

func TestMetadata_AutoCreation(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"num.partitions": "4"}})
	a.create("dotted.name", 1, nil)
	refused := metadataRequest(4, "new")
	if got := call[*kmsg.MetadataResponse](a, refused).Topics[0]; got.ErrorCode != wire.CodeUnknownTopicOrPartition || len(got.Partitions) != 0 {
		t.Errorf("not allowed: %+v", got)
	}
	req := metadataRequest(9, "new", "bad name", "__consumer_offsets", "dotted_name", "new", "dotted.name", "other")
	req.AllowAutoTopicCreation = true
	resp := call[*kmsg.MetadataResponse](a, req)
	want := []struct {
		name       string
		code       int16
		partitions int
	}{
		{"new", 0, 4}, {"bad name", wire.CodeInvalidTopicException, 0}, {"__consumer_offsets", wire.CodeUnknownTopicOrPartition, 0},
		{"dotted_name", wire.CodeInvalidTopicException, 0}, {"dotted.name", 0, 1}, {"other", 0, 4},
	}
	if len(resp.Topics) != len(want) {
		t.Fatalf("%d topics", len(resp.Topics))
	}
	for i, w := range want {
		if got := resp.Topics[i]; *got.Topic != w.name || got.ErrorCode != w.code || len(got.Partitions) != w.partitions {
			t.Errorf("%s: %s, code %d, %d partitions", w.name, *got.Topic, got.ErrorCode, len(got.Partitions))
		}
	}
	if got := call[*kmsg.MetadataResponse](a, metadataRequest(0, "old-client")).Topics[0]; got.ErrorCode != 0 || len(got.Partitions) != 4 {
		t.Errorf("version 0: %+v", got)
	}
	if p := a.produce(9, "new", [16]byte{}, records(plain(), "a")); p.ErrorCode != 0 {
		t.Errorf("produce into it: %+v", p)
	}
}

func TestMetadata_AutoCreationOff(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"auto.create.topics.enable": "false"}})
	req := metadataRequest(9, "new")
	req.AllowAutoTopicCreation = true
	if got := call[*kmsg.MetadataResponse](a, req).Topics[0]; got.ErrorCode != wire.CodeUnknownTopicOrPartition {
		t.Errorf("%+v", got)
	}
}

func TestMetadata_TopicOfAnotherAgent(t *testing.T) {
	store := newStore()
	a, b := newAgent(t, store, options{}), newAgent(t, store, options{})
	a.create("flights", 5, nil)
	if got := call[*kmsg.MetadataResponse](b, metadataRequest(9, "flights")).Topics[0]; len(got.Partitions) != 5 || got.Partitions[0].Leader != 2 {
		t.Errorf("%+v", got)
	}
	req := metadataRequest(9, "planes")
	req.AllowAutoTopicCreation = true
	a.create("planes", 6, nil)
	if got := call[*kmsg.MetadataResponse](b, req).Topics[0]; got.ErrorCode != 0 || len(got.Partitions) != 6 {
		t.Errorf("created by another agent first: %+v", got)
	}
}

func TestMetadata_AuthorizedOperations(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("flights", 1, nil)
	req := metadataRequest(8, "flights")
	req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
	resp := call[*kmsg.MetadataResponse](a, req)
	if resp.AuthorizedOperations != 0x1fa0 || resp.Topics[0].AuthorizedOperations != 0xdf8 {
		t.Errorf("%#x, %#x", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations)
	}
}

func TestDescribeCluster(t *testing.T) {
	a := newAgent(t, newStore(), options{rack: "zone-a"})
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.Version, req.EndpointType, req.IncludeClusterAuthorizedOperations = version, 1, true
		resp := call[*kmsg.DescribeClusterResponse](a, req)
		if resp.ErrorCode != 0 || resp.ClusterID != testCluster || resp.ControllerID != 1 || len(resp.Brokers) != 1 || *resp.Brokers[0].Rack != "zone-a" || resp.ClusterAuthorizedOperations != 0x1fa0 {
			t.Errorf("version %d: %+v", version, resp)
		}
	}
	for kind, want := range map[int8]int16{2: wire.CodeMismatchedEndpointType, 3: wire.CodeUnsupportedEndpointType} {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.Version, req.EndpointType = 1, kind
		if resp := call[*kmsg.DescribeClusterResponse](a, req); resp.ErrorCode != want {
			t.Errorf("endpoint type %d: %d", kind, resp.ErrorCode)
		}
	}
}

func TestFindCoordinator(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for version := int16(0); version <= 6; version++ {
		for kind := int8(0); kind <= 3; kind++ {
			if version == 0 && kind > 0 {
				continue
			}
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.Version, req.CoordinatorType = version, kind
			req.CoordinatorKey, req.CoordinatorKeys = "g", []string{"g", "h"}
			resp := call[*kmsg.FindCoordinatorResponse](a, req)
			code, node, host := resp.ErrorCode, resp.NodeID, resp.Host
			if version >= 4 {
				if len(resp.Coordinators) != 2 || resp.Coordinators[1].Key != "h" {
					t.Fatalf("version %d: %+v", version, resp)
				}
				c := resp.Coordinators[0]
				code, node, host = c.ErrorCode, c.NodeID, c.Host
			}
			if kind < 2 && (code != 0 || node != 1 || host != "127.0.0.1") || kind >= 2 && (code != wire.CodeInvalidRequest || node != -1) {
				t.Errorf("version %d, type %d: code %d, node %d at %q", version, kind, code, node, host)
			}
		}
	}
}

func TestInitProducerID(t *testing.T) {
	store := newStore()
	a, b := newAgent(t, store, options{}), newAgent(t, store, options{})
	seen := map[int64]bool{}
	for i := range 2500 {
		for _, agent := range []*agent{a, b} {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.Version = int16(i % 6)
			resp := call[*kmsg.InitProducerIDResponse](agent, req)
			if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || resp.ProducerID < 0 || seen[resp.ProducerID] {
				t.Fatalf("round %d: %+v", i, resp)
			}
			seen[resp.ProducerID] = true
		}
	}
	if v := b.follower.Replica(1 << 24).Version(); v != 6 {
		t.Errorf("%d appends for %d ids", v, len(seen))
	}
}

func TestInitProducerID_Refusals(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	empty, id := "", "tx"
	for _, row := range []struct {
		name string
		req  kmsg.InitProducerIDRequest
		code int16
	}{
		{"empty transactional id", kmsg.InitProducerIDRequest{TransactionalID: &empty, ProducerID: -1, ProducerEpoch: -1}, wire.CodeInvalidRequest},
		{"no time-out", kmsg.InitProducerIDRequest{TransactionalID: &id, ProducerID: -1, ProducerEpoch: -1}, wire.CodeInvalidTransactionTimeout},
		{"too long a time-out", kmsg.InitProducerIDRequest{TransactionalID: &id, TransactionTimeoutMillis: 900_001, ProducerID: -1, ProducerEpoch: -1}, wire.CodeInvalidTransactionTimeout},
		{"an id without epoch", kmsg.InitProducerIDRequest{ProducerID: 5, ProducerEpoch: -1}, wire.CodeInvalidRequest},
		{"an epoch without id", kmsg.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: 5}, wire.CodeInvalidRequest},
		{"an exhausted epoch", kmsg.InitProducerIDRequest{ProducerID: 5, ProducerEpoch: math.MaxInt16}, 0},
	} {
		row.req.Version = 4
		resp := call[*kmsg.InitProducerIDResponse](a, &row.req)
		if resp.ErrorCode != row.code || (resp.ProducerID == -1) != (row.code != 0) || resp.ProducerID == 5 {
			t.Errorf("%s: %+v", row.name, resp)
		}
	}
}

// describe asks for the configs of one resource.
func describe(version int16, kind kmsg.ConfigResourceType, name string, configs ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeSynonyms, req.IncludeDocumentation = version, true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, configs
	req.Resources = append(req.Resources, r)
	return req
}

func TestDescribeConfigs_Topic(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"log.retention.hours": "2", "log.roll.ms": "9", "message.max.bytes": "5000"}})
	a.create("flights", 1, map[string]string{"max.message.bytes": "2000"})
	for version := int16(1); version <= 4; version++ {
		resp := call[*kmsg.DescribeConfigsResponse](a, describe(version, kmsg.ConfigResourceTypeTopic, "flights"))
		configs := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
		for _, c := range resp.Resources[0].Configs {
			configs[c.Name] = c
			if version >= 3 && (c.Documentation == nil || *c.Documentation == "" || c.ConfigType == 0) {
				t.Errorf("version %d: %s has no documentation or type", version, c.Name)
			}
		}
		if len(configs) != len(topicSettings) {
			t.Fatalf("version %d: %d configs", version, len(configs))
		}
		for name, want := range map[string]struct {
			value    string
			source   kmsg.ConfigSource
			synonyms int
		}{
			"max.message.bytes":                     {"2000", kmsg.ConfigSourceDynamicTopicConfig, 3},
			"retention.ms":                          {"7200000", kmsg.ConfigSourceDefaultConfig, 0}, // as Kafka: the config in hours isn't told
			"segment.ms":                            {"9", kmsg.ConfigSourceStaticBrokerConfig, 2},
			"retention.bytes":                       {"-1", kmsg.ConfigSourceDefaultConfig, 1},
			"leader.replication.throttled.replicas": {"", kmsg.ConfigSourceDefaultConfig, 0},
		} {
			if c := configs[name]; *c.Value != want.value || c.Source != want.source || len(c.ConfigSynonyms) != want.synonyms || c.ReadOnly {
				t.Errorf("version %d: %s is %s, source %v, synonyms %+v", version, name, *c.Value, c.Source, c.ConfigSynonyms)
			}
		}
	}
}

func TestDescribeConfigs_Broker(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"num.partitions": "4", "ssl.keystore.password": "secret"}, rack: "zone-a"})
	resp := call[*kmsg.DescribeConfigsResponse](a, describe(4, kmsg.ConfigResourceTypeBroker, "1", "num.partitions", "ssl.keystore.password", "broker.rack", "node.id", "nonsense"))
	got := map[string]string{}
	for _, c := range resp.Resources[0].Configs {
		value := "<null>"
		if c.Value != nil {
			value = *c.Value
		}
		got[c.Name] = value
		if c.Source != kmsg.ConfigSourceStaticBrokerConfig || !c.ReadOnly {
			t.Errorf("%+v", c)
		}
		if c.Name == "ssl.keystore.password" && (!c.IsSensitive || c.ConfigSynonyms[0].Value != nil) {
			t.Errorf("the password: %+v", c)
		}
	}
	want := map[string]string{"num.partitions": "4", "ssl.keystore.password": "<null>", "broker.rack": "zone-a", "node.id": "1"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d configs", len(got))
	}
	all := call[*kmsg.DescribeConfigsResponse](a, describe(4, kmsg.ConfigResourceTypeBroker, "1")).Resources[0].Configs
	if len(all) != len(BrokerSettings()) {
		t.Errorf("%d configs in all", len(all))
	}
}

func TestDescribeConfigs_Refusals(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for _, row := range []struct {
		kind kmsg.ConfigResourceType
		name string
		code int16
	}{
		{kmsg.ConfigResourceTypeTopic, "nowhere", wire.CodeUnknownTopicOrPartition},
		{kmsg.ConfigResourceTypeTopic, "a b", wire.CodeInvalidTopicException},
		{kmsg.ConfigResourceTypeBroker, "", 0},
		{kmsg.ConfigResourceTypeBroker, "here", wire.CodeInvalidRequest},
		{kmsg.ConfigResourceTypeBroker, "7", wire.CodeInvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "0", wire.CodeInvalidRequest},
	} {
		got := call[*kmsg.DescribeConfigsResponse](a, describe(4, row.kind, row.name)).Resources[0]
		if got.ErrorCode != row.code || len(got.Configs) != 0 {
			t.Errorf("%v %q: %+v", row.kind, row.name, got)
		}
	}
	twice := describe(4, kmsg.ConfigResourceTypeBroker, "1")
	twice.Resources = append(twice.Resources, twice.Resources[0])
	if got := call[*kmsg.DescribeConfigsResponse](a, twice); len(got.Resources) != 1 {
		t.Errorf("asked twice, answered %d times", len(got.Resources))
	}
}
