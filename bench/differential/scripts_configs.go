package main

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	resourceTopic  = kmsg.ConfigResourceTypeTopic
	resourceBroker = kmsg.ConfigResourceTypeBroker
)

// describing asks for some configs of a resource, for all without keys.
func describing(kind kmsg.ConfigResourceType, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	r := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kind, name, keys
	r.Resources = append(r.Resources, resource)
	return r
}

// change is one of IncrementalAlterConfigs.
type change struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value string // "" is null
}

const (
	opSet      = kmsg.IncrementalAlterConfigOpSet
	opDelete   = kmsg.IncrementalAlterConfigOpDelete
	opAppend   = kmsg.IncrementalAlterConfigOpAppend
	opSubtract = kmsg.IncrementalAlterConfigOpSubtract
)

func changing(kind kmsg.ConfigResourceType, name string, validateOnly bool, changes ...change) *kmsg.IncrementalAlterConfigsRequest {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.ValidateOnly = validateOnly
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	for _, one := range changes {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op = one.name, one.op
		if one.value != "" {
			c.Value = kmsg.StringPtr(one.value)
		}
		resource.Configs = append(resource.Configs, c)
	}
	r.Resources = append(r.Resources, resource)
	return r
}

// replacing is AlterConfigs: the whole new set, names and values in turn.
func replacing(kind kmsg.ConfigResourceType, name string, configs ...string) *kmsg.AlterConfigsRequest {
	r := kmsg.NewPtrAlterConfigsRequest()
	resource := kmsg.NewAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = configs[i], kmsg.StringPtr(configs[i+1])
		resource.Configs = append(resource.Configs, c)
	}
	r.Resources = append(r.Resources, resource)
	return r
}

// isSet says whether a topic's config has a value, which brokers apply a moment
// after they have answered.
func isSet(name, value string) func(r *kmsg.DescribeConfigsResponse) bool {
	return func(r *kmsg.DescribeConfigsResponse) bool {
		for i := range r.Resources {
			for _, c := range r.Resources[i].Configs {
				if c.Name == name && c.Value != nil && *c.Value == value {
					return true
				}
			}
		}
		return false
	}
}

func configs(s *session) {
	s.topic("conf", 1, "retention.ms", "5000")
	describe := func(call string, version int16, r *kmsg.DescribeConfigsRequest) {
		ask[*kmsg.DescribeConfigsResponse](s, "describe "+call, version, r)
	}
	for _, version := range []int16{1, 3, 4} {
		describe(named("a topic, version %d", version), version, describing(resourceTopic, "conf"))
	}
	full := describing(resourceTopic, "conf")
	full.IncludeSynonyms, full.IncludeDocumentation = true, true
	describe("a topic with synonyms and documentation", 4, full)
	describe("two configs", 4, describing(resourceTopic, "conf", "retention.ms", "cleanup.policy"))
	describe("an unknown config", 4, describing(resourceTopic, "conf", "no.such.config"))
	describe("an unknown topic", 4, describing(resourceTopic, "nobody"))
	describe("a bad topic name", 4, describing(resourceTopic, "a b"))
	describe("an empty topic name", 4, describing(resourceTopic, ""))
	twice := describing(resourceTopic, "conf", "retention.ms")
	twice.Resources = append(twice.Resources, twice.Resources[0])
	describe("a topic twice", 4, twice)
	node := strconv.Itoa(int(s.node()))
	full = describing(resourceBroker, node, "auto.create.topics.enable", "num.partitions", "message.max.bytes", "log.retention.ms",
		"group.initial.rebalance.delay.ms", "group.max.session.timeout.ms", "offsets.retention.minutes", "compression.type", "log.message.timestamp.type")
	full.IncludeSynonyms = true
	describe("some of a broker", 4, full)
	describe("another broker", 4, describing(resourceBroker, "77"))
	describe("all brokers", 4, describing(resourceBroker, ""))
	describe("a broker that isn't a number", 4, describing(resourceBroker, "x"))
	describe("a resource of a bad kind", 4, describing(kmsg.ConfigResourceType(77), "x"))
	describe("nothing", 4, kmsg.NewPtrDescribeConfigsRequest())
	describe("a group", 4, describing(kmsg.ConfigResourceTypeGroupConfig, "some-group"))

	alter := func(call string, version int16, r *kmsg.IncrementalAlterConfigsRequest) {
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "alter: "+call, version, r)
	}
	shown := func(call, name, value string) {
		until(s, "after "+call, 4, describing(resourceTopic, "conf", "retention.ms", "cleanup.policy", "max.message.bytes", "compression.type"), isSet(name, value))
	}
	alter("check", 1, changing(resourceTopic, "conf", true, change{"retention.ms", opSet, "7000"}))
	shown("a check", "retention.ms", "5000")
	alter("set", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opSet, "6000"}))
	shown("set", "retention.ms", "6000")
	alter("set, version 0", 0, changing(resourceTopic, "conf", false, change{"max.message.bytes", opSet, "2000"}))
	shown("set, version 0", "max.message.bytes", "2000")
	alter("delete", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opDelete, ""}))
	shown("delete", "retention.ms", "604800000")
	alter("delete what isn't set", 1, changing(resourceTopic, "conf", false, change{"retention.bytes", opDelete, ""}))
	alter("delete an unknown config", 1, changing(resourceTopic, "conf", false, change{"no.such.config", opDelete, ""}))
	alter("append", 1, changing(resourceTopic, "conf", false, change{"cleanup.policy", opAppend, "compact"}))
	shown("append", "cleanup.policy", "delete,compact")
	alter("append what is there", 1, changing(resourceTopic, "conf", false, change{"cleanup.policy", opAppend, "compact"}))
	alter("subtract", 1, changing(resourceTopic, "conf", false, change{"cleanup.policy", opSubtract, "delete"}))
	shown("subtract", "cleanup.policy", "compact")
	alter("subtract what isn't there", 1, changing(resourceTopic, "conf", false, change{"cleanup.policy", opSubtract, "delete"}))
	alter("append to what is no list", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opAppend, "5"}))
	alter("subtract from what is no list", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opSubtract, "5"}))
	alter("append a bad value", 1, changing(resourceTopic, "conf", false, change{"cleanup.policy", opAppend, "burn"}))
	alter("a config twice", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opSet, "1"}, change{"retention.ms", opSet, "2"}))
	alter("set without a value", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opSet, ""}))
	alter("a bad value", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opSet, "soon"}))
	alter("a value out of range", 1, changing(resourceTopic, "conf", false, change{"max.message.bytes", opSet, "-1"}))
	alter("an unknown config", 1, changing(resourceTopic, "conf", false, change{"no.such.config", opSet, "1"}))
	alter("one good, one bad", 1, changing(resourceTopic, "conf", false, change{"retention.ms", opSet, "8000"}, change{"segment.bytes", opSet, "x"}))
	shown("one good, one bad", "retention.ms", "604800000")
	alter("a bad operation", 1, changing(resourceTopic, "conf", false, change{"retention.ms", 9, "1"}))
	alter("an unknown topic", 1, changing(resourceTopic, "nobody", false, change{"retention.ms", opSet, "1"}))
	alter("a bad topic name", 1, changing(resourceTopic, "a b", false, change{"retention.ms", opSet, "1"}))
	alter("another broker", 1, changing(resourceBroker, "77", false, change{"log.retention.ms", opSet, "1"}))
	alter("a config of the broker that is read only", 1, changing(resourceBroker, node, false, change{"node.id", opSet, "5"}))
	alter("a broker that isn't a number", 1, changing(resourceBroker, "x", false, change{"log.retention.ms", opSet, "1"}))
	alter("a resource of a bad kind", 1, changing(kmsg.ConfigResourceType(77), "x", false, change{"a", opSet, "1"}))
	double := changing(resourceTopic, "conf", false, change{"retention.ms", opSet, "1"})
	double.Resources = append(double.Resources, double.Resources[0])
	alter("a topic twice", 1, double)
	alter("nothing", 1, kmsg.NewPtrIncrementalAlterConfigsRequest())
	alter("compressing", 1, changing(resourceTopic, "conf", false, change{"compression.type", opSet, "gzip"}))
	shown("compressing", "compression.type", "gzip")

	replace := func(call string, version int16, r *kmsg.AlterConfigsRequest) {
		ask[*kmsg.AlterConfigsResponse](s, "replace: "+call, version, r)
	}
	replace("all by one", 2, replacing(resourceTopic, "conf", "max.message.bytes", "3000"))
	shown("replace", "max.message.bytes", "3000")
	replace("a bad value", 2, replacing(resourceTopic, "conf", "max.message.bytes", "many"))
	replace("an unknown config", 2, replacing(resourceTopic, "conf", "no.such.config", "1"))
	replace("an unknown topic", 2, replacing(resourceTopic, "nobody", "max.message.bytes", "3000"))
	replace("all by none, version 0", 0, replacing(resourceTopic, "conf"))
	shown("replace by none", "max.message.bytes", "1048588")
	checked := replacing(resourceTopic, "conf", "max.message.bytes", "4000")
	checked.ValidateOnly = true
	replace("check", 2, checked)
	shown("a checked replace", "max.message.bytes", "1048588")

	list := kmsg.NewPtrListConfigResourcesRequest()
	list.ResourceTypes = []int8{int8(resourceBroker)}
	ask[*kmsg.ListConfigResourcesResponse](s, "list brokers", 1, list)
	list.ResourceTypes = []int8{77}
	ask[*kmsg.ListConfigResourcesResponse](s, "list a bad kind", 1, list)
	ask[*kmsg.ListConfigResourcesResponse](s, "list, version 0", 0, kmsg.NewPtrListConfigResourcesRequest())
}

const resourceGroup = kmsg.ConfigResourceTypeGroupConfig

func groupConfigs(s *session) {
	const session, interval = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
	describe := func(call string, version int16, r *kmsg.DescribeConfigsRequest) {
		ask[*kmsg.DescribeConfigsResponse](s, "describe "+call, version, r)
	}
	describe("a group without an id", 4, describing(resourceGroup, ""))
	describe("a group, version 2", 2, describing(resourceGroup, "some-group"))
	describe("one config", 4, describing(resourceGroup, "some-group", session, "no.such.config"))
	alter := func(call string, r *kmsg.IncrementalAlterConfigsRequest) {
		ask[*kmsg.IncrementalAlterConfigsResponse](s, "alter: "+call, 1, r)
	}
	one := func(op kmsg.IncrementalAlterConfigOp, name, value string) *kmsg.IncrementalAlterConfigsRequest {
		return changing(resourceGroup, "some-group", false, change{name, op, value})
	}
	full := func(call, name, value string) {
		r := describing(resourceGroup, "some-group")
		r.IncludeSynonyms = true
		until(s, "after "+call, 4, r, isSet(name, value))
	}
	alter("a group without an id", changing(resourceGroup, "", false, change{session, opSet, "50000"}))
	alter("check", changing(resourceGroup, "some-group", true, change{session, opSet, "46000"}))
	full("a check", session, "45000")
	alter("set", one(opSet, session, "50000"))
	full("set", session, "50000")
	alter("set the other", one(opSet, interval, "6000"))
	full("set the other", interval, "6000")
	alter("too short a session", one(opSet, session, "44999"))
	alter("too long a session", one(opSet, session, "60001"))
	alter("too short an interval", one(opSet, interval, "4999"))
	alter("too long an interval", one(opSet, interval, "15001"))
	alter("a session of 0", one(opSet, session, "0"))
	alter("a session that is no number", one(opSet, session, "long"))
	alter("an unknown config", one(opSet, "no.such.config", "1"))
	alter("a topic's config", one(opSet, "retention.ms", "1"))
	alter("without a value", one(opSet, session, ""))
	alter("append", one(opAppend, session, "1"))
	alter("subtract", one(opSubtract, session, "1"))
	alter("a bad reset", one(opSet, "share.auto.offset.reset", "yesterday"))
	alter("a reset", one(opSet, "share.auto.offset.reset", "earliest"))
	alter("a reset by duration", one(opSet, "share.auto.offset.reset", "by_duration:PT1H"))
	alter("a reset by a bad duration", one(opSet, "share.auto.offset.reset", "by_duration:soon"))
	alter("a bad isolation", one(opSet, "share.isolation.level", "none"))
	alter("too short a lock", one(opSet, "share.record.lock.duration.ms", "14999"))
	alter("too many standby replicas", one(opSet, "streams.num.standby.replicas", "3"))
	alter("standby replicas", one(opSet, "streams.num.standby.replicas", "1"))
	full("standby replicas", "streams.num.standby.replicas", "1")
	alter("too short a session of streams", one(opSet, "streams.session.timeout.ms", "1000"))
	alter("delete", one(opDelete, session, ""))
	full("delete", session, "45000")
	alter("delete what isn't set", one(opDelete, "share.session.timeout.ms", ""))
	alter("delete an unknown config", one(opDelete, "no.such.config", ""))
	list := kmsg.NewPtrListConfigResourcesRequest()
	list.ResourceTypes = []int8{int8(resourceGroup)}
	ask[*kmsg.ListConfigResourcesResponse](s, "list groups", 1, list)
	replace := func(call string, version int16, r *kmsg.AlterConfigsRequest) {
		ask[*kmsg.AlterConfigsResponse](s, "replace: "+call, version, r)
	}
	replace("all by one", 2, replacing(resourceGroup, "some-group", interval, "7000"))
	full("replace", interval, "7000")
	replace("a bad value", 2, replacing(resourceGroup, "some-group", interval, "often"))
	replace("an unknown config", 2, replacing(resourceGroup, "some-group", "no.such.config", "1"))
	replace("all by none", 1, replacing(resourceGroup, "some-group"))
	full("replace by none", interval, "5000")
	ask[*kmsg.ListConfigResourcesResponse](s, "list groups, none left", 1, list)
}
