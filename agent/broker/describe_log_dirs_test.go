package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDescribeLogDirs(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 2, nil)
	a.create("u", 1, nil)
	b := records(plain(), "a", "b")
	a.produce(13, "", id, b)
	for version := int16(1); version <= 4; version++ {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version = version
		sizes := func() string {
			resp := call[*kmsg.DescribeLogDirsResponse](a, req)
			if resp.ErrorCode != 0 || len(resp.Dirs) != 1 || resp.Dirs[0].ErrorCode != 0 || resp.Dirs[0].Dir != "bucket" ||
				version >= 4 && (resp.Dirs[0].TotalBytes != -1 || resp.Dirs[0].UsableBytes != -1) {
				t.Fatalf("version %d: %+v", version, resp)
			}
			s := ""
			for _, topic := range resp.Dirs[0].Topics {
				s += topic.Topic
				for _, p := range topic.Partitions {
					s += fmt.Sprintf(" %d:%d", p.Partition, p.Size)
				}
				s += "; "
			}
			return s
		}
		if got, want := sizes(), fmt.Sprintf("t 0:%d 1:0; u 0:0; ", len(b)); got != want {
			t.Errorf("version %d: %s, want %s", version, got, want)
		}
		topic := kmsg.NewDescribeLogDirsRequestTopic()
		topic.Topic, topic.Partitions = "t", []int32{7, 1, 1, -1}
		nowhere := kmsg.NewDescribeLogDirsRequestTopic()
		nowhere.Topic, nowhere.Partitions = "nowhere", []int32{0}
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{nowhere, topic}
		if got := sizes(); got != "t 1:0; " {
			t.Errorf("version %d: %s", version, got)
		}
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		if got := sizes(); got != "" {
			t.Errorf("version %d, none asked: %s", version, got)
		}
	}
}
