package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

// consumeGroup prints what the group's members are given, and commits what it
// has printed: at least once, as any consumer of a group does it.
func (p *program) consumeGroup(ctx *cli.Context, topic string, start position, print func(io.Writer, *kgo.Record) error) error {
	begin := kgo.NewOffset()
	switch start.kind {
	case fromEarliest:
		begin = begin.AtStart()
	case fromLatest:
		begin = begin.AtEnd()
	case fromTime:
		begin = begin.AfterMilli(start.number)
	default:
		return usagef("--from: a group begins at earliest, latest or a time; move it with `wadi groups reset`")
	}
	if ctx.Bool("until-end") || ctx.IsSet("partition") {
		return usagef("--group has no --until-end and no --partition: its members share the partitions")
	}
	client, err := connect(ctx, kgo.ConsumerGroup(ctx.String("group")), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(begin),
		kgo.FetchMaxWait(time.Second), kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll())
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	for left := ctx.Int64("number"); !ctx.IsSet("number") || left > 0; {
		fetches := client.PollFetches(ctx.Context)
		if ctx.Context.Err() != nil {
			break // Interrupted is how it ends.
		}
		for _, record := range fetches.Records() {
			if ctx.IsSet("number") && left == 0 {
				break
			}
			if err := print(out, record); err != nil {
				return err
			}
			left--
			client.MarkCommitRecords(record)
		}
		if err := out.Flush(); err != nil {
			return err
		}
		client.AllowRebalance()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("consume %q: %w", topic, err)
		}
	}
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx.Context), adminTimeout)
	defer cancel()
	if err := client.CommitMarkedOffsets(commit); err != nil {
		return fmt.Errorf("commit for group %q: %w", ctx.String("group"), err)
	}
	return nil
}
