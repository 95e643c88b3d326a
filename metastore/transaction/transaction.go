package transaction

import (
	"cmp"
	"hash/crc32"
	"slices"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// IDBytesMax bounds a transactional id, as Kafka's protocol does.
const IDBytesMax = 32767

// The most that one transaction may hold. What would pass them is void.
const (
	PartitionsMax = 1 << 16
	GroupsMax     = 1 << 10
)

// Journal returns the index of the journal that holds a transactional id, in a
// cluster with so many of them. Persisted by what was written there.
func Journal(id string, journals int) int {
	return int(crc32.Checksum([]byte(id), crc32.MakeTable(crc32.Castagnoli)) % uint32(journals))
}

// Status is how far a transactional id is. Numbered as Kafka's states. Persisted; never renumber.
type Status uint8

// The statuses.
const (
	Empty          Status = 0 // no transaction since it was initialised
	Ongoing        Status = 1
	PrepareCommit  Status = 2 // decided; its markers may not all be written
	PrepareAbort   Status = 3
	CompleteCommit Status = 4
	CompleteAbort  Status = 5
	statusEnd             = 6
)

// String returns Kafka's name.
func (s Status) String() string {
	names := [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Prepared tells whether the transaction is decided and not known to be complete.
func (s Status) Prepared() bool { return s == PrepareCommit || s == PrepareAbort }

// None is a producer id or epoch that there is not.
const None = -1

// Identity is what a transactional id's client is known by.
type Identity struct {
	ProducerID int64
	Epoch      int16
	// The ones before, for retries of what raised them (KIP-360, KIP-890); None.
	PreviousProducerID int64
	PreviousEpoch      int16
}

// Topic names partitions of one topic by their indexes.
type Topic struct {
	Number     uint64  // the topic's number in the catalog, never reused
	FirstShard int32   // the shard of its partition 0
	Partitions []int32 // ordered, each once, at least one
}

// Transaction is a transactional id and the transaction that it is in, or was in last.
type Transaction struct {
	ID string
	// Written is the version of the entry that changed it last: what AppendInit and AppendRemoved expect.
	Written metastore.Version
	Identity
	TimeoutMs int32
	Status    Status
	Version2  bool   // the client of the transaction at hand is on KIP-890's version
	Number    uint64 // of the transaction at hand or, when there is none, of the last one; 0: never had any
	// What belongs to the transaction, until it is complete. Ordered.
	Topics []Topic
	Groups []string
	// What its markers say, while it is Prepared: Identity is the next transaction's then.
	EndingProducerID int64
	EndingEpoch      int16
	Started, Updated int64 // ms since 1970 UTC, by the entries; Started is −1 while there is no transaction
}

// Committed tells whether the decision was to commit.
func (t *Transaction) Committed() bool {
	return t.Status == PrepareCommit || t.Status == CompleteCommit
}

// Partitions counts the transaction's partitions.
func (t *Transaction) Partitions() int { return partitions(t.Topics) }

func partitions(topics []Topic) int {
	n := 0
	for i := range topics {
		n += len(topics[i].Partitions)
	}
	return n
}

// Has tells whether a partition was added to the transaction.
func (t *Transaction) Has(topic uint64, partition int32) bool {
	i, ok := slices.BinarySearchFunc(t.Topics, topic, compareTopic)
	if !ok {
		return false
	}
	_, ok = slices.BinarySearch(t.Topics[i].Partitions, partition)
	return ok
}

func compareTopic(t Topic, number uint64) int { return cmp.Compare(t.Number, number) }

// ShardMarker is a marker and the shard that it belongs to.
type ShardMarker struct {
	Shard int
	shard.Marker
}

// Markers returns the markers that end the transaction: one for each shard, in order of the
// shards. ending says what they tell; of a Prepared transaction it is Ending().
func (t *Transaction) Markers(ending Ending, coordinatorEpoch int32, timestamp int64, shards int) []ShardMarker {
	byShard := map[int][]shard.PartitionID{}
	for _, topic := range t.Topics {
		for _, p := range topic.Partitions {
			i := int((int64(topic.FirstShard) + int64(p)) % int64(shards))
			byShard[i] = append(byShard[i], shard.PartitionID{Topic: topic.Number, Index: p})
		}
	}
	markers := make([]ShardMarker, 0, len(byShard))
	for i, list := range byShard {
		markers = append(markers, ShardMarker{i, shard.Marker{
			Producer:         ending.ProducerID,
			Transaction:      t.Number,
			Epoch:            ending.Epoch,
			Commit:           ending.Commit,
			CoordinatorEpoch: coordinatorEpoch,
			Timestamp:        timestamp,
			Partitions:       list,
		}})
	}
	slices.SortFunc(markers, func(a, b ShardMarker) int { return cmp.Compare(a.Shard, b.Shard) })
	return markers
}

// Ending is how a transaction ends, as its markers tell it.
type Ending struct {
	ProducerID int64 // of the transaction
	Epoch      int16 // version 2: the one raised by its end, as in Kafka
	Commit     bool
}

// Ending returns how a Prepared transaction ends.
func (t *Transaction) Ending() Ending {
	return Ending{t.EndingProducerID, t.EndingEpoch, t.Committed()}
}
