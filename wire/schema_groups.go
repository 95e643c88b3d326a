package wire

// groupSchemas are the requests of consumer groups and their offsets.
func groupSchemas() []schema {
	return []schema{
		{
			key: 8, name: "OffsetCommit", min: 2, max: 10, flexible: 8,
			in: []field{
				{name: "group", kind: kindString},
				{name: "generation or member epoch", kind: kindInt32},
				{name: "member id", kind: kindString},
				{name: "instance id", kind: kindString, since: 7, null: fromZero},
				{name: "retention time", kind: kindInt64, until: 4},
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString, until: 9},
					{name: "id", kind: kindUUID, since: 10},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
						{name: "offset", kind: kindInt64},
						{name: "leader epoch", kind: kindInt32, since: 6},
						{name: "metadata", kind: kindString, null: fromZero},
					}},
				}},
			},
		},
		{
			key: 9, name: "OffsetFetch", min: 1, max: 10, flexible: 6,
			in: []field{
				{name: "group", kind: kindString, until: 7},
				{name: "topics", kind: kindArray, until: 7, null: 2, in: []field{
					{name: "name", kind: kindString},
					{name: "partitions", kind: kindArray, of: kindInt32},
				}},
				{name: "groups", kind: kindArray, since: 8, in: []field{
					{name: "group", kind: kindString},
					{name: "member id", kind: kindString, since: 9, null: fromZero},
					{name: "member epoch", kind: kindInt32, since: 9},
					{name: "topics", kind: kindArray, null: fromZero, in: []field{
						{name: "name", kind: kindString, until: 9},
						{name: "id", kind: kindUUID, since: 10},
						{name: "partitions", kind: kindArray, of: kindInt32},
					}},
				}},
				{name: "require stable", kind: kindInt8, since: 7},
			},
		},
		{
			key: 11, name: "JoinGroup", min: 0, max: 9, flexible: 6,
			in: []field{
				{name: "group", kind: kindString},
				{name: "session timeout", kind: kindInt32},
				{name: "rebalance timeout", kind: kindInt32, since: 1},
				{name: "member id", kind: kindString},
				{name: "instance id", kind: kindString, since: 5, null: fromZero},
				{name: "protocol type", kind: kindString},
				{name: "protocols", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "metadata", kind: kindBytes},
				}},
				{name: "reason", kind: kindString, since: 8, null: fromZero},
			},
		},
		{
			key: 12, name: "Heartbeat", min: 0, max: 4, flexible: 4,
			in: []field{
				{name: "group", kind: kindString},
				{name: "generation", kind: kindInt32},
				{name: "member id", kind: kindString},
				{name: "instance id", kind: kindString, since: 3, null: fromZero},
			},
		},
		{
			key: 13, name: "LeaveGroup", min: 0, max: 5, flexible: 4,
			in: []field{
				{name: "group", kind: kindString},
				{name: "member id", kind: kindString, until: 2},
				{name: "members", kind: kindArray, since: 3, in: []field{
					{name: "member id", kind: kindString},
					{name: "instance id", kind: kindString, null: fromZero},
					{name: "reason", kind: kindString, since: 5, null: fromZero},
				}},
			},
		},
		{
			key: 14, name: "SyncGroup", min: 0, max: 5, flexible: 4,
			in: []field{
				{name: "group", kind: kindString},
				{name: "generation", kind: kindInt32},
				{name: "member id", kind: kindString},
				{name: "instance id", kind: kindString, since: 3, null: fromZero},
				{name: "protocol type", kind: kindString, since: 5, null: fromZero},
				{name: "protocol name", kind: kindString, since: 5, null: fromZero},
				{name: "assignments", kind: kindArray, in: []field{
					{name: "member id", kind: kindString},
					{name: "assignment", kind: kindBytes},
				}},
			},
		},
		{
			key: 15, name: "DescribeGroups", min: 0, max: 6, flexible: 5,
			in: []field{
				{name: "groups", kind: kindArray, of: kindString},
				{name: "include authorized operations", kind: kindInt8, since: 3},
			},
		},
		{
			key: 16, name: "ListGroups", min: 0, max: 5, flexible: 3,
			in: []field{
				{name: "states", kind: kindArray, since: 4, of: kindString},
				{name: "types", kind: kindArray, since: 5, of: kindString},
			},
		},
		{
			key: 42, name: "DeleteGroups", min: 0, max: 2, flexible: 2,
			in: []field{
				{name: "groups", kind: kindArray, of: kindString},
			},
		},
		{
			key: 47, name: "OffsetDelete", min: 0, max: 0, flexible: 1,
			in: []field{
				{name: "group", kind: kindString},
				{name: "topics", kind: kindArray, in: []field{
					{name: "name", kind: kindString},
					{name: "partitions", kind: kindArray, in: []field{
						{name: "index", kind: kindInt32},
					}},
				}},
			},
		},
		{
			key: 68, name: "ConsumerGroupHeartbeat", min: 0, max: 1, flexible: 0,
			in: []field{
				{name: "group", kind: kindString},
				{name: "member id", kind: kindString},
				{name: "member epoch", kind: kindInt32},
				{name: "instance id", kind: kindString, null: fromZero},
				{name: "rack id", kind: kindString, null: fromZero},
				{name: "rebalance timeout", kind: kindInt32},
				{name: "topic names", kind: kindArray, null: fromZero, of: kindString},
				{name: "topic regex", kind: kindString, since: 1, null: fromZero},
				{name: "assignor", kind: kindString, null: fromZero},
				{name: "owned", kind: kindArray, null: fromZero, in: []field{
					{name: "topic id", kind: kindUUID},
					{name: "partitions", kind: kindArray, of: kindInt32},
				}},
			},
		},
		{
			key: 69, name: "ConsumerGroupDescribe", min: 0, max: 1, flexible: 0,
			in: []field{
				{name: "groups", kind: kindArray, of: kindString},
				{name: "include authorized operations", kind: kindInt8},
			},
		},
	}
}
