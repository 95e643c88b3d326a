package clients

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetCommitVersion names topics by name and has flexible headers.
const offsetCommitVersion = 8

// A thousand groups that commit each second cost the metastore less than a
// hundred statements a second: commits are written with their neighbours.
func TestGroups_ThousandCommit(t *testing.T) {
	const groups, seconds, statementsMax = 1000, 10, 100
	metrics := freeAddress(t)
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", "--http", metrics)
	franz{}.create(t, address, "committed", 1, nil)
	conns := make([]*rawConn, groups)
	for i := range conns {
		conns[i] = dial(t, address)
	}
	// Each group commits at its own time of the second, as clients do.
	commit := func(rounds int) {
		var all sync.WaitGroup
		for group, c := range conns {
			all.Go(func() {
				<-time.After(time.Duration(group) * time.Second / groups)
				commitEachSecond(c, fmt.Sprintf("committer-%d", group), rounds)
			})
		}
		all.Wait()
	}
	commit(1) // every group is known then
	before, began := metric(t, metrics, "wadi_metastore_statements_total"), time.Now()
	commit(seconds)
	took := time.Since(began).Seconds()
	rate := (metric(t, metrics, "wadi_metastore_statements_total") - before) / took
	t.Logf("%d commits in %.1f s: %.1f metastore statements a second", groups*seconds, took, rate)
	if rate > statementsMax || rate == 0 {
		t.Errorf("%.1f metastore statements a second, more than %d", rate, statementsMax)
	}
	last, err := franz{}.admin(t, address).FetchOffsets(patient(t), "committer-0")
	if o, ok := last.Lookup("committed", 0); err != nil || !ok || o.At != seconds-1 {
		t.Errorf("group 0 has committed %+v, %v", o, err)
	}
}

// commitEachSecond commits 0, 1, 2 … as a group without members.
func commitEachSecond(c *rawConn, group string, rounds int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range rounds {
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Group, r.Generation = group, -1
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Offset = int64(i)
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "committed", Partitions: []kmsg.OffsetCommitRequestTopicPartition{partition}}}
		c.add(r, offsetCommitVersion)
		c.send()
		if code := c.answer().(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
			c.t.Errorf("%s: error %d", group, code)
			return
		}
		if i < rounds-1 {
			<-tick.C
		}
	}
}
