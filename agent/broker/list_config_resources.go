package broker

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// ListConfigResources, versions 0–1 (KIP-1142): the resources that have configs.
//
// Version 0 asks for client metrics only, of which there are none. Version 1 names
// the types of resources; none means all. A type that Kafka doesn't know is
// refused with UNSUPPORTED_VERSION.
//
// What differs from Apache Kafka: there are no loggers and client metrics; the brokers
// are the agents that Metadata names.

func (b *Broker) handleListConfigResources(_ context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.ListConfigResourcesRequest)
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	resp.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{}
	if req.Version == 0 {
		return wire.Answer{Message: resp}
	}
	asked := func(kind kmsg.ConfigResourceType) bool {
		return len(req.ResourceTypes) == 0 || slices.Contains(req.ResourceTypes, int8(kind))
	}
	for _, kind := range req.ResourceTypes {
		switch kmsg.ConfigResourceType(kind) {
		case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
			kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
		default:
			resp.ErrorCode = wire.CodeUnsupportedVersion
			return wire.Answer{Message: resp}
		}
	}
	add := func(kind kmsg.ConfigResourceType, name string) {
		out := kmsg.NewListConfigResourcesResponseConfigResource()
		out.Type, out.Name = int8(kind), name
		resp.ConfigResources = append(resp.ConfigResources, out)
	}
	if asked(kmsg.ConfigResourceTypeBroker) {
		for _, a := range b.view().Named() {
			add(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(a.Node)))
		}
	}
	if asked(kmsg.ConfigResourceTypeTopic) {
		var topics []*catalog.Topic
		b.viewCatalog(func(s *catalog.State) { topics = s.Topics() })
		for _, t := range topics {
			add(kmsg.ConfigResourceTypeTopic, t.Name)
		}
	}
	if asked(kmsg.ConfigResourceTypeGroupConfig) {
		var groups []string
		b.viewCatalog(func(s *catalog.State) { groups = s.ConfiguredGroups() })
		for _, group := range groups {
			add(kmsg.ConfigResourceTypeGroupConfig, group)
		}
	}
	return wire.Answer{Message: resp}
}
