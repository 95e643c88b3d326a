package metastore

import "fmt"

// EffectKind says what an effect of an entry does. Persisted; never renumber. A
// fold that meets a kind it does not know stops its journal: a new kind is
// written only once every live agent can read it (LevelOf).
type EffectKind uint64

// The one table of effect kinds.
const (
	// Any journal.
	EffectTermEnded    EffectKind = 1 // forget a term's number (GUARDS 12)
	EffectSnapshotMark EffectKind = 2 // every replica hashes its state at this version
	EffectSnapshotHash EffectKind = 3 // the hash of the state at an earlier mark

	// Catalog.
	EffectTopicCreated    EffectKind = 16
	EffectTopicDeleted    EffectKind = 17
	EffectTopicConfig     EffectKind = 18
	EffectPartitionsAdded EffectKind = 19
	EffectProducerIDs     EffectKind = 20
	EffectFeatureLevel    EffectKind = 21 // every agent reads entries of this level
	EffectBrokerConfig    EffectKind = 22 // reserved
	EffectGroupConfig     EffectKind = 23

	// Shards.
	EffectPartitionsOpened EffectKind = 32
	EffectPartitionsClosed EffectKind = 33
	EffectFlush            EffectKind = 34 // batches of one ingest segment
	EffectFence            EffectKind = 35
	EffectForgetProducer   EffectKind = 36
	EffectLogStart         EffectKind = 37
	EffectMarker           EffectKind = 38 // ends a transaction in partitions
	EffectSwap             EffectKind = 39 // compaction has changed a partition's rows
	EffectInlineBatches    EffectKind = 40 // reserved: extents whose place is the entry
	EffectJump             EffectKind = 41 // offsets that a recovery passes over
	EffectArchived         EffectKind = 42 // up to where a partition is in the archive

	// Groups.
	EffectGroupGeneration  EffectKind = 64 // the members of a generation and their assignments
	EffectOffsetsCommitted EffectKind = 65
	EffectOffsetsDeleted   EffectKind = 66
	EffectGroupDeleted     EffectKind = 67
	EffectOffsetsPending   EffectKind = 68 // of a transaction
	EffectOffsetsEnded     EffectKind = 69 // a transaction committed or aborted its offsets
	EffectConsumerChange   EffectKind = 70 // members of the consumer group protocol, and what they have
	// The kinds of groups that move between the protocols with their members.
	EffectConsumerMixed      EffectKind = 71 // members of both protocols in one group
	EffectConsumerDowngraded EffectKind = 72 // a classic generation of what was such a group
	EffectEndedForgotten     EffectKind = 73 // which transactions ended: of producers silent for long
	EffectGroupsTaken        EffectKind = 74 // from here on offsets are committed by this entry's term only

	// Transactions.
	EffectTransactionInit      EffectKind = 96 // a transactional id's producer id and epoch
	EffectTransactionAdded     EffectKind = 97 // partitions and groups; begins the transaction
	EffectTransactionDecided   EffectKind = 98
	EffectTransactionCompleted EffectKind = 99
	EffectTransactionRemoved   EffectKind = 100 // a transactional id that nobody used for long
)

func (k EffectKind) String() string {
	switch k {
	case EffectTermEnded:
		return "term-ended"
	case EffectSnapshotMark:
		return "snapshot-mark"
	case EffectSnapshotHash:
		return "snapshot-hash"
	case EffectTopicCreated:
		return "topic-created"
	case EffectTopicDeleted:
		return "topic-deleted"
	case EffectTopicConfig:
		return "topic-config"
	case EffectPartitionsAdded:
		return "partitions-added"
	case EffectProducerIDs:
		return "producer-ids"
	case EffectFeatureLevel:
		return "feature-level"
	case EffectGroupConfig:
		return "group-config"
	case EffectPartitionsOpened:
		return "partitions-opened"
	case EffectPartitionsClosed:
		return "partitions-closed"
	case EffectFlush:
		return "flush"
	case EffectFence:
		return "fence"
	case EffectForgetProducer:
		return "forget-producer"
	case EffectLogStart:
		return "log-start"
	case EffectMarker:
		return "marker"
	case EffectSwap:
		return "swap"
	case EffectJump:
		return "jump"
	case EffectArchived:
		return "archived"
	case EffectGroupGeneration:
		return "group-generation"
	case EffectOffsetsCommitted:
		return "offsets-committed"
	case EffectOffsetsDeleted:
		return "offsets-deleted"
	case EffectGroupDeleted:
		return "group-deleted"
	case EffectConsumerChange:
		return "consumer-change"
	case EffectOffsetsPending:
		return "offsets-pending"
	case EffectOffsetsEnded:
		return "offsets-ended"
	case EffectEndedForgotten:
		return "ended-forgotten"
	case EffectTransactionInit:
		return "transaction-init"
	case EffectTransactionAdded:
		return "transaction-added"
	case EffectTransactionDecided:
		return "transaction-decided"
	case EffectTransactionCompleted:
		return "transaction-completed"
	case EffectTransactionRemoved:
		return "transaction-removed"
	case EffectConsumerMixed:
		return "consumer-mixed"
	case EffectConsumerDowngraded:
		return "consumer-downgraded"
	case EffectGroupsTaken:
		return "groups-taken"
	}
	return fmt.Sprintf("effect-%d", uint64(k))
}
