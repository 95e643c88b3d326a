package agent

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
)

// sink is a bucket that keeps no segments: what is read of them is in the cache.
type sink struct{ bucket.Bucket }

func (s sink) Put(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, "segments/") {
		return nil
	}
	return s.Bucket.Put(ctx, key, body)
}

// TestAgent_CopiesOfAByte: on its way from the socket into a segment, and from the cache to the
// socket, a record's bytes are put into no memory that is made for them. A copy into a
// fresh buffer anywhere would show as at least the bytes that pass.
func TestAgent_CopiesOfAByte(t *testing.T) {
	mem, closer, err := bucket.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	s := start(t, func(c *Config) {
		c.CacheBytes = 24 << 20
		c.Given.Bucket = sink{mem}
	})
	const partitions, records, valueBytes, warm, requests = 16, 64, 1 << 10, 48, 64
	s.create("t", partitions)
	conn, err := s.pipes.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	produce, buf := s.produceFrame("t", partitions, records, valueBytes), make([]byte, 2<<20)
	allocated := func(frame []byte, times int) (bytes uint64, answer []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			if answer, err = call(conn, frame, buf); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc, answer
	}
	const passed = requests * partitions * records * valueBytes
	check := func(what string, bytes uint64) {
		t.Logf("%s: %.1f %% of the bytes that passed", what, 100*float64(bytes)/passed)
		if bytes > passed/10 {
			t.Errorf("%s: %d bytes were allocated for %d that passed", what, bytes, passed)
		}
	}
	allocated(produce, warm) // The cache is full, and all buffers are used again from here on.
	bytes, _ := allocated(produce, requests)
	check("produce", bytes)
	const last = warm + requests - 1
	fetch := s.fetchFrame("t", partitions, last*records)
	_, answer := allocated(fetch, 2)
	if len(answer) < partitions*records*valueBytes {
		t.Fatalf("%d bytes are read, of %d", len(answer), partitions*records*valueBytes)
	}
	bytes, _ = allocated(fetch, requests)
	check("fetch", bytes)
	if gets := s.cost().gets; gets > 2 { // at the start
		t.Errorf("%d GETs", gets)
	}
}

// fetchFrame asks for the partitions 0 … n−1 from an offset on.
func (s *started) fetchFrame(topic string, n int, offset int64) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.SessionEpoch, req.MinBytes = 13, 8<<20, -1, 1
	t := kmsg.NewFetchRequestTopic()
	metastore.View(s.process.follower.Replica(metastore.CatalogJournal), func(c *catalog.State) { t.TopicID = c.Topic(topic).ID })
	for p := range n {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = int32(p), offset, 1<<20
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = append(req.Topics, t)
	return frame(8, req)
}
