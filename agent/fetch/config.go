package fetch

import (
	"errors"
	"time"
)

// Config bounds a Fetcher.
type Config struct {
	ResponseBytesMax     int           // records of one response, bytes (fetch.max.bytes); its first batch alone may pass it
	BatchBytesMax        int           // a longer batch is taken for corrupt, so a response never passes the larger of the two
	WaitMax              time.Duration // longest wait for MinBytes, whatever the reader asks for
	PartitionsMax        int           // partitions of all fetches under way; further fetches wait
	SessionsMax          int           // fetch sessions (max.incremental.fetch.session.cache.slots)
	SessionPartitionsMax int           // partitions remembered by all sessions
	SessionEvictAfter    time.Duration // a session unused for so long gives way to any new one
	StalenessMax         time.Duration // a replica not confirmed fresh for so long answers nothing (staleness.max)
	RefreshWaitMax       time.Duration // longest wait for a replica's refresh
	LoadsMax             int           // extents that one request loads at the same time
	ReadAheadBytesMax    int           // bytes loaded ahead for one partition of a reader that catches up
	WindowBytesMax       int64         // the same for one that goes through what is merged; at most its share of the cache
	TogetherBytesMin     int64         // a partition's extents of more bytes are loaded together
	DecompressedBytesMax int           // one batch's records, when an offset is looked up by timestamp
}

// DefaultConfig returns Apache Kafka's bounds where it has them.
func DefaultConfig() Config {
	return Config{
		ResponseBytesMax:     55 << 20,
		BatchBytesMax:        100 << 20,
		WaitMax:              5 * time.Minute,
		PartitionsMax:        2 << 20,
		SessionsMax:          1000,
		SessionPartitionsMax: 1 << 18,
		SessionEvictAfter:    2 * time.Minute,
		StalenessMax:         30 * time.Second,
		RefreshWaitMax:       5 * time.Second,
		LoadsMax:             8,
		ReadAheadBytesMax:    16 << 20,
		WindowBytesMax:       64 << 20,
		TogetherBytesMin:     8 << 20,
		DecompressedBytesMax: 128 << 20,
	}
}

// Validate says what is wrong with the bounds.
func (c Config) Validate() error {
	switch {
	case c.ResponseBytesMax < 1, c.BatchBytesMax < 1:
		return errors.New("a response and a batch need at least a byte")
	case c.PartitionsMax < 1, c.LoadsMax < 1:
		return errors.New("a fetch needs at least a partition and a load")
	case c.SessionsMax < 0, c.SessionPartitionsMax < 0, c.ReadAheadBytesMax < 0, c.WindowBytesMax < 0, c.TogetherBytesMin < 0:
		return errors.New("a bound below zero")
	case c.StalenessMax <= 0, c.RefreshWaitMax <= 0, c.WaitMax < 0:
		return errors.New("a time must be positive")
	case c.DecompressedBytesMax < 1:
		return errors.New("looking up timestamps needs room for records")
	}
	return nil
}
