package trace

// The names of attributes by OpenTelemetry's semantic conventions, version 1.43.
// https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
const (
	System        = "messaging.system"
	Operation     = "messaging.operation.name"
	OperationType = "messaging.operation.type"
	Destination   = "messaging.destination.name"         // the topic, where there is one only
	Partition     = "messaging.destination.partition.id" // where there is one only
	Offset        = "messaging.kafka.offset"             // the base offset, where there is one partition only
	Records       = "messaging.batch.message_count"
	Client        = "messaging.client.id"
	PeerAddress   = "network.peer.address"
	ErrorType     = "error.type" // Kafka's name of the code
)

// The names of attributes that the conventions have none for.
const (
	Version    = "wadi.request.version"
	Partitions = "wadi.partitions"    // count
	Bytes      = "wadi.bytes"         // of records; of the segment for an upload
	Batches    = "wadi.batches"       // count
	Segment    = "wadi.segment"       // its key in the bucket
	Reason     = "wadi.flush.reason"  // as in the metric wadi_flushes_total
	Requests   = "wadi.requests"      // that are served together, recorded or not: count
	Journals   = "wadi.journals"      // that an append touches: count
	Fences     = "wadi.fences"        // count
	Void       = "wadi.void_batches"  // that did not stand, and are decided again: count
	Extents    = "wadi.extents"       // that were planned: count
	Hits       = "wadi.cache.hits"    // blocks that were in memory: count
	Misses     = "wadi.cache.misses"  // blocks that had to be loaded, or were being loaded: count
	Position   = "wadi.position"      // of an extent in its segment, bytes
	Refreshed  = "wadi.refreshed"     // a replica was brought up to date first
	Waited     = "wadi.fetch.waited"  // the fetch waited for bytes
	Session    = "wadi.fetch.session" // its id; 0: none
)

const (
	system        = "kafka"
	OperationSend = "send"
	OperationRead = "receive"
)
