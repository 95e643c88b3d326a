package broker

import (
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// replacing asks for the whole set of configs of a resource; a nil value is null.
func replacing(kind kmsg.ConfigResourceType, name string, pairs ...any) kmsg.AlterConfigsRequestResource {
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for i := 0; i < len(pairs); i += 2 {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name = pairs[i].(string)
		if v, ok := pairs[i+1].(string); ok {
			c.Value = &v
		}
		r.Configs = append(r.Configs, c)
	}
	return r
}

func replaceRequest(version int16, resources ...kmsg.AlterConfigsRequestResource) *kmsg.AlterConfigsRequest {
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version, req.Resources = version, resources
	return req
}

// configs are those set for a topic.
func (a *agent) configs(topic string) map[string]string {
	a.t.Helper()
	t := a.broker.topic(topic)
	if t == nil {
		a.t.Fatalf("there is no topic %s", topic)
	}
	return t.Configs
}

// version is the catalog's, which an append moves on.
func (a *agent) version() (v metastore.Version) {
	metastore.ViewAt(a.follower.Replica(metastore.CatalogJournal), func(_ *catalog.State, at metastore.Version) { v = at })
	return v
}

const (
	ofTopic  = kmsg.ConfigResourceTypeTopic
	ofBroker = kmsg.ConfigResourceTypeBroker
)

func TestAlterConfigs_ReplacesTheWholeSet(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	for version := int16(0); version <= 2; version++ {
		name := "flights" + string('0'+rune(version))
		a.create(name, 1, map[string]string{"retention.ms": "1000", "max.message.bytes": "2000"})
		resp := call[*kmsg.AlterConfigsResponse](a, replaceRequest(version, replacing(ofTopic, name, "retention.ms", " 5000 ", "cleanup.policy", "compact , delete")))
		got := resp.Resources[0]
		if got.ErrorCode != 0 || got.ErrorMessage != nil || got.ResourceName != name || got.ResourceType != ofTopic {
			t.Fatalf("version %d: %+v", version, got)
		}
		if want := map[string]string{"retention.ms": "5000", "cleanup.policy": "compact,delete"}; !maps.Equal(a.configs(name), want) {
			t.Errorf("version %d: %v", version, a.configs(name))
		}
		call[*kmsg.AlterConfigsResponse](a, replaceRequest(version, replacing(ofTopic, name)))
		if len(a.configs(name)) != 0 {
			t.Errorf("version %d, emptied: %v", version, a.configs(name))
		}
	}
}

func TestAlterConfigs_Refuses(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 1, map[string]string{"retention.ms": "1000"})
	before := a.version()
	for _, x := range []struct {
		name     string
		resource kmsg.AlterConfigsRequestResource
		code     int16
		message  string
	}{
		{"an unknown config", replacing(ofTopic, "t", "nothing", "1"), wire.CodeInvalidConfig, "Unknown topic config name: nothing"},
		{"a value of the wrong type", replacing(ofTopic, "t", "retention.ms", "x"), wire.CodeInvalidConfig, "Invalid value x for configuration retention.ms"},
		{"a null", replacing(ofTopic, "t", "retention.ms", nil, "segment.ms", nil), wire.CodeInvalidRequest, "Null value not supported for : retention.ms, segment.ms"},
		{"a config twice", replacing(ofTopic, "t", "retention.ms", "1", "retention.ms", nil), wire.CodeInvalidRequest, "Error due to duplicate config keys"},
		{"an unknown topic", replacing(ofTopic, "nowhere", "retention.ms", "1"), wire.CodeUnknownTopicOrPartition, "The topic 'nowhere' does not exist."},
		{"a bad config of an unknown topic", replacing(ofTopic, "nowhere", "nothing", "1"), wire.CodeInvalidConfig, "Unknown topic config name: nothing"},
		{"a bad name", replacing(ofTopic, "a/b"), wire.CodeInvalidTopicException, "Topic name is invalid"},
		{"no name", replacing(ofTopic, ""), wire.CodeInvalidRequest, "Default topic resources are not allowed."},
		{"a conflict", replacing(ofTopic, "t", "min.compaction.lag.ms", "5", "max.compaction.lag.ms", "4"), wire.CodeInvalidConfig, "conflict"},
		{"a broker config", replacing(ofBroker, "1", "num.partitions", "3"), wire.CodeInvalidRequest, "Cannot update these configs dynamically: Set(num.partitions)"},
		{"a default of all brokers", replacing(ofBroker, "", "num.partitions", "3"), wire.CodeInvalidRequest, "Cannot update these configs dynamically"},
		{"another broker", replacing(ofBroker, "7"), wire.CodeInvalidRequest, "Unexpected broker id, expected 1, but received 7"},
		{"a broker that is no number", replacing(ofBroker, "x"), wire.CodeInvalidRequest, "Node id must be an integer, but it is: x"},
		{"a logger", replacing(kmsg.ConfigResourceTypeBrokerLogger, "1"), wire.CodeInvalidRequest, "not served"},
		{"a group", replacing(kmsg.ConfigResourceTypeGroupConfig, ""), wire.CodeInvalidRequest, "Default group resources are not allowed."},
		{"an unknown type", replacing(3, "t"), wire.CodeInvalidRequest, "Unknown resource type 3"},
	} {
		got := call[*kmsg.AlterConfigsResponse](a, replaceRequest(2, x.resource)).Resources[0]
		if got.ErrorCode != x.code || got.ErrorMessage == nil || !strings.Contains(*got.ErrorMessage, x.message) {
			t.Errorf("%s: %d %v", x.name, got.ErrorCode, kmsgText(got.ErrorMessage))
		}
	}
	if a.version() != before || a.configs("t")["retention.ms"] != "1000" {
		t.Errorf("version %d after %d, %v", a.version(), before, a.configs("t"))
	}
	if got := call[*kmsg.AlterConfigsResponse](a, replaceRequest(2, replacing(ofBroker, "1"), replacing(ofBroker, ""))); got.Resources[0].ErrorCode != 0 || got.Resources[1].ErrorCode != 0 {
		t.Errorf("nothing set for a broker: %+v", got.Resources)
	}
}

// kmsgText is a nullable text for messages.
func kmsgText(s *string) string {
	if s == nil {
		return "<null>"
	}
	return *s
}

func TestAlterConfigs_OneRefusedDoesNotStopTheOthers(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("a", 1, nil)
	a.create("b", 1, nil)
	before := a.version()
	resp := call[*kmsg.AlterConfigsResponse](a, replaceRequest(2,
		replacing(ofTopic, "a", "retention.ms", "1"), replacing(ofTopic, "nowhere"), replacing(ofTopic, "b", "retention.ms", "2"),
		replacing(ofTopic, "twice"), replacing(ofTopic, "twice")))
	for i, want := range []int16{0, wire.CodeUnknownTopicOrPartition, 0, wire.CodeInvalidRequest, wire.CodeInvalidRequest} {
		if resp.Resources[i].ErrorCode != want {
			t.Errorf("resource %d: %d", i, resp.Resources[i].ErrorCode)
		}
	}
	if a.configs("a")["retention.ms"] != "1" || a.configs("b")["retention.ms"] != "2" {
		t.Error("not altered")
	}
	if a.version() != before+1 {
		t.Errorf("%d entries", a.version()-before)
	}
}

func TestAlterConfigs_ValidateOnlyAndNoChange(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 1, map[string]string{"retention.ms": "1000"})
	before := a.version()
	req := replaceRequest(2, replacing(ofTopic, "t", "retention.ms", "5"), replacing(ofTopic, "nowhere"))
	req.ValidateOnly = true
	resp := call[*kmsg.AlterConfigsResponse](a, req)
	if resp.Resources[0].ErrorCode != 0 || resp.Resources[1].ErrorCode != wire.CodeUnknownTopicOrPartition {
		t.Errorf("%+v", resp.Resources)
	}
	if got := call[*kmsg.AlterConfigsResponse](a, replaceRequest(2, replacing(ofTopic, "t", "retention.ms", "1000"))).Resources[0]; got.ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	if a.version() != before {
		t.Error("something was appended")
	}
}

func TestAlterConfigs_DecidedAnewAfterAStrictLoss(t *testing.T) {
	store := newStore()
	other := newAgent(t, store, options{})
	other.create("t", 1, map[string]string{"retention.ms": "1"})
	other.create("gone", 1, nil)
	racing := &ahead{Store: store}
	a := newAgent(t, store, options{store: racing})
	racing.before = func() {
		call[*kmsg.IncrementalAlterConfigsResponse](other, incrementalRequest(1, altering(ofTopic, "t", 0, "segment.ms", "7")))
		call[*kmsg.DeleteTopicsResponse](other, deletion("gone"))
	}
	racing.times.Store(1)
	resp := call[*kmsg.IncrementalAlterConfigsResponse](a, incrementalRequest(1,
		altering(ofTopic, "t", 0, "retention.ms", "2"), altering(ofTopic, "gone", 0, "retention.ms", "2")))
	if resp.Resources[0].ErrorCode != 0 || resp.Resources[1].ErrorCode != wire.CodeUnknownTopicOrPartition {
		t.Errorf("%+v", resp.Resources)
	}
	if want := map[string]string{"retention.ms": "2", "segment.ms": "7"}; !maps.Equal(a.configs("t"), want) {
		t.Errorf("%v", a.configs("t"))
	}
}

func TestAlterConfigs_ProduceSeesThemAtOnce(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 1, nil)
	b := records(plain(), "a value")
	if got := a.produce(9, "t", [16]byte{}, b); got.ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	for _, x := range []struct {
		name, value string
		want        int16
	}{
		{"max.message.bytes", "10", wire.CodeMessageTooLarge},
		{"cleanup.policy", "compact", wire.CodeInvalidRecord},
		{"retention.ms", "5", wire.CodeNone},
	} {
		call[*kmsg.AlterConfigsResponse](a, replaceRequest(2, replacing(ofTopic, "t", x.name, x.value)))
		if got := a.produce(9, "t", [16]byte{}, b); got.ErrorCode != x.want {
			t.Errorf("%s=%s: %d", x.name, x.value, got.ErrorCode)
		}
	}
	call[*kmsg.AlterConfigsResponse](a, replaceRequest(2, replacing(ofTopic, "t", "message.timestamp.type", "LogAppendTime")))
	if got := a.produce(9, "t", [16]byte{}, b); got.ErrorCode != 0 || got.LogAppendTime < 0 {
		t.Errorf("LogAppendTime: %+v", got)
	}
}

func TestAlterConfigs_TermEnded(t *testing.T) {
	store := newStore()
	a := newAgent(t, store, options{})
	a.create("t", 1, nil)
	terms, err := store.Terms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.EndTerm(t.Context(), terms[0].Term, true); err != nil {
		t.Fatal(err)
	}
	if got := call[*kmsg.AlterConfigsResponse](a, replaceRequest(2, replacing(ofTopic, "t", "retention.ms", "1"))).Resources[0]; got.ErrorCode != wire.CodeNotController {
		t.Errorf("configs: %d", got.ErrorCode)
	}
	if got := call[*kmsg.CreatePartitionsResponse](a, growRequest(3, growing("t", 2))).Topics[0]; got.ErrorCode != wire.CodeNotController {
		t.Errorf("partitions: %d", got.ErrorCode)
	}
	if got := call[*kmsg.DeleteRecordsResponse](a, purgeRequest(2, "t", 0, -1)).Topics[0].Partitions[0]; got.ErrorCode != wire.CodeNotController || got.LowWatermark != -1 {
		t.Errorf("records: %+v", got)
	}
}

// What one agent has altered the next one tells, however late it hears of it otherwise.
func TestDescribeConfigs_OfAnotherAgent(t *testing.T) {
	store := newStore()
	a, other := newAgent(t, store, options{}), newAgent(t, store, options{})
	a.create("flights", 1, nil)
	for _, value := range []string{"1000", "2000"} {
		req := kmsg.NewPtrAlterConfigsRequest()
		req.Version = 2
		resource := kmsg.NewAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "flights"
		resource.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &value}}
		req.Resources = append(req.Resources, resource)
		if resp := call[*kmsg.AlterConfigsResponse](a, req); resp.Resources[0].ErrorCode != 0 {
			t.Fatal(*resp.Resources[0].ErrorMessage)
		}
		found := call[*kmsg.DescribeConfigsResponse](other, describe(4, kmsg.ConfigResourceTypeTopic, "flights", "retention.ms")).Resources[0]
		if found.ErrorCode != 0 || *found.Configs[0].Value != value {
			t.Errorf("another agent tells %d, %+v, not %s", found.ErrorCode, found.Configs, value)
		}
	}
}
