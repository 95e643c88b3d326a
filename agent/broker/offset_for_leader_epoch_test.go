package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

func TestOffsetForLeaderEpoch(t *testing.T) {
	a := newReader(t)
	a.create("t", 1, nil)
	a.fill("t", timed(1, 2, 3))
	for version := int16(2); version <= 4; version++ {
		for _, c := range []struct {
			name                      string
			partition, current, asked int32
			epoch                     int32
			end                       int64
			code                      int16
		}{
			{"the only epoch", 0, -1, 0, 0, 3, 0},
			{"the only epoch, known as current", 0, 0, 0, 0, 3, 0},
			{"a later epoch", 0, -1, 1, -1, -1, 0},
			{"no epoch", 0, -1, -1, -1, -1, 0},
			{"a later current one", 0, 1, 0, -1, -1, wire.CodeUnknownLeaderEpoch},
			{"an unknown partition", 1, -1, 0, -1, -1, wire.CodeUnknownTopicOrPartition},
		} {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.Version = version
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = c.partition, c.current, c.asked
			req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
			got := call[*kmsg.OffsetForLeaderEpochResponse](a, req).Topics[0].Partitions[0]
			if got.LeaderEpoch != c.epoch || got.EndOffset != c.end || got.ErrorCode != c.code {
				t.Errorf("%s, version %d: %+v", c.name, version, got)
			}
		}
	}
}
