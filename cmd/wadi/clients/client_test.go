package clients

import (
	"bytes"
	"slices"
	"testing"
)

// record is a record as every client sends and reads it.
type record struct {
	partition  int32 // set by reading
	offset     int64 // set by reading
	at         int64 // milliseconds
	key, value []byte
	headers    []header
	codec      string // set by reading, where the client tells
}

type header struct {
	key   string
	value []byte
}

// anyTime as a time to read from is the beginning.
const anyTime = -1

// client is what the tests ask of each Kafka client. Its methods fail the test.
type client interface {
	// produce sends records in order, by their keys, and returns once all are
	// acknowledged by all replicas. It is idempotent where the client can be.
	produce(t *testing.T, address, topic, codec string, records []record)
	// read returns all records since a time, in milliseconds or anyTime, each
	// partition's in the order in which they came.
	read(t *testing.T, address, topic string, since int64) []record

	create(t *testing.T, address, topic string, partitions int, configs map[string]string)
	list(t *testing.T, address string) []string
	partitions(t *testing.T, address, topic string) int
	remove(t *testing.T, address, topic string)
}

// named is a client with its name.
type named struct {
	name string
	client
}

// mainClients are the two that the rest of the world's libraries are like, or wrap.
func mainClients() []named {
	return []named{{"franz-go", franz{}}, {"librdkafka", librdkafka{}}}
}

func allClients() []named {
	return append(mainClients(), named{"sarama", saramaClient{}}, named{"kafka-go", segmentio{}})
}

func codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

// checkOffsets checks that each partition's records came in order, and, where
// they were read from the beginning, without a gap from offset 0.
func checkOffsets(t *testing.T, records []record, fromBeginning bool) {
	t.Helper()
	next := map[int32]int64{}
	for _, r := range records {
		want, seen := next[r.partition]
		if (seen || fromBeginning) && r.offset != want {
			t.Fatalf("partition %d: offset %d, want %d", r.partition, r.offset, want)
		}
		next[r.partition] = r.offset + 1
	}
}

// same compares what was read with what was sent.
func same(t *testing.T, got, want record) {
	t.Helper()
	null := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return "a value"
	}
	for _, row := range []struct {
		what      string
		got, want []byte
	}{{"key", got.key, want.key}, {"value", got.value, want.value}} {
		if !bytes.Equal(row.got, row.want) || null(row.got) != null(row.want) {
			t.Errorf("offset %d: the %s is %s %.40q (%d bytes), want %s %.40q (%d bytes)", got.offset, row.what,
				null(row.got), row.got, len(row.got), null(row.want), row.want, len(row.want))
		}
	}
	if got.at != want.at {
		t.Errorf("offset %d: time %d, want %d", got.offset, got.at, want.at)
	}
	if !slices.EqualFunc(got.headers, want.headers, func(a, b header) bool {
		return a.key == b.key && bytes.Equal(a.value, b.value) && null(a.value) == null(b.value)
	}) {
		t.Errorf("offset %d: headers %q, want %q", got.offset, got.headers, want.headers)
	}
}
