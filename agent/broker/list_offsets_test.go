package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// listRequest asks for times of partition 0 of topics, in turn.
func listRequest(version int16, timestamp int64, partitions ...int32) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = version, -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = "t"
	for _, i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = i, timestamp
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func TestListOffsets(t *testing.T) {
	a := newReader(t)
	a.create("t", 1, nil)
	a.fill("t", timed(100, 101, 102), timed(300, 300, 301), timed(200))
	type found struct {
		offset, timestamp int64
		epoch             int32
		code              int16
	}
	for _, c := range []struct {
		name       string
		timestamp  int64
		versionMin int16
		want       found
	}{
		{"latest", -1, 1, found{7, -1, 0, 0}},
		{"earliest", -2, 1, found{0, -1, 0, 0}},
		{"max timestamp", -3, 7, found{5, 301, 0, 0}},
		{"earliest local", -4, 8, found{0, -1, 0, 0}},
		{"latest tiered", -5, 9, found{-1, -1, -1, 0}},
		{"earliest pending upload", -6, 11, found{-1, -1, -1, 0}},
		{"no such constant", -7, 12, found{}},
		{"the least timestamp", -1 << 63, 12, found{}},
		{"the first", 0, 1, found{0, 100, 0, 0}},
		{"a record's own", 102, 1, found{2, 102, 0, 0}},
		{"inside the second batch", 301, 1, found{5, 301, 0, 0}},
		{"between", 103, 1, found{3, 300, 0, 0}},
		{"later than all", 302, 1, found{-1, -1, -1, 0}},
	} {
		for version := int16(1); version <= 11; version++ {
			want := c.want
			if version < c.versionMin {
				want = found{-1, -1, -1, wire.CodeUnsupportedVersion}
			}
			if version < 4 {
				want.epoch = -1
			}
			p := call[*kmsg.ListOffsetsResponse](a, listRequest(version, c.timestamp, 0)).Topics[0].Partitions[0]
			if got := (found{p.Offset, p.Timestamp, p.LeaderEpoch, p.ErrorCode}); got != want {
				t.Errorf("%s, version %d: %+v, want %+v", c.name, version, got, want)
			}
		}
	}
}

func TestListOffsets_Refusals(t *testing.T) {
	a := newReader(t)
	a.create("t", 3, nil)
	ps := call[*kmsg.ListOffsetsResponse](a, listRequest(11, -1, 0, 1, 0, 3, 2)).Topics[0].Partitions
	for i, want := range []int16{wire.CodeInvalidRequest, 0, wire.CodeInvalidRequest, wire.CodeUnknownTopicOrPartition, 0} {
		if ps[i].ErrorCode != want {
			t.Errorf("partition %d: %+v", ps[i].Partition, ps[i])
		}
	}
	req := listRequest(11, -1, 0)
	req.Topics[0].Partitions[0].CurrentLeaderEpoch = 1
	if p := call[*kmsg.ListOffsetsResponse](a, req).Topics[0].Partitions[0]; p.ErrorCode != wire.CodeUnknownLeaderEpoch || p.Offset != -1 {
		t.Errorf("a later leader epoch: %+v", p)
	}
}
