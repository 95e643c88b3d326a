package fetch

import "errors"

// What a fetch or a partition of it is refused with. The broker's table turns
// them into Kafka's codes.
var (
	// Of the session: the whole request is refused.
	ErrSessionNotFound = errors.New("no such fetch session")
	ErrSessionEpoch    = errors.New("not the fetch session's next epoch")
	ErrSessionTopicIDs = errors.New("the fetch session names topics the other way")

	// Of a partition.
	ErrUnknownTopicID     = errors.New("no topic has this id")
	ErrUnknownPartition   = errors.New("no such topic or partition")
	ErrOffsetOutOfRange   = errors.New("the offset is not in the log")
	ErrFencedLeaderEpoch  = errors.New("the leader epoch is older than the partition's")
	ErrUnknownLeaderEpoch = errors.New("the leader epoch is newer than the partition's")
	// ErrStale: this agent can't say now what the log holds; another one may.
	ErrStale = errors.New("the shard's replica could not be confirmed fresh")
	// ErrCorrupt: the bytes in the bucket don't match their checksum.
	ErrCorrupt = errors.New("corrupt batch")
	// ErrStorage: the bytes could not be read, or the shard's journal has stopped.
	ErrStorage = errors.New("storage error")
)
