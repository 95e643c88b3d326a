package broker

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestEncodeProduce_IsWhatKmsgEncodes(t *testing.T) {
	r := kmsg.NewPtrProduceResponse()
	for i, name := range []string{"orders", "", "a.b-c_d"} {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = name, [16]byte{byte(i + 1), 15: 9}
		for p := range int32(i * 2) {
			part := kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.BaseOffset, part.LogAppendTime, part.LogStartOffset = p, 1<<40+int64(p), -1, int64(p)
			if p%2 == 1 {
				part.ErrorCode, part.ErrorMessage = 87, kmsg.StringPtr("one or more records")
				for k := range int32(3) {
					e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
					e.RelativeOffset = k
					if k > 0 {
						e.ErrorMessage = kmsg.StringPtr("no key")
					}
					part.ErrorRecords = append(part.ErrorRecords, e)
				}
			}
			topic.Partitions = append(topic.Partitions, part)
		}
		r.Topics = append(r.Topics, topic)
	}
	for r.Version = produceVersionMin; r.Version <= 13; r.Version++ {
		if got, want := appendProduce(nil, r), r.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("version %d:\n got %x\nwant %x", r.Version, got, want)
		}
	}
}
