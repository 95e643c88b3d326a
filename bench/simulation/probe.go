package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// probeTry bounds one look.
const probeTry = 3 * time.Second

// probeEnds asks agents that it draws, whether or not clients are sent to them, for what lies behind the
// end of a partition that somebody was acknowledged: no agent, however far behind, may refuse that.
func (w *world) probeEnds(ctx context.Context) {
	r := w.stream("probe")
	client := w.newClient("prober", "", oldVersions())
	defer client.Close()
	agents := client.SeedBrokers()
	for pause(ctx, time.Duration(20+r.IntN(400))*time.Millisecond) {
		p, ok := w.topics.some(r)
		if !ok || p.cleanup() == byAge { // Which may begin later by now.
			continue
		}
		from := w.ends.known("", p)
		if from == 0 {
			continue
		}
		agent := r.IntN(len(agents))
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 10, 1, 1<<10
		t := kmsg.NewFetchRequestTopic()
		t.Topic = p.topic
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes, part.CurrentLeaderEpoch = p.index, from, 1<<10, -1
		t.Partitions = append(t.Partitions, part)
		req.Topics = append(req.Topics, t)
		try, cancel := context.WithTimeout(ctx, probeTry)
		resp, err := req.RequestWith(try, agents[agent])
		cancel()
		if err != nil || resp.ErrorCode != 0 || len(resp.Topics) != 1 || w.topics.isRetired(p.topic) {
			continue
		}
		w.count(func(c *counts) { c.admin++ })
		a := resp.Topics[0].Partitions[0]
		if where := fmt.Sprintf("%s, asked for offset %d of %s, which is acknowledged to be its end", w.agents[agent].name, from, p.key()); a.ErrorCode == wire.CodeOffsetOutOfRange {
			if w.cuts.known("", p) > from {
				continue // An administrator asked for what lies before its new end to be deleted, meanwhile.
			}
			w.bug("%s, finds it out of range", where)
		} else if a.ErrorCode == 0 && a.HighWatermark < from {
			w.bug("%s, says that the partition ends at %d", where, a.HighWatermark)
		}
	}
}
