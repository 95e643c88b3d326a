package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

const groupKind = kmsg.ConfigResourceTypeGroupConfig

// alterGroup changes a group's configs and returns the code.
func (a *agent) alterGroup(group string, triples ...any) int16 {
	a.t.Helper()
	return call[*kmsg.IncrementalAlterConfigsResponse](a, incrementalRequest(1, altering(groupKind, group, triples...))).Resources[0].ErrorCode
}

func (a *agent) groupConfigs(group string) (configs map[string]string) {
	a.broker.viewCatalog(func(s *catalog.State) { configs = s.GroupConfigs(group) })
	return configs
}

func TestGroupConfigs_Checks(t *testing.T) {
	a := newAgent(t, newStore(), options{settings: map[string]string{"group.consumer.max.session.timeout.ms": "90000"}})
	for _, x := range []struct {
		group, name, value string
		code               int16
	}{
		{"g", configConsumerSession, "90000", 0},
		{"g", configConsumerSession, "90001", wire.CodeInvalidConfig},
		{"g", configConsumerSession, "44999", wire.CodeInvalidConfig},
		{"g", configConsumerHeartbeat, "15000", 0},
		{"g", configConsumerHeartbeat, "15001", wire.CodeInvalidConfig},
		{"g", configConsumerHeartbeat, "soon", wire.CodeInvalidConfig},
		{"g", "share.auto.offset.reset", "by_duration:PT1H", 0},
		{"g", "share.auto.offset.reset", "by_duration:P", wire.CodeInvalidConfig},
		{"g", "share.auto.offset.reset", "yesterday", wire.CodeInvalidConfig},
		{"g", "streams.num.standby.replicas", "3", wire.CodeInvalidConfig},
		{"g", "retention.ms", "1", wire.CodeInvalidConfig},
		{"", configConsumerSession, "50000", wire.CodeInvalidRequest},
	} {
		if code := a.alterGroup(x.group, opSet, x.name, x.value); code != x.code {
			t.Errorf("%q: %s=%.20s: %d, want %d", x.group, x.name, x.value, code, x.code)
		}
	}
	if code := a.alterGroup("g", opAppend, configConsumerSession, "1"); code != wire.CodeInvalidConfig {
		t.Errorf("append: %d", code)
	}
	if got := a.groupConfigs("g"); fmt.Sprint(got) != "map[consumer.heartbeat.interval.ms:15000 consumer.session.timeout.ms:90000 share.auto.offset.reset:by_duration:PT1H]" {
		t.Errorf("%v", got)
	}
}

// TestGroupConfigs_AreInForce: what is set is described, acted on, replaced and taken back;
// another agent sees it.
func TestGroupConfigs_AreInForce(t *testing.T) {
	store := newStore()
	a := newAgent(t, store, options{})
	if code := a.alterGroup("g", opSet, configConsumerSession, "50000", opSet, configConsumerHeartbeat, "7000"); code != 0 {
		t.Fatal(code)
	}
	heartbeat := func(a *agent, group string) int32 {
		r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.RebalanceTimeoutMillis = 1, group, "m-"+group, 60_000
		r.SubscribedTopicNames, r.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		resp := call[*kmsg.ConsumerGroupHeartbeatResponse](a, r)
		if resp.ErrorCode != 0 {
			t.Fatalf("%+v", resp)
		}
		return resp.HeartbeatIntervalMillis
	}
	if own, others := heartbeat(a, "g"), heartbeat(a, "other"); own != 7000 || others != 5000 {
		t.Errorf("heartbeats each %d ms, and %d", own, others)
	}

	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.Version, describe.IncludeSynonyms = 4, true
	describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: groupKind, ResourceName: "g"}, {ResourceType: groupKind}}
	resp := call[*kmsg.DescribeConfigsResponse](newAgent(t, store, options{}), describe)
	if resp.Resources[1].ErrorCode != wire.CodeInvalidRequest || len(resp.Resources[0].Configs) != len(groupSettings) {
		t.Fatalf("%+v", resp)
	}
	set := map[string]string{}
	for _, c := range resp.Resources[0].Configs {
		if c.Source == kmsg.ConfigSourceGroupConfig {
			set[c.Name] = *c.Value
		} else if len(c.ConfigSynonyms) != 1 || c.Source != kmsg.ConfigSourceDefaultConfig || c.Value == nil {
			t.Errorf("%+v", c)
		}
	}
	if len(set) != 2 || set[configConsumerSession] != "50000" || set[configConsumerHeartbeat] != "7000" {
		t.Errorf("set: %v", set)
	}

	replace := kmsg.NewPtrAlterConfigsRequest()
	replace.Version = 2
	resource := kmsg.NewAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = groupKind, "g"
	replace.Resources = append(replace.Resources, resource)
	replace.ValidateOnly = true
	call[*kmsg.AlterConfigsResponse](a, replace)
	if len(a.groupConfigs("g")) != 2 {
		t.Error("a check changed something")
	}
	replace.ValidateOnly = false
	if got := call[*kmsg.AlterConfigsResponse](a, replace).Resources[0].ErrorCode; got != 0 || a.groupConfigs("g") != nil {
		t.Errorf("%d, %v", got, a.groupConfigs("g"))
	}
}
