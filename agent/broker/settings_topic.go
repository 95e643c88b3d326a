package broker

// topicSettings are the topic configs of Apache Kafka 4.2, without its internal one, and ours.
var topicSettings = []Setting{
	{"cleanup.policy", list, "delete", oneOf("compact", "delete"), acted, "delete: records older or beyond retention go. compact: the last record of each key stays; records without a key are refused. Both, or neither: records stay for ever."},
	{"compression.gzip.level", integer, "-1", either(between(1, 9), between(-1, -1)), acted, "The level at which the agent compresses with gzip; -1 is gzip's own default. Only where compression.type is gzip."},
	{"compression.lz4.level", integer, "9", between(1, 17), acted, "The level at which the agent compresses with lz4: 9 is the fast way, the others are levels of the slow one (those above 9 as 9). Only where compression.type is lz4."},
	{"compression.type", text, "producer", oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), acted, "producer: a batch is stored as its producer compressed it. A codec, or uncompressed: a batch that came in another one is compressed anew by the agent, which costs it the CPU and makes the batch wait."},
	{"compression.zstd.level", integer, "3", between(-131072, 22), acted, "The level at which the agent compresses with zstd, taken to the nearest of the four that it has. Only where compression.type is zstd."},
	{"delete.retention.ms", long, "86400000", atLeast(0), acted, "Of compacted topics: how long a tombstone, or the marker of a transaction without records, stays after the cleaning that met it first."},
	{"file.delete.delay.ms", long, "60000", atLeast(0), noFiles, ""},
	{"flush.messages", long, "9223372036854775807", atLeast(1), noFiles, ""},
	{"flush.ms", long, "9223372036854775807", atLeast(0), noFiles, ""},
	{"follower.replication.throttled.replicas", list, "", throttledReplicas, noReplicas, ""},
	{"index.interval.bytes", integer, "4096", atLeast(0), noFiles, ""},
	{"leader.replication.throttled.replicas", list, "", throttledReplicas, noReplicas, ""},
	{"local.retention.bytes", long, "-2", atLeast(-2), noTiers, ""},
	{"local.retention.ms", long, "-2", atLeast(-2), noTiers, ""},
	{"max.compaction.lag.ms", long, "9223372036854775807", atLeast(1), acted, "Of compacted topics: a record that is older is cleaned whatever the dirty ratio, as soon as it is merged and its turn has come."},
	{"max.message.bytes", integer, "1048588", atLeast(0), acted, "The largest record batch that is taken, as it was sent (after compression)."},
	{"message.timestamp.after.max.ms", long, "3600000", atLeast(0), acted, "How far a record's timestamp may lie after the agent's clock; a batch with a later one is refused. Only where message.timestamp.type is CreateTime."},
	{"message.timestamp.before.max.ms", long, "9223372036854775807", atLeast(0), acted, "How far a record's timestamp may lie before the agent's clock; a batch with an older one is refused. Only where message.timestamp.type is CreateTime."},
	{"message.timestamp.type", text, "CreateTime", oneOf("CreateTime", "LogAppendTime"), acted, "CreateTime: a record keeps the time that its producer gave it. LogAppendTime: it gets the time of its append."},
	{"min.cleanable.dirty.ratio", double, "0.5", between(0, 1), acted, "Of compacted topics: a partition is cleaned once more than this share of its merged bytes was written since it was cleaned."},
	{"min.compaction.lag.ms", long, "0", atLeast(0), acted, "Of compacted topics: records that are younger are not cleaned, nor what lies after them. As coarse as merged extents. What is not merged yet (up to ten minutes) is never cleaned."},
	{"min.insync.replicas", integer, "1", atLeast(1), noReplicas, ""},
	{"preallocate", boolean, "false", nil, noFiles, ""},
	{"remote.log.copy.disable", boolean, "false", nil, noTiers, ""},
	{"remote.log.delete.on.disable", boolean, "false", nil, noTiers, ""},
	{"remote.storage.enable", boolean, "false", nil, noTiers, ""},
	{"retention.bytes", long, "-1", nil, acted, "The bytes that each partition keeps, where cleanup.policy names delete; -1: any number. The log begins after what is too much, as coarsely as batches were merged (about 1 MiB)."},
	{"retention.ms", long, "604800000", atLeast(-1), acted, "How long records stay, where cleanup.policy names delete; -1: for ever. By the largest timestamp of what goes together: a flush's batches of a partition, or about 1 MiB of merged ones, segment.ms at most."},
	{"segment.bytes", integer, "1073741824", atLeast(1048576), noRoll, ""},
	{"segment.index.bytes", integer, "10485760", atLeast(4), noFiles, ""},
	{"segment.jitter.ms", long, "0", atLeast(0), noFiles, ""},
	{"segment.ms", long, "604800000", atLeast(1), acted, "Merged records go together by about 1 MiB, but those whose timestamps are this far apart: a small topic keeps no record much longer than retention.ms and this. The first 256 times in an extent."},
	{"unclean.leader.election.enable", boolean, "false", nil, noReplicas, ""},
	{"wadi.archive", text, "none", oneOf("none", "parquet"), acted, "parquet: agents with the role compaction write the topic's records as Parquet objects under archive/ in the bucket, from the log's start on; none: what was written stays, and no more comes. Retention waits for the archive."},
	{"wadi.archive.interval.ms", long, "600000", atLeast(1000), acted, "How long records wait for the archive at most; they go earlier when an hour ends or 64 MiB of a partition wait. Shorter makes more and smaller objects."},
	{"wadi.archive.retention.ms", long, "-1", atLeast(-1), acted, "How long the archive's objects stay, by the largest timestamp of their records; -1: for ever."},
	{"wadi.archive.schema", text, "", columnsOfValues, acted, "Columns that the archive has of the fields of values, which are objects of JSON: declared, as id int64, price double from \"unit-price\", or a sample, as {\"id\": 1}. Records that can't be typed so go to the archive's <topic>__dlq with the reason. A column keeps its type. Empty: none."},
	{"wadi.archive.value", text, "binary", oneOf("binary", "string", "json"), acted, "How the archive types the column kafka_value. A value that isn't so is null there and stands in kafka_value_invalid."},
}

// synonym is a broker config that stands in for a topic config that is not set.
type synonym struct {
	name   string
	factor int64 // its value times this is the topic config's, where it is a number
}

// topicSynonyms are the broker configs behind each topic config, first one first. A
// topic config without any has its own default.
var topicSynonyms = map[string][]synonym{
	"cleanup.policy":                  {{"log.cleanup.policy", 1}},
	"compression.gzip.level":          {{"compression.gzip.level", 1}},
	"compression.lz4.level":           {{"compression.lz4.level", 1}},
	"compression.type":                {{"compression.type", 1}},
	"compression.zstd.level":          {{"compression.zstd.level", 1}},
	"delete.retention.ms":             {{"log.cleaner.delete.retention.ms", 1}},
	"file.delete.delay.ms":            {{"log.segment.delete.delay.ms", 1}},
	"flush.messages":                  {{"log.flush.interval.messages", 1}},
	"flush.ms":                        {{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}},
	"index.interval.bytes":            {{"log.index.interval.bytes", 1}},
	"local.retention.bytes":           {{"log.local.retention.bytes", 1}},
	"local.retention.ms":              {{"log.local.retention.ms", 1}},
	"max.compaction.lag.ms":           {{"log.cleaner.max.compaction.lag.ms", 1}},
	"max.message.bytes":               {{"message.max.bytes", 1}},
	"message.timestamp.after.max.ms":  {{"log.message.timestamp.after.max.ms", 1}},
	"message.timestamp.before.max.ms": {{"log.message.timestamp.before.max.ms", 1}},
	"message.timestamp.type":          {{"log.message.timestamp.type", 1}},
	"min.cleanable.dirty.ratio":       {{"log.cleaner.min.cleanable.ratio", 1}},
	"min.compaction.lag.ms":           {{"log.cleaner.min.compaction.lag.ms", 1}},
	"min.insync.replicas":             {{"min.insync.replicas", 1}},
	"preallocate":                     {{"log.preallocate", 1}},
	"retention.bytes":                 {{"log.retention.bytes", 1}},
	"retention.ms":                    {{"log.retention.ms", 1}, {"log.retention.minutes", 60_000}, {"log.retention.hours", 3_600_000}},
	"segment.bytes":                   {{"log.segment.bytes", 1}},
	"segment.index.bytes":             {{"log.index.size.max.bytes", 1}},
	"segment.jitter.ms":               {{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", 3_600_000}},
	"segment.ms":                      {{"log.roll.ms", 1}, {"log.roll.hours", 3_600_000}},
	"unclean.leader.election.enable":  {{"unclean.leader.election.enable", 1}},
}
