package wire

// transactionSchemas are the requests of transactions.
func transactionSchemas() []schema {
	topicPartitions := []field{
		{name: "name", kind: kindString},
		{name: "partitions", kind: kindArray, of: kindInt32},
	}
	return []schema{
		{
			key: 24, name: "AddPartitionsToTxn", min: 0, max: 5, flexible: 3,
			in: []field{
				{name: "transactions", kind: kindArray, since: 4, in: []field{
					{name: "transactional id", kind: kindString},
					{name: "producer id", kind: kindInt64},
					{name: "producer epoch", kind: kindInt16},
					{name: "verify only", kind: kindInt8},
					{name: "topics", kind: kindArray, in: topicPartitions},
				}},
				{name: "transactional id", kind: kindString, until: 3},
				{name: "producer id", kind: kindInt64, until: 3},
				{name: "producer epoch", kind: kindInt16, until: 3},
				{name: "topics", kind: kindArray, until: 3, in: topicPartitions},
			},
		},
		{
			key: 25, name: "AddOffsetsToTxn", min: 0, max: 4, flexible: 3,
			in: []field{
				{name: "transactional id", kind: kindString},
				{name: "producer id", kind: kindInt64},
				{name: "producer epoch", kind: kindInt16},
				{name: "group", kind: kindString},
			},
		},
		{
			key: 26, name: "EndTxn", min: 0, max: 5, flexible: 3,
			in: []field{
				{name: "transactional id", kind: kindString},
				{name: "producer id", kind: kindInt64},
				{name: "producer epoch", kind: kindInt16},
				{name: "committed", kind: kindInt8},
			},
		},
		{
			key: 27, name: "WriteTxnMarkers", min: 1, max: 2, flexible: 1,
			in: []field{
				{name: "markers", kind: kindArray, in: []field{
					{name: "producer id", kind: kindInt64},
					{name: "producer epoch", kind: kindInt16},
					{name: "committed", kind: kindInt8},
					{name: "topics", kind: kindArray, in: topicPartitions},
					{name: "coordinator epoch", kind: kindInt32},
					{name: "transaction version", kind: kindInt8, since: 2},
				}},
			},
		},
		{
			key: 28, name: "TxnOffsetCommit", min: 0, max: 5, flexible: 3,
			in: []field{
				{name: "transactional id", kind: kindString},
				{name: "group", kind: kindString},
				{name: "producer id", kind: kindInt64},
				{name: "producer epoch", kind: kindInt16},
				{name: "generation or member epoch", kind: kindInt32, since: 3},
				{name: "member id", kind: kindString, since: 3},
				{name: "instance id", kind: kindString, since: 3, null: fromZero},
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
						{name: "offset", kind: kindInt64},
						{name: "leader epoch", kind: kindInt32, since: 2},
						{name: "metadata", kind: kindString, null: fromZero},
					}},
				}},
			},
		},
		{
			key: 65, name: "DescribeTransactions", min: 0, max: 0, flexible: 0,
			in: []field{{name: "transactional ids", kind: kindArray, of: kindString}},
		},
		{
			key: 66, name: "ListTransactions", min: 0, max: 2, flexible: 0,
			in: []field{
				{name: "state filters", kind: kindArray, of: kindString},
				{name: "producer id filters", kind: kindArray, of: kindInt64},
				{name: "duration filter", kind: kindInt64, since: 1},
				{name: "transactional id pattern", kind: kindString, since: 2, null: fromZero},
			},
		},
	}
}
