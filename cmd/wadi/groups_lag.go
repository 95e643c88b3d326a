package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

const (
	// oldestWaitMax bounds the look at the oldest unread records: the lag in records is
	// told without them.
	oldestWaitMax = 10 * time.Second
	// oldestFetchBytes is asked for at a time; a batch larger than that comes whole.
	oldestFetchBytes = 64 << 10
)

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// oldestUnread returns the times of the oldest records that a group has not read, by
// reading the record at each commit. Partitions that are read to the end, and those that
// don't answer in time, are missing.
func oldestUnread(ctx *cli.Context, timed context.Context, lag kadm.GroupLag) (map[place]time.Time, error) {
	from := map[string]map[int32]kgo.Offset{}
	wanted := map[place]int64{}
	for _, l := range lag.Sorted() {
		at := max(l.Commit.At, l.Start.Offset)
		if l.Err != nil || l.Lag < 1 || at >= l.End.Offset {
			continue
		}
		if from[l.Topic] == nil {
			from[l.Topic] = map[int32]kgo.Offset{}
		}
		from[l.Topic][l.Partition] = kgo.NewOffset().At(at)
		wanted[place{l.Topic, l.Partition}] = at
	}
	oldest := make(map[place]time.Time, len(wanted))
	if len(wanted) == 0 {
		return oldest, nil
	}
	client, err := connect(ctx, kgo.ConsumePartitions(from), kgo.FetchMaxPartitionBytes(oldestFetchBytes), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	timed, cancel := context.WithTimeout(timed, oldestWaitMax)
	defer cancel()
	for len(wanted) > 0 && timed.Err() == nil {
		fetches := client.PollFetches(timed)
		done := map[string][]int32{}
		fetches.EachRecord(func(r *kgo.Record) {
			at := place{r.Topic, r.Partition}
			if offset, ok := wanted[at]; !ok || r.Offset < offset {
				return
			}
			oldest[at] = r.Timestamp
			delete(wanted, at)
			done[r.Topic] = append(done[r.Topic], r.Partition)
		})
		client.PauseFetchPartitions(done)
	}
	return oldest, nil
}

// age is how long ago a record was made, in words; a dash for one that isn't known.
func age(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	d := max(now.Sub(at), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.1f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}
