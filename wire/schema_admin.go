package wire

// adminSchemas returns the shapes of the requests that administer topics and configs.
func adminSchemas() []schema {
	topicPartitions := []field{
		{name: "name", kind: kindString},
		{name: "partitions", kind: kindArray, of: kindInt32},
	}
	return []schema{
		{
			key: 21, name: "DeleteRecords", min: 0, max: 2, flexible: 2,
			in: []field{
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
						{name: "offset", kind: kindInt64},
					}},
				}},
				{name: "timeout", kind: kindInt32},
			},
		},
		{
			key: 33, name: "AlterConfigs", min: 0, max: 2, flexible: 2,
			in: []field{
				{name: "resources", kind: kindArray, in: []field{
					{name: "type", kind: kindInt8},
					{name: "name", kind: kindString},
					{name: "configs", kind: kindArray, in: []field{
						{name: "name", kind: kindString},
						{name: "value", kind: kindString, null: fromZero},
					}},
				}},
				{name: "validate only", kind: kindInt8},
			},
		},
		{
			key: 35, name: "DescribeLogDirs", min: 1, max: 4, flexible: 2,
			in: []field{
				{name: "topics", kind: kindArray, null: fromZero, in: topicPartitions},
			},
		},
		{
			key: 37, name: "CreatePartitions", min: 0, max: 3, flexible: 2,
			in: []field{
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "count", kind: kindInt32},
					{name: "assignments", kind: kindArray, null: fromZero, in: []field{
						{name: "brokers", kind: kindArray, of: kindInt32},
					}},
				}},
				{name: "timeout", kind: kindInt32},
				{name: "validate only", kind: kindInt8},
			},
		},
		{
			key: 43, name: "ElectLeaders", min: 0, max: 2, flexible: 2,
			in: []field{
				{name: "election type", kind: kindInt8, since: 1},
				{name: "topics", kind: kindArray, null: fromZero, in: topicPartitions},
				{name: "timeout", kind: kindInt32},
			},
		},
		{
			key: 44, name: "IncrementalAlterConfigs", min: 0, max: 1, flexible: 1,
			in: []field{
				{name: "resources", kind: kindArray, in: []field{
					{name: "type", kind: kindInt8},
					{name: "name", kind: kindString},
					{name: "configs", kind: kindArray, in: []field{
						{name: "name", kind: kindString},
						{name: "operation", kind: kindInt8},
						{name: "value", kind: kindString, null: fromZero},
					}},
				}},
				{name: "validate only", kind: kindInt8},
			},
		},
		{
			key: 61, name: "DescribeProducers", min: 0, max: 0, flexible: 0,
			in: []field{
				{name: "topics", kind: kindArray, in: topicPartitions},
			},
		},
		{
			key: 74, name: "ListConfigResources", min: 0, max: 1, flexible: 0,
			in: []field{
				{name: "resource types", kind: kindArray, since: 1, of: kindInt8},
			},
		},
		{
			key: 75, name: "DescribeTopicPartitions", min: 0, max: 0, flexible: 0,
			in: []field{
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
				}},
				{name: "response partition limit", kind: kindInt32},
				{name: "cursor", kind: kindOptional, in: []field{
					{name: "topic", kind: kindString},
					{name: "partition", kind: kindInt32},
				}},
			},
		},
	}
}
