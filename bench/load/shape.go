package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/wadi-io/wadi/wire/batch"
)

// Shape is what requests look like.
type Shape struct {
	Topic        string
	Partitions   int // of the topic; requests go around them
	PerRequest   int // batches in a request, each of another partition
	BatchRecords int
	RecordBytes  int
	Codec        batch.Codec
	Idempotent   bool // producer ids, epochs and sequences, as each connection's producer
	Stamped      bool // each batch's first record begins with the time it was due, for end to end latency
}

// RequestRecords is how many records a request carries.
func (s Shape) RequestRecords() int { return s.PerRequest * s.BatchRecords }

// RequestBytes is how many bytes of records, as their producer counts them, a request carries.
func (s Shape) RequestBytes() int { return s.RequestRecords() * s.RecordBytes }

// private tells whether a request's bytes change each time it is sent.
func (s Shape) private() bool { return s.Idempotent || s.Stamped }

// values are the records' values: words, which compress about as logs do.
func (s Shape) values(random *rand.Rand, n int) [][]byte {
	words := strings.Fields(`level info warn error request response user session order invoice status code path
		duration bytes agent region zone id true false null get put post delete 200 404 500 retry timeout queue`)
	values := make([][]byte, n)
	for i := range values {
		value := make([]byte, 0, s.RecordBytes+16)
		for len(value) < s.RecordBytes {
			value = append(value, words[random.IntN(len(words))]...)
			value = append(value, ' ')
			if random.IntN(3) == 0 {
				value = fmt.Appendf(value, "%x ", random.Uint32())
			}
		}
		values[i] = value[:s.RecordBytes]
	}
	return values
}

// batch makes one record batch.
func (s Shape) batch(random *rand.Rand, ms int64) ([]byte, error) {
	records := make([]batch.Record, s.BatchRecords)
	for i, value := range s.values(random, s.BatchRecords) {
		records[i] = batch.Record{Offset: int64(i), Timestamp: ms, Value: value}
	}
	b := batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1}, records)
	if s.Codec == batch.None {
		return b, nil
	}
	return batch.Recompress(b, s.Codec, 0, len(b)*2)
}

// place is where a batch lies in a frame's body.
type place struct {
	partition int
	at, size  int
}

// body is what follows a Produce request's header, version 12 (9 and later are laid out so).
type body struct {
	bytes  []byte
	places []place
}

const (
	produceKey, produceVersion = 0, 12
	fetchKey, fetchVersion     = 1, 12
	acksAll                    = -1
	produceTimeoutMs           = 60_000
)

// bodies makes the bodies that together go around all partitions, from the first that is told on.
func (s Shape) bodies(seed uint64, first int, ms int64) ([]body, error) {
	random := rand.New(rand.NewPCG(seed, uint64(first)))
	n := max(1, s.Partitions/s.PerRequest)
	all := make([]body, n)
	for i := range all {
		b := &all[i]
		b.bytes = append(b.bytes, 0) // no transactional id
		b.bytes = binary.BigEndian.AppendUint16(b.bytes, uint16(0xffff&acksAll))
		b.bytes = binary.BigEndian.AppendUint32(b.bytes, produceTimeoutMs)
		b.bytes = append(b.bytes, 2) // one topic
		b.bytes = appendCompact(b.bytes, s.Topic)
		b.bytes = binary.AppendUvarint(b.bytes, uint64(s.PerRequest)+1)
		for k := range s.PerRequest {
			partition := (first + i*s.PerRequest + k) % s.Partitions
			records, err := s.batch(random, ms)
			if err != nil {
				return nil, err
			}
			b.bytes = binary.BigEndian.AppendUint32(b.bytes, uint32(partition))
			b.bytes = binary.AppendUvarint(b.bytes, uint64(len(records))+1)
			b.places = append(b.places, place{partition, len(b.bytes), len(records)})
			b.bytes = append(b.bytes, records...)
			b.bytes = append(b.bytes, 0) // no tags
		}
		b.bytes = append(b.bytes, 0, 0) // no tags of the topic and the request
	}
	return all, nil
}

func appendCompact(to []byte, s string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))+1), s...)
}

// clientID is what requests say they come from.
const clientID = "bench"

// correlationAt is where a frame's correlation id is.
const correlationAt = 8

// head is a request's frame up to its body.
func head(key, version int16, bodyBytes int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(2+2+4+2+len(clientID)+1+bodyBytes))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	b = append(b, clientID...)
	return append(b, 0) // no tags
}
