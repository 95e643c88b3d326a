package broker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// DescribeConfigs, versions 1–4.
//
// Answers the configs of topics, groups and this agent by Apache Kafka 4.2's names, with
// types, sources, synonyms and documentation; each config's documentation says if it
// is without effect here. Passwords are never shown. Those of topics and groups come from
// a catalog that was refreshed after the request: another agent may just have altered them.
//
// What differs from Apache Kafka: broker configs are read-only; nothing is ever a
// dynamic broker config, so the cluster-wide default (an empty broker name) is empty; loggers
// and client metrics get INVALID_REQUEST. A resource that is named twice is answered once.

// described is a config with its value in force.
type described struct {
	setting  *Setting
	value    *string // nil: none
	source   kmsg.ConfigSource
	sourced  bool
	readOnly bool

	withSynonyms bool                                                      // they were asked for
	synonyms     []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym // highest precedence first
}

// shown is the value as it may be told.
func (d *described) shown() *string {
	if d.setting.Sensitive() {
		return nil
	}
	return d.value
}

// add adds a synonym; the first one's source is the config's.
func (d *described) add(name string, value *string, source kmsg.ConfigSource) {
	if !d.sourced {
		d.source, d.sourced = source, true
	}
	if !d.withSynonyms {
		return
	}
	s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
	s.Name, s.Source = name, source
	if !d.setting.Sensitive() {
		s.Value = value
	}
	d.synonyms = append(d.synonyms, s)
}

func (b *Broker) handleDescribeConfigs(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DescribeConfigsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	seen := make(map[resource]struct{}, len(req.Resources))
	confirmed := b.confirmConfigs(ctx, req)
	for i := range req.Resources {
		asked := &req.Resources[i]
		key := resource{asked.ResourceType, asked.ResourceName}
		if _, again := seen[key]; again {
			continue // what is repeated for nothing would be answered with a thousand times its size
		}
		seen[key] = struct{}{}
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = asked.ResourceType, asked.ResourceName
		var configs []described
		err := confirmed
		if err == nil {
			configs, err = b.describe(asked, req.IncludeSynonyms)
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = codeOf(err), messageOf(err)
		}
		wanted := make(map[string]struct{}, len(asked.ConfigNames))
		for _, name := range asked.ConfigNames {
			wanted[name] = struct{}{}
		}
		for _, d := range configs {
			if _, ok := wanted[d.setting.Name]; ok || len(wanted) == 0 {
				out.Configs = append(out.Configs, d.answer(req))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	return wire.Answer{Message: resp}
}

// confirmConfigs reads the catalog anew if the request is about what it holds.
func (b *Broker) confirmConfigs(ctx context.Context, req *kmsg.DescribeConfigsRequest) error {
	inCatalog := func(r kmsg.DescribeConfigsRequestResource) bool {
		return r.ResourceType == kmsg.ConfigResourceTypeTopic || r.ResourceType == kmsg.ConfigResourceTypeGroupConfig
	}
	if !slices.ContainsFunc(req.Resources, inCatalog) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, refreshWaitMax)
	defer cancel()
	if err := b.refreshCatalog(ctx); err != nil {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	return nil
}

func (d *described) answer(req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly = d.setting.Name, d.shown(), d.readOnly
	c.Source, c.IsDefault = d.source, d.source == kmsg.ConfigSourceDefaultConfig
	c.IsSensitive, c.ConfigType = d.setting.Sensitive(), kmsg.ConfigType(d.setting.Type)
	c.ConfigSynonyms = d.synonyms
	if req.IncludeDocumentation {
		doc := d.setting.Doc()
		c.Documentation = &doc
	}
	return c
}

// describe returns the configs of one resource by name.
func (b *Broker) describe(asked *kmsg.DescribeConfigsRequestResource, synonyms bool) ([]described, error) {
	switch asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := checkTopicName(asked.ResourceName); err != nil {
			return nil, err
		}
		t := b.topic(asked.ResourceName)
		if t == nil {
			return nil, refuse(wire.CodeUnknownTopicOrPartition, "This server does not host this topic-partition.")
		}
		return b.describeTopic(t, synonyms), nil
	case kmsg.ConfigResourceTypeBroker:
		if asked.ResourceName == "" {
			return nil, nil
		}
		id, err := strconv.ParseInt(asked.ResourceName, 10, 32)
		if err != nil || asked.ResourceName != strconv.FormatInt(id, 10) {
			return nil, refuse(wire.CodeInvalidRequest, "Broker id must be an integer, but it is: %s", asked.ResourceName)
		}
		if int32(id) != b.cfg.NodeID {
			return nil, refuse(wire.CodeInvalidRequest, "Unexpected broker id, expected %d or empty string, but received %d", b.cfg.NodeID, id)
		}
		return b.describeBroker(synonyms), nil
	}
	if asked.ResourceType == kmsg.ConfigResourceTypeGroupConfig {
		return b.describeGroup(asked.ResourceName, synonyms)
	}
	return nil, refuse(wire.CodeInvalidRequest, "Unsupported resource type: %v", asked.ResourceType)
}

// describeTopic returns the configs of a topic by name.
func (b *Broker) describeTopic(t *catalog.Topic, synonyms bool) []described {
	all := make([]described, 0, len(topicSettings))
	for i := range topicSettings {
		all = append(all, b.describeTopicConfig(t, &topicSettings[i], synonyms))
	}
	return all
}

func (b *Broker) describeTopicConfig(t *catalog.Topic, s *Setting, synonyms bool) described {
	value := b.topics.value(t, s.Name)
	d := described{setting: s, value: &value, source: kmsg.ConfigSourceDefaultConfig, withSynonyms: synonyms}
	if own, ok := t.Configs[s.Name]; ok {
		d.add(s.Name, &own, kmsg.ConfigSourceDynamicTopicConfig)
	}
	// As Kafka: those before the first one's are left out, so also all where it has no value.
	told := false
	add := func(y synonym, value string, source kmsg.ConfigSource) {
		if told = told || y.name == topicSynonyms[s.Name][0].name; told {
			d.add(y.name, &value, source)
		}
	}
	for _, y := range topicSynonyms[s.Name] {
		if set, ok := b.cfg.Settings.set[y.name]; ok {
			add(y, set, kmsg.ConfigSourceStaticBrokerConfig)
		}
	}
	for _, y := range topicSynonyms[s.Name] {
		if def := brokerSetting(y.name).Default; def != null {
			add(y, def, kmsg.ConfigSourceDefaultConfig)
		}
	}
	return d
}

// describeBroker returns the configs of this agent by name.
func (b *Broker) describeBroker(synonyms bool) []described {
	var all []described
	for _, table := range [...][]Setting{brokerSettingsAToL, brokerSettingsLToZ} {
		for i := range table {
			all = append(all, b.describeBrokerConfig(&table[i], synonyms))
		}
	}
	return all
}

func (b *Broker) describeBrokerConfig(s *Setting, synonyms bool) described {
	d := described{setting: s, source: kmsg.ConfigSourceDefaultConfig, readOnly: true, withSynonyms: synonyms}
	set, ok := b.cfg.Settings.set[s.Name]
	if s.effect == fixed {
		set, ok = b.fixed(s.Name)
	}
	if ok {
		d.value = &set
		d.add(s.Name, &set, kmsg.ConfigSourceStaticBrokerConfig)
	}
	if def := s.Default; def != null {
		if !ok {
			d.value = &def
		}
		d.add(s.Name, &def, kmsg.ConfigSourceDefaultConfig)
	}
	return d
}

// fixed returns the value of a config that is not set as one.
func (b *Broker) fixed(name string) (value string, ok bool) {
	switch name {
	case "node.id", "broker.id":
		return strconv.Itoa(int(b.cfg.NodeID)), true
	case "broker.rack":
		return b.cfg.Rack, b.cfg.Rack != ""
	case "listeners", "advertised.listeners":
		return "PLAINTEXT://" + net.JoinHostPort(b.cfg.Host, strconv.Itoa(int(b.cfg.Port))), true
	}
	return "", false
}
