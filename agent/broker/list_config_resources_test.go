package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

func TestListConfigResources(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("b", 1, nil)
	a.create("a", 1, nil)
	call[*kmsg.IncrementalAlterConfigsResponse](a, incrementalRequest(1, altering(kmsg.ConfigResourceTypeGroupConfig, "a group", opSet, configConsumerSession, "50000")))
	for _, x := range []struct {
		version int16
		types   []int8
		code    int16
		want    string
	}{
		{0, nil, 0, "[]"},
		{1, nil, 0, "[4 1 2 a 2 b 32 a group]"},
		{1, []int8{32}, 0, "[32 a group]"},
		{1, []int8{2}, 0, "[2 a 2 b]"},
		{1, []int8{4, 8, 16, 32}, 0, "[4 1 32 a group]"},
		{1, []int8{2, 3}, wire.CodeUnsupportedVersion, "[]"},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = x.version, x.types
		resp := call[*kmsg.ListConfigResourcesResponse](a, req)
		got := []any{}
		for _, r := range resp.ConfigResources {
			got = append(got, r.Type, r.Name)
		}
		if resp.ErrorCode != x.code || fmt.Sprint(got) != x.want {
			t.Errorf("version %d %v: %d %v", x.version, x.types, resp.ErrorCode, got)
		}
	}
}
