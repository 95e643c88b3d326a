package simulation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// deleteRecords deletes records of topics that are for it, up to offsets anywhere in them, until ctx ends.
func (w *world) deleteRecords(ctx context.Context) {
	r := w.stream("deletions")
	client := w.newClient("deleter", "")
	defer client.Close()
	for pause(ctx, time.Duration(300+r.IntN(4000))*time.Millisecond) {
		places := slices.DeleteFunc(w.topics.all(), func(p partition) bool { return p.cleanup() != byRequest })
		if len(places) == 0 {
			continue
		}
		p := places[r.IntN(len(places))]
		start, end := w.starts.known("", p), w.ends.known("", p)
		if end <= start {
			continue
		}
		to := start + 1 + r.Int64N(end-start)
		w.cuts.acknowledged("", p, to)
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		got, err := kadm.NewClient(client).DeleteRecords(try, kadm.Offsets{p.topic: {p.index: {Topic: p.topic, Partition: p.index, At: to}}})
		cancel()
		o, ok := got.Lookup(p.topic, p.index)
		if err != nil || !ok || o.Err != nil {
			continue
		}
		w.count(func(c *counts) { c.admin++ })
		w.note("deleted", "%s up to %d", p.key(), to)
		if o.LowWatermark < to && !w.topics.isRetired(p.topic) {
			w.bug("%s begins at %d, it is said, after its records up to %d were deleted", p.key(), o.LowWatermark, to)
		}
		w.starts.acknowledged("", p, o.LowWatermark)
		w.begins(p, o.LowWatermark)
	}
}

// checkDeleted finds partitions that begin after what anybody asked to be deleted.
func (w *world) checkDeleted() {
	told := map[partition]int64{}
	for _, b := range w.mu.begins {
		if b.of.cleanup() == byRequest {
			told[b.of] = max(told[b.of], b.offset)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(told), comparePartitions) {
		if asked := w.cuts.known("", p); told[p] > asked {
			w.bug("%s begins at %d, and its records were asked to be deleted up to %d", p.key(), told[p], asked)
		}
	}
}
