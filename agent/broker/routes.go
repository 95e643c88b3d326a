package broker

import (
	"github.com/wadi-io/wadi/wire"
)

// Kafka's request keys. https://kafka.apache.org/protocol#protocol_api_keys
const (
	keyProduce              = 0
	keyFetch                = 1
	keyListOffsets          = 2
	keyMetadata             = 3
	keyFindCoordinator      = 10
	keyAPIVersions          = 18
	keyCreateTopics         = 19
	keyDeleteTopics         = 20
	keyInitProducerID       = 22
	keyOffsetForLeaderEpoch = 23
	keyDescribeConfigs      = 32
	keyDescribeCluster      = 60
)

// Routes is the one table of requests: what is dispatched, and what ApiVersions says.
func (b *Broker) Routes() []wire.Route {
	return []wire.Route{
		// Versions 0 to 2 are refused; librdkafka gives up compression unless 0 is offered.
		{Key: keyProduce, Min: 0, Max: 13, Start: b.startProduce},
		{Key: keyFetch, Min: 4, Max: 18, Handle: b.handleFetch},
		{Key: keyListOffsets, Min: 1, Max: 11, Handle: b.handleListOffsets},
		{Key: keyMetadata, Min: 0, Max: 13, Handle: b.handleMetadata},
		{Key: keyFindCoordinator, Min: 0, Max: 6, Handle: b.handleFindCoordinator},
		{Key: keyAPIVersions, Min: 0, Max: 4, Handle: b.handleAPIVersions},
		{Key: keyCreateTopics, Min: 2, Max: 7, Handle: b.handleCreateTopics},
		{Key: keyDeleteTopics, Min: 1, Max: 6, Handle: b.handleDeleteTopics},
		{Key: keyInitProducerID, Min: 0, Max: 5, Handle: b.handleInitProducerID},
		{Key: keyOffsetForLeaderEpoch, Min: 2, Max: 4, Handle: b.handleOffsetForLeaderEpoch},
		{Key: keyDescribeConfigs, Min: 1, Max: 4, Handle: b.handleDescribeConfigs},
		{Key: keyDescribeCluster, Min: 0, Max: 2, Handle: b.handleDescribeCluster},
	}
}
