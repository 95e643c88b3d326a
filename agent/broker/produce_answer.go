package broker

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The versions of the Produce response where its form changes.
const (
	produceVersionLogStart     = 5
	produceVersionRecordErrors = 8
	produceVersionFlexible     = 9
)

// The largest encodings of a produce answer's parts, without strings, bytes.
const (
	produceTopicBytes     = 16 + 5 + 5 + 1
	producePartitionBytes = 4 + 2 + 8 + 8 + 8 + 5 + 5 + 1
)

// appendProduce encodes the answer's body, versions 3 to 13. kmsg
// compares each partition with its defaults by reflection, which is most of the
// cost of answering many partitions.
//
// https://kafka.apache.org/protocol#The_Messages_Produce
func appendProduce(dst []byte, r *kmsg.ProduceResponse) []byte {
	size := 16
	for i := range r.Topics {
		size += produceTopicBytes + len(r.Topics[i].Topic) + producePartitionBytes*len(r.Topics[i].Partitions)
	}
	w := answerWriter{b: slices.Grow(dst, size), flexible: r.Version >= produceVersionFlexible}
	w.array(len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		if r.Version >= topicIDVersionMin {
			w.b = append(w.b, t.TopicID[:]...)
		} else {
			w.nullable(&t.Topic)
		}
		w.array(len(t.Partitions))
		for j := range t.Partitions {
			w.producePartition(r.Version, &t.Partitions[j])
		}
		w.tags()
	}
	w.int32(r.ThrottleMillis)
	w.tags()
	return w.b
}

func (w *answerWriter) producePartition(version int16, p *kmsg.ProduceResponseTopicPartition) {
	w.int32(p.Partition)
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(p.ErrorCode))
	w.int64(p.BaseOffset)
	w.int64(p.LogAppendTime)
	if version >= produceVersionLogStart {
		w.int64(p.LogStartOffset)
	}
	if version >= produceVersionRecordErrors {
		w.array(len(p.ErrorRecords))
		for i := range p.ErrorRecords {
			w.int32(p.ErrorRecords[i].RelativeOffset)
			w.nullable(p.ErrorRecords[i].ErrorMessage)
			w.tags()
		}
		w.nullable(p.ErrorMessage)
	}
	w.tags()
}

// answerWriter appends Kafka's primitive types.
type answerWriter struct {
	b        []byte
	flexible bool // compact lengths, and tags
}

func (w *answerWriter) int32(v int32) { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *answerWriter) int64(v int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }

func (w *answerWriter) array(n int) {
	if w.flexible {
		w.b = binary.AppendUvarint(w.b, uint64(n)+1)
	} else {
		w.int32(int32(n))
	}
}

func (w *answerWriter) nullable(s *string) {
	switch {
	case w.flexible && s == nil:
		w.b = append(w.b, 0)
		return
	case w.flexible:
		w.b = binary.AppendUvarint(w.b, uint64(len(*s))+1)
	case s == nil:
		w.b = append(w.b, 0xff, 0xff)
		return
	default:
		w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(*s)))
	}
	w.b = append(w.b, *s...)
}

// tags writes that there are no tagged fields.
func (w *answerWriter) tags() {
	if w.flexible {
		w.b = append(w.b, 0)
	}
}
