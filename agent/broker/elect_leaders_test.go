package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

func electRequest(version int16, kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersRequest {
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType = version, kind
	if topic != "" {
		t := kmsg.NewElectLeadersRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
	}
	return req
}

func TestElectLeaders_IsNeverNeeded(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("t", 2, nil)
	for version := int16(0); version <= 2; version++ {
		for kind := range min(int8(2), int8(version)+1) {
			resp := call[*kmsg.ElectLeadersResponse](a, electRequest(version, kind, "t", 1, 0, 2))
			if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 3 {
				t.Fatalf("version %d: %+v", version, resp)
			}
			for i, want := range []int16{wire.CodeElectionNotNeeded, wire.CodeElectionNotNeeded, wire.CodeUnknownTopicOrPartition} {
				if p := resp.Topics[0].Partitions[i]; p.ErrorCode != want || p.ErrorMessage == nil {
					t.Errorf("version %d: %+v", version, p)
				}
			}
		}
		if got := call[*kmsg.ElectLeadersResponse](a, electRequest(version, 0, "nowhere", 0)).Topics[0].Partitions[0]; got.ErrorCode != wire.CodeUnknownTopicOrPartition ||
			*got.ErrorMessage != "No such topic as nowhere" {
			t.Errorf("version %d: %+v", version, got)
		}
		if all := call[*kmsg.ElectLeadersResponse](a, electRequest(version, 0, "")); all.ErrorCode != 0 || len(all.Topics) != 1 || len(all.Topics[0].Partitions) != 0 {
			t.Errorf("version %d, all: %+v", version, all)
		}
	}
	resp := call[*kmsg.ElectLeadersResponse](a, electRequest(2, 7, "t", 0))
	if resp.ErrorCode != wire.CodeInvalidRequest || resp.Topics[0].Partitions[0].ErrorCode != wire.CodeInvalidRequest {
		t.Errorf("an unknown kind: %+v", resp)
	}
}
