package agent

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire/batch"
)

// frame encodes a request with its length and header, as it goes over the socket.
func frame(correlation int32, req kmsg.Request) []byte {
	b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, correlation)
	return b
}

// produceFrame encodes one batch of records for each of the partitions 0 … n−1.
func (s *started) produceFrame(topic string, n, records, valueBytes int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 13, -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	metastore.View(s.process.follower.Replica(metastore.CatalogJournal), func(c *catalog.State) { t.TopicID = c.Topic(topic).ID })
	rs := make([]batch.Record, records)
	for i := range rs {
		rs[i] = batch.Record{Offset: int64(i), Timestamp: time.Now().UnixMilli(), Value: bytes.Repeat([]byte{'x'}, valueBytes)}
	}
	body := batch.Append(nil, batch.Header{LeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, rs)
	for p := range n {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = int32(p), body
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = append(req.Topics, t)
	return frame(7, req)
}

// call sends a frame and reads the answer into buf, which must hold it.
func call(conn net.Conn, frame, buf []byte) ([]byte, error) {
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, buf[:4]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(buf)
	_, err := io.ReadFull(conn, buf[:n])
	return buf[:n], err
}

// TestMain has every allocation recorded with its stack.
func TestMain(m *testing.M) {
	runtime.MemProfileRate = 1
	os.Exit(postgresServer.Main(m))
}

// allocations counts the objects allocated so far by stacks that pass through one of the functions.
func allocations(functions []string) (n int64) {
	// A profile is complete up to the last but one collection.
	runtime.GC()
	runtime.GC()
	// All tests of the package have left stacks, so their number is asked for first.
	var records []runtime.MemProfileRecord
	found, ok := runtime.MemProfile(nil, true)
	for !ok {
		records = make([]runtime.MemProfileRecord, found+found/4+64)
		found, ok = runtime.MemProfile(records, true)
	}
	for i := range records[:found] {
		frames := runtime.CallersFrames(records[i].Stack())
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if slices.ContainsFunc(functions, func(name string) bool { return strings.Contains(f.Function, name) }) {
				n += records[i].AllocObjects
				break
			}
		}
	}
	return n
}
