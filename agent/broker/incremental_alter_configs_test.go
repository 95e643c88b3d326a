package broker

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// altering asks for operations on a resource's configs: operation, name, value; a nil value is null.
func altering(kind kmsg.ConfigResourceType, name string, triples ...any) kmsg.IncrementalAlterConfigsRequestResource {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for i := 0; i < len(triples); i += 3 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Op, c.Name = kmsg.IncrementalAlterConfigOp(triples[i].(int)), triples[i+1].(string)
		if v, ok := triples[i+2].(string); ok {
			c.Value = &v
		}
		r.Configs = append(r.Configs, c)
	}
	return r
}

func incrementalRequest(version int16, resources ...kmsg.IncrementalAlterConfigsRequestResource) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version, req.Resources = version, resources
	return req
}

const (
	opSet = iota
	opDelete
	opAppend
	opSubtract
)

func TestIncrementalAlterConfigs_Operations(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	const policy = "cleanup.policy"
	for _, x := range []struct {
		name   string
		before map[string]string
		change []any
		want   map[string]string
	}{
		{"set", nil, []any{opSet, "retention.ms", "5"}, map[string]string{"retention.ms": "5"}},
		{"set again", map[string]string{"retention.ms": "4", "segment.ms": "3"}, []any{opSet, "retention.ms", "5"}, map[string]string{"retention.ms": "5", "segment.ms": "3"}},
		{"other columns", map[string]string{configSchema: "n int64"}, []any{opSet, configSchema, "m double, n int64"}, map[string]string{configSchema: "m double, n int64"}},
		{"no columns", map[string]string{configSchema: "n int64"}, []any{opSet, configSchema, ""}, map[string]string{configSchema: ""}},
		{"delete", map[string]string{"retention.ms": "4", "segment.ms": "3"}, []any{opDelete, "retention.ms", nil}, map[string]string{"segment.ms": "3"}},
		{"delete what is not set", nil, []any{opDelete, "retention.ms", nil, opDelete, "nothing", "x"}, nil},
		{"append to the default", nil, []any{opAppend, policy, "compact"}, map[string]string{policy: "delete,compact"}},
		{"append what is there", map[string]string{policy: "compact"}, []any{opAppend, policy, "compact,delete,delete"}, map[string]string{policy: "compact,delete"}},
		{"subtract", map[string]string{policy: "compact,delete"}, []any{opSubtract, policy, "delete"}, map[string]string{policy: "compact"}},
		{"subtract what is not there", map[string]string{policy: "compact"}, []any{opSubtract, policy, "delete"}, map[string]string{policy: "compact"}},
		{"several", map[string]string{"retention.ms": "4"}, []any{opDelete, "retention.ms", nil, opSet, "segment.ms", "3", opAppend, policy, "compact"},
			map[string]string{"segment.ms": "3", policy: "delete,compact"}},
	} {
		for version := int16(0); version <= 1; version++ {
			a.create("t", 1, x.before)
			got := call[*kmsg.IncrementalAlterConfigsResponse](a, incrementalRequest(version, altering(ofTopic, "t", x.change...))).Resources[0]
			if got.ErrorCode != 0 || got.ResourceName != "t" || got.ResourceType != ofTopic {
				t.Errorf("%s: %d %s", x.name, got.ErrorCode, kmsgText(got.ErrorMessage))
			}
			if !maps.Equal(a.configs("t"), x.want) {
				t.Errorf("%s: %v", x.name, a.configs("t"))
			}
			call[*kmsg.DeleteTopicsResponse](a, deletion("t"))
		}
	}
}

func TestIncrementalAlterConfigs_Refuses(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	long := func(first int) string {
		items := make([]string, 4000)
		for i := range items {
			items[i] = fmt.Sprintf("%d:1", first+i)
		}
		return strings.Join(items, ",")
	}
	const throttled = "follower.replication.throttled.replicas"
	a.create("t", 1, map[string]string{"retention.ms": "1000", throttled: long(1000), configSchema: "n int64, s string"})
	before := a.version()
	for _, x := range []struct {
		name     string
		resource kmsg.IncrementalAlterConfigsRequestResource
		code     int16
		message  string
	}{
		{"append to a number", altering(ofTopic, "t", opAppend, "retention.ms", "1"), wire.CodeInvalidConfig, "Can't APPEND to key retention.ms because its type is not LIST."},
		{"subtract from nothing known", altering(ofTopic, "nowhere", opSubtract, "nothing", "1"), wire.CodeInvalidConfig, "Can't SUBTRACT to key nothing because its type is not LIST."},
		{"a list that gets too long", altering(ofTopic, "t", opAppend, throttled, long(5000)), wire.CodeInvalidConfig, "exceeds the maximum value size of 32767"},
		{"a bad item", altering(ofTopic, "t", opAppend, "cleanup.policy", "x"), wire.CodeInvalidConfig, "must be one of"},
		{"an unknown operation", altering(ofTopic, "t", 4, "retention.ms", "1"), wire.CodeInvalidRequest, "Unknown operations type 4"},
		{"null", altering(ofTopic, "t", opSet, "retention.ms", nil), wire.CodeInvalidRequest, "Null value not supported for : retention.ms"},
		{"a config twice", altering(ofTopic, "t", opSet, "retention.ms", "1", opDelete, "retention.ms", nil), wire.CodeInvalidRequest, "Error due to duplicate config keys"},
		{"an unknown topic", altering(ofTopic, "nowhere", opDelete, "retention.ms", nil), wire.CodeUnknownTopicOrPartition, "The topic 'nowhere' does not exist."},
		{"columns that aren't", altering(ofTopic, "t", opSet, configSchema, "n int"), wire.CodeInvalidConfig, "\"int\" is no type"},
		{"a column's other type", altering(ofTopic, "t", opSet, configSchema, `{"N": 1.5}`), wire.CodeInvalidConfig, `give the new one another name (N_double double from "N")`},
		{"a broker config", altering(ofBroker, "1", opSet, "message.max.bytes", "1"), wire.CodeInvalidRequest, "Cannot update these configs dynamically: Set(message.max.bytes)"},
		{"a logger", altering(kmsg.ConfigResourceTypeBrokerLogger, "1", opSet, "root", "INFO"), wire.CodeInvalidRequest, "not served"},
	} {
		got := call[*kmsg.IncrementalAlterConfigsResponse](a, incrementalRequest(1, x.resource)).Resources[0]
		if got.ErrorCode != x.code || got.ErrorMessage == nil || !strings.Contains(*got.ErrorMessage, x.message) {
			t.Errorf("%s: %d %s", x.name, got.ErrorCode, kmsgText(got.ErrorMessage))
		}
	}
	validate := incrementalRequest(1, altering(ofTopic, "t", opSet, "retention.ms", "1"))
	validate.ValidateOnly = true
	if got := call[*kmsg.IncrementalAlterConfigsResponse](a, validate).Resources[0]; got.ErrorCode != 0 {
		t.Errorf("validate only: %+v", got)
	}
	if a.version() != before {
		t.Error("something was appended")
	}
	if got := call[*kmsg.IncrementalAlterConfigsResponse](a, incrementalRequest(1, altering(ofBroker, "1", opDelete, "message.max.bytes", nil))).Resources[0]; got.ErrorCode != 0 {
		t.Errorf("a broker config deleted that is not set: %+v", got)
	}
}
