package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// noSuchProducer is a producer id that no broker has given.
const noSuchProducer = int64(1) << 40

// record is one to produce.
type record struct {
	key, value []byte
	delta      int64 // ms after the batch's first timestamp
}

// batchOf is a batch to produce, right unless told otherwise.
type batchOf struct {
	records    []record
	first      int64 // timestamp
	codec      int16
	attributes int16 // beside the codec
	producer   int64 // 0: none
	epoch      int16
	sequence   int32
	count      int32             // 0: what there are
	lastDelta  int32             // 0: what there are, less one
	spoil      func(b []byte)    // after the CRC
	before     func(body []byte) // before the CRC; sees the whole batch
}

// values are records that have only values.
func values(texts ...string) (records []record) {
	for _, text := range texts {
		records = append(records, record{value: []byte(text)})
	}
	return records
}

// bytes is the batch as it is sent.
func (b batchOf) bytes() []byte {
	var records []byte
	maxDelta := int64(0)
	for i, r := range b.records {
		body := []byte{0}
		body = binary.AppendVarint(body, r.delta)
		body = binary.AppendVarint(body, int64(i))
		for _, part := range [][]byte{r.key, r.value} {
			if part == nil {
				body = binary.AppendVarint(body, -1)
				continue
			}
			body = append(binary.AppendVarint(body, int64(len(part))), part...)
		}
		body = binary.AppendVarint(body, 0)
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
		maxDelta = max(maxDelta, r.delta)
	}
	records = compressed(b.codec, records)
	count, last := int32(len(b.records)), int32(len(b.records)-1)
	if b.count != 0 {
		count = b.count
	}
	if b.lastDelta != 0 {
		last = b.lastDelta
	}
	producer, epoch, sequence := b.producer, b.epoch, b.sequence
	if producer == 0 {
		producer, epoch, sequence = -1, -1, -1
	}
	out := binary.BigEndian.AppendUint64(nil, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(49+len(records)))
	out = binary.BigEndian.AppendUint32(out, 0)
	out = append(out, 2)
	out = binary.BigEndian.AppendUint32(out, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(b.codec|b.attributes))
	out = binary.BigEndian.AppendUint32(out, uint32(last))
	out = binary.BigEndian.AppendUint64(out, uint64(b.first))
	out = binary.BigEndian.AppendUint64(out, uint64(b.first+maxDelta))
	out = binary.BigEndian.AppendUint64(out, uint64(producer))
	out = binary.BigEndian.AppendUint16(out, uint16(epoch))
	out = binary.BigEndian.AppendUint32(out, uint32(sequence))
	out = binary.BigEndian.AppendUint32(out, uint32(count))
	out = append(out, records...)
	if b.before != nil {
		b.before(out)
	}
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	if b.spoil != nil {
		b.spoil(out)
	}
	return out
}

// compressed is records as a codec writes them; an unknown codec leaves them.
func compressed(codec int16, records []byte) []byte {
	codecs := map[int16]kgo.CompressionCodec{
		1: kgo.GzipCompression(), 2: kgo.SnappyCompression(), 3: kgo.Lz4Compression(), 4: kgo.ZstdCompression(),
	}
	if _, known := codecs[codec]; !known {
		return records
	}
	compressor, err := kgo.DefaultCompressor(codecs[codec])
	if err != nil {
		panic(err) // the codecs above are all valid
	}
	out, _ := compressor.Compress(new(bytes.Buffer), records)
	return bytes.Clone(out)
}

// producing is a request with one batch, or several that follow each other.
func producing(topic string, partition int32, acks int16, batches ...[]byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Acks, r.TimeoutMillis = acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, bytes.Join(batches, nil)
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// fill produces batches and keeps nothing of the answers.
func (s *session) fill(topic string, partition int32, batches ...batchOf) {
	for _, b := range batches {
		quiet[*kmsg.ProduceResponse](s, 9, producing(topic, partition, -1, b.bytes()))
	}
}
