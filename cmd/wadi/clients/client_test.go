package clients

import (
	"crypto/sha256"
	"fmt"
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
	name        string
	emptyIsNull bool // reading, it doesn't tell empty from null
	client
}

// mainClients are the two that the rest of the world's libraries are like, or wrap.
func mainClients() []named {
	return []named{{"franz-go", false, franz{}}, {"librdkafka", false, librdkafka{}}}
}

func allClients() []named {
	return append(mainClients(), named{"sarama", false, saramaClient{}}, named{"kafka-go", true, segmentio{}})
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

// withoutEmpty is a record with null where it was empty.
func (r record) withoutEmpty() record {
	null := func(b []byte) []byte {
		if len(b) == 0 {
			return nil
		}
		return b
	}
	r.key, r.value, r.headers = null(r.key), null(r.value), slices.Clone(r.headers)
	for i, h := range r.headers {
		r.headers[i].value = null(h.value)
	}
	return r
}

// same compares what was read with what was sent; null and empty differ.
func same(t *testing.T, got, want record) {
	t.Helper()
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%.40q (%d bytes, %x)", b, len(b), sha256.Sum256(b))
	}
	all := func(r record) string {
		headers := ""
		for _, h := range r.headers {
			headers += fmt.Sprintf(" %q: %s", h.key, text(h.value))
		}
		return fmt.Sprintf("key %s, value %s, time %d, headers%s", text(r.key), text(r.value), r.at, headers)
	}
	if all(got) != all(want) {
		t.Errorf("offset %d: %s; want %s", got.offset, all(got), all(want))
	}
}
