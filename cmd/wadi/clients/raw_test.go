package clients

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawConn is a connection on which a test decides itself what is sent when.
type rawConn struct {
	t    *testing.T
	conn net.Conn
	next int32 // correlation id
	sent []kmsg.Request
	out  []byte
}

func dial(t *testing.T, address string) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &rawConn{t: t, conn: conn, next: 1000}
}

// add puts a request behind those that send will write.
func (c *rawConn) add(request kmsg.Request, version int16) {
	request.SetVersion(version)
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, request, c.next+int32(len(c.sent)))
	c.out = append(c.out, frame...)
	c.sent = append(c.sent, request)
}

// send writes all that was added, in one go.
func (c *rawConn) send() {
	c.t.Helper()
	if _, err := c.conn.Write(c.out); err != nil {
		c.t.Fatal(err)
	}
	c.out = c.out[:0]
}

// answer reads the next answer, which must be that to the oldest request.
func (c *rawConn) answer() kmsg.Response {
	c.t.Helper()
	size := make([]byte, 4)
	if _, err := io.ReadFull(c.conn, size); err != nil {
		c.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		c.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(body)); got != c.next {
		c.t.Fatalf("an answer to request %d came when %d was the oldest", got, c.next)
	}
	request, answer := c.sent[0], c.sent[0].ResponseKind()
	answer.SetVersion(request.GetVersion())
	body = body[4:]
	if answer.IsFlexible() {
		body = body[1:] // the header's tags: none
	}
	if err := answer.ReadFrom(body); err != nil {
		c.t.Fatal(err)
	}
	c.sent = c.sent[1:]
	c.next++
	return answer
}

// rawBatch is a record batch of values, without compression or producer id.
func rawBatch(values ...string) []byte {
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(values) - 1), ProducerID: -1, ProducerEpoch: -1,
		FirstSequence: -1, FirstTimestamp: 1, MaxTimestamp: 1, NumRecords: int32(len(values)),
	}
	for i, value := range values {
		r := kmsg.Record{OffsetDelta: int32(i), Value: []byte(value)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // its own length, 0, took one byte
		batch.Records = r.AppendTo(batch.Records)
	}
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// Versions of requests that name topics by name and have flexible headers.
const (
	produceVersion      = 9
	fetchVersion        = 12
	listOffsetsVersion  = 6
	metadataVersion     = 9
	createTopicsVersion = 5
	deleteTopicsVersion = 4
)

func produceRequest(topic string, partition int32, acks int16, batch []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Acks, r.TimeoutMillis = acks, int32(patience.Milliseconds())
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: batch}}}}
	return r
}

// produced is the answer to a produce request of one partition.
func produced(answer kmsg.Response) kmsg.ProduceResponseTopicPartition {
	return answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

func fetchRequest(topic string, offset int64, partitions ...int32) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = 1000, 1, 10<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	for _, i := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = i, offset, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	r.Topics = []kmsg.FetchRequestTopic{t}
	return r
}

func listEndRequest(topic string) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = -1
	r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return r
}

func metadataRequest(topic string) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	return r
}

func createRequest(topic string, partitions int32) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.TimeoutMillis = int32(patience.Milliseconds())
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	r.Topics = []kmsg.CreateTopicsRequestTopic{t}
	return r
}

func deleteRequest(topic string) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.TimeoutMillis, r.TopicNames = int32(patience.Milliseconds()), []string{topic}
	return r
}
