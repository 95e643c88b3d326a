package wire

import "slices"

// kind is how a field is encoded.
type kind uint8

const (
	kindInt8 kind = iota + 1 // also bool
	kindInt16
	kindInt32
	kindInt64
	kindUUID
	kindString
	kindBytes
	kindArray
	kindStruct   // of a tagged field
	kindOptional // a struct behind a byte: 1, or -1 for null
)

// width is the size in bytes of a kind that has one size.
func (k kind) width() int {
	switch k {
	case kindInt8:
		return 1
	case kindInt16:
		return 2
	case kindInt32:
		return 4
	case kindInt64:
		return 8
	case kindUUID:
		return 16
	}
	return 0
}

// field is one field of a request, or of an array's element.
type field struct {
	name  string
	kind  kind
	since int16 // the first version that has it
	until int16 // the last; 0: all later ones
	null  nullable
	of    kind    // an array's element, where it is a single value
	in    []field // an array's element, or a struct
	tags  []field // their tagged fields, by number
}

// nullable is the first version in which a field may be null.
type nullable int16

const (
	never    nullable = 0
	fromZero nullable = -1
)

// schema is the shape of one request in all versions that the guard knows.
// Source: the message definitions of Apache Kafka 4.2 (clients/src/main/resources/common/message).
type schema struct {
	key      int16
	name     string
	min, max int16
	flexible int16 // the first version with compact lengths and tagged fields
	in       []field
	tags     []field
}

// schemas returns the shapes of all requests that can have a route.
func schemas() []schema {
	return slices.Concat(mainSchemas(), adminSchemas(), groupSchemas(), transactionSchemas())
}

// mainSchemas returns the shapes of the requests that records, topics and the cluster need.
func mainSchemas() []schema {
	return []schema{
		{
			key: 0, name: "Produce", min: 0, max: 13, flexible: 9,
			in: []field{
				{name: "transactional id", kind: kindString, since: 3, null: fromZero},
				{name: "acks", kind: kindInt16},
				{name: "timeout", kind: kindInt32},
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString, until: 12},
					{name: "id", kind: kindUUID, since: 13},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
						{name: "records", kind: kindBytes, null: fromZero},
					}},
				}},
			},
		},
		{
			key: 1, name: "Fetch", min: 4, max: 18, flexible: 12,
			in: []field{
				{name: "replica id", kind: kindInt32, until: 14},
				{name: "max wait", kind: kindInt32},
				{name: "min bytes", kind: kindInt32},
				{name: "max bytes", kind: kindInt32},
				{name: "isolation level", kind: kindInt8},
				{name: "session id", kind: kindInt32, since: 7},
				{name: "session epoch", kind: kindInt32, since: 7},
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString, until: 12},
					{name: "id", kind: kindUUID, since: 13},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
						{name: "current leader epoch", kind: kindInt32, since: 9},
						{name: "offset", kind: kindInt64},
						{name: "last fetched epoch", kind: kindInt32, since: 12},
						{name: "log start offset", kind: kindInt64, since: 5},
						{name: "max bytes", kind: kindInt32},
					}, tags: []field{
						{name: "directory id", kind: kindUUID},
						{name: "high watermark", kind: kindInt64},
					}},
				}},
				{name: "forgotten topics", kind: kindArray, since: 7, in: []field{
					{name: "name", kind: kindString, until: 12},
					{name: "id", kind: kindUUID, since: 13},
					{name: "partitions", kind: kindArray, of: kindInt32},
				}},
				{name: "rack", kind: kindString, since: 11},
			},
			// kmsg reads these in every flexible version, so the guard does.
			tags: []field{
				{name: "cluster id", kind: kindString, null: fromZero},
				{name: "replica state", kind: kindStruct, in: []field{
					{name: "id", kind: kindInt32},
					{name: "epoch", kind: kindInt64},
				}},
			},
		},
		{
			key: 2, name: "ListOffsets", min: 1, max: 11, flexible: 6,
			in: []field{
				{name: "replica id", kind: kindInt32},
				{name: "isolation level", kind: kindInt8, since: 2},
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
						{name: "current leader epoch", kind: kindInt32, since: 4},
						{name: "timestamp", kind: kindInt64},
					}},
				}},
				{name: "timeout", kind: kindInt32, since: 10},
			},
		},
		{
			key: 3, name: "Metadata", min: 0, max: 13, flexible: 9,
			in: []field{
				{name: "topics", kind: kindArray, null: 1, in: []field{
					{name: "id", kind: kindUUID, since: 10},
					{name: "name", kind: kindString, null: 10},
				}},
				{name: "allow auto topic creation", kind: kindInt8, since: 4},
				{name: "include cluster authorized operations", kind: kindInt8, since: 8, until: 10},
				{name: "include topic authorized operations", kind: kindInt8, since: 8},
			},
		},
		{
			key: 10, name: "FindCoordinator", min: 0, max: 6, flexible: 3,
			in: []field{
				{name: "key", kind: kindString, until: 3},
				{name: "key type", kind: kindInt8, since: 1},
				{name: "keys", kind: kindArray, since: 4, of: kindString},
			},
		},
		{
			key: 18, name: "ApiVersions", min: 0, max: 4, flexible: 3,
			in: []field{
				{name: "client software name", kind: kindString, since: 3},
				{name: "client software version", kind: kindString, since: 3},
			},
		},
		{
			key: 19, name: "CreateTopics", min: 2, max: 7, flexible: 5,
			in: []field{
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "partitions", kind: kindInt32},
					{name: "replication factor", kind: kindInt16},
					{name: "assignments", kind: kindArray, in: []field{
						{name: "partition", kind: kindInt32},
						{name: "brokers", kind: kindArray, of: kindInt32},
					}},
					{name: "configs", kind: kindArray, in: []field{
						{name: "name", kind: kindString},
						{name: "value", kind: kindString, null: fromZero},
					}},
				}},
				{name: "timeout", kind: kindInt32},
				{name: "validate only", kind: kindInt8},
			},
		},
		{
			key: 20, name: "DeleteTopics", min: 1, max: 6, flexible: 4,
			in: []field{
				{name: "names", kind: kindArray, until: 5, of: kindString},
				{name: "topics", kind: kindArray, since: 6, in: []field{
					{name: "name", kind: kindString, null: 6},
					{name: "id", kind: kindUUID},
				}},
				{name: "timeout", kind: kindInt32},
			},
		},
		{
			key: 22, name: "InitProducerId", min: 0, max: 5, flexible: 2,
			in: []field{
				{name: "transactional id", kind: kindString, null: fromZero},
				{name: "transaction timeout", kind: kindInt32},
				{name: "producer id", kind: kindInt64, since: 3},
				{name: "producer epoch", kind: kindInt16, since: 3},
			},
		},
		{
			key: 23, name: "OffsetForLeaderEpoch", min: 2, max: 4, flexible: 4,
			in: []field{
				{name: "replica id", kind: kindInt32, since: 3},
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
						{name: "current leader epoch", kind: kindInt32},
						{name: "leader epoch", kind: kindInt32},
					}},
				}},
			},
		},
		{
			key: 32, name: "DescribeConfigs", min: 1, max: 4, flexible: 4,
			in: []field{
				{name: "resources", kind: kindArray, in: []field{
					{name: "type", kind: kindInt8},
					{name: "name", kind: kindString},
					{name: "config names", kind: kindArray, null: fromZero, of: kindString},
				}},
				{name: "include synonyms", kind: kindInt8},
				{name: "include documentation", kind: kindInt8, since: 3},
			},
		},
		{
			key: 60, name: "DescribeCluster", min: 0, max: 2, flexible: 0,
			in: []field{
				{name: "include authorized operations", kind: kindInt8},
				{name: "endpoint type", kind: kindInt8, since: 1},
				{name: "include fenced brokers", kind: kindInt8, since: 2},
			},
		},
	}
}
