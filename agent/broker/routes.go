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
	keyOffsetCommit         = 8
	keyOffsetFetch          = 9
	keyFindCoordinator      = 10
	keyJoinGroup            = 11
	keyHeartbeat            = 12
	keyLeaveGroup           = 13
	keySyncGroup            = 14
	keyDescribeGroups       = 15
	keyListGroups           = 16
	keyAPIVersions          = 18
	keyCreateTopics         = 19
	keyDeleteTopics         = 20
	keyDeleteRecords        = 21
	keyInitProducerID       = 22
	keyOffsetForLeaderEpoch = 23
	keyAddPartitionsToTxn   = 24
	keyAddOffsetsToTxn      = 25
	keyEndTxn               = 26
	keyWriteTxnMarkers      = 27
	keyTxnOffsetCommit      = 28
	keyDescribeConfigs      = 32
	keyAlterConfigs         = 33
	keyDescribeLogDirs      = 35
	keyCreatePartitions     = 37
	keyDeleteGroups         = 42
	keyElectLeaders         = 43
	keyIncrementalAlter     = 44
	keyOffsetDelete         = 47
	keyDescribeCluster      = 60
	keyDescribeProducers    = 61
	keyDescribeTransactions = 65
	keyListTransactions     = 66
	keyConsumerHeartbeat    = 68
	keyConsumerDescribe     = 69
	keyListConfigResources  = 74
	keyDescribePartitions   = 75
)

// Routes is the one table of requests: what is dispatched, and what ApiVersions says.
func (b *Broker) Routes() []wire.Route {
	return b.counted([]wire.Route{
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

		{Key: keyOffsetCommit, Min: 2, Max: 10, Handle: b.handleOffsetCommit},
		{Key: keyOffsetFetch, Min: 1, Max: 10, Handle: b.handleOffsetFetch},
		{Key: keyJoinGroup, Min: 0, Max: 9, Handle: b.handleJoinGroup},
		{Key: keyHeartbeat, Min: 0, Max: 4, Handle: b.handleHeartbeat},
		{Key: keyLeaveGroup, Min: 0, Max: 5, Handle: b.handleLeaveGroup},
		{Key: keySyncGroup, Min: 0, Max: 5, Handle: b.handleSyncGroup},
		{Key: keyDescribeGroups, Min: 0, Max: 6, Handle: b.handleDescribeGroups},
		{Key: keyListGroups, Min: 0, Max: 5, Handle: b.handleListGroups},
		{Key: keyDeleteGroups, Min: 0, Max: 2, Handle: b.handleDeleteGroups},
		{Key: keyConsumerHeartbeat, Min: 0, Max: 1, Handle: b.handleConsumerGroupHeartbeat},
		{Key: keyConsumerDescribe, Min: 0, Max: 1, Handle: b.handleConsumerGroupDescribe},
		{Key: keyOffsetDelete, Min: 0, Max: 0, Handle: b.handleOffsetDelete},

		{Key: keyAddPartitionsToTxn, Min: 0, Max: 5, Handle: b.handleAddPartitionsToTxn},
		{Key: keyAddOffsetsToTxn, Min: 0, Max: 4, Handle: b.handleAddOffsetsToTxn},
		{Key: keyEndTxn, Min: 0, Max: 5, Handle: b.handleEndTxn},
		{Key: keyTxnOffsetCommit, Min: 0, Max: 5, Handle: b.handleTxnOffsetCommit},
		{Key: keyDescribeTransactions, Min: 0, Max: 0, Handle: b.handleDescribeTransactions},
		{Key: keyListTransactions, Min: 0, Max: 2, Handle: b.handleListTransactions},
		{Key: keyWriteTxnMarkers, Min: 1, Max: 2, Handle: b.handleWriteTxnMarkers},

		{Key: keyDeleteRecords, Min: 0, Max: 2, Handle: b.handleDeleteRecords},
		{Key: keyAlterConfigs, Min: 0, Max: 2, Handle: b.handleAlterConfigs},
		{Key: keyDescribeLogDirs, Min: 1, Max: 4, Handle: b.handleDescribeLogDirs},
		{Key: keyCreatePartitions, Min: 0, Max: 3, Handle: b.handleCreatePartitions},
		{Key: keyElectLeaders, Min: 0, Max: 2, Handle: b.handleElectLeaders},
		{Key: keyIncrementalAlter, Min: 0, Max: 1, Handle: b.handleIncrementalAlterConfigs},
		{Key: keyDescribeProducers, Min: 0, Max: 0, Handle: b.handleDescribeProducers},
		{Key: keyListConfigResources, Min: 0, Max: 1, Handle: b.handleListConfigResources},
		{Key: keyDescribePartitions, Min: 0, Max: 0, Handle: b.handleDescribeTopicPartitions},
	})
}
