package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

func (p *program) consumeCommand() *cli.Command {
	return &cli.Command{
		Name: "consume", Usage: "print a topic's records", ArgsUsage: "TOPIC",
		Description: "Prints records until it is interrupted, or as -n and --until-end say.\n" +
			"--from is earliest, latest, an offset, -N for the last N of each partition, a time\n" +
			"(2018-02-06, 2018-02-06T12:00:00Z, @milliseconds) or how long ago (15m, 24h).\n" +
			"--format: %t topic, %p partition, %o offset, %k key, %v value, %h{%k=%v } headers,\n" +
			`%d{go[2006-01-02T15:04:05Z07:00]} time, %% a percent sign, \n a line end.`,
		Flags: clientFlags(
			&cli.StringFlag{Name: "from", Value: "earliest", Usage: "start at `WHERE`"},
			&cli.IntFlag{Name: "partition", Aliases: []string{"p"}, Value: anyPartition, Usage: "read partition `N` only"},
			&cli.StringFlag{Name: "group", Usage: "read as a member of consumer group `GROUP`, from its commits; --from counts where it has none"},
			&cli.StringFlag{Name: "format", Value: `%v\n`, Usage: "print each record as `FORMAT` says"},
			outputFlag(),
			&cli.Int64Flag{Name: "number", Aliases: []string{"n"}, Usage: "stop after `N` records"},
			&cli.BoolFlag{Name: "until-end", Usage: "stop at what is the end now"},
		),
		Action: p.consume,
	}
}

func (p *program) consume(ctx *cli.Context) error {
	if err := argumentCount(ctx, 1, 1); err != nil {
		return err
	}
	print, err := recordPrinter(ctx)
	if err != nil {
		return err
	}
	start, err := parsePosition(ctx.String("from"), time.Now())
	if err != nil {
		return usagef("--from: %s", err)
	}
	if ctx.Int64("number") < 0 || ctx.Int("partition") < anyPartition {
		return usagef("--number and --partition can't be negative")
	}
	if ctx.String("group") != "" {
		return p.consumeGroup(ctx, ctx.Args().First(), start, print)
	}
	client, err := connect(ctx, kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	topic := ctx.Args().First()
	ranges, err := resolve(ctx.Context, kadm.NewClient(client), topic, int32(ctx.Int("partition")), start)
	if err != nil {
		return fmt.Errorf("consume %q: %w", topic, err)
	}
	r := reading{
		client: client, topic: topic, ranges: ranges, untilEnd: ctx.Bool("until-end"),
		left: ctx.Int64("number"), bounded: ctx.IsSet("number"), print: print,
	}
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	if err := r.run(ctx.Context, out); err != nil && ctx.Context.Err() == nil {
		return fmt.Errorf("consume %q: %w", topic, err)
	}
	return out.Flush() // interrupted is how a reading without an end ends
}

// reading is one run of consume. Only its own goroutine touches it.
type reading struct {
	client   *kgo.Client
	topic    string
	ranges   map[int32]offsetRange // partitions still to read
	untilEnd bool
	bounded  bool
	left     int64 // records, where bounded
	print    func(io.Writer, *kgo.Record) error
}

// run prints records to out, which it flushes after each fetch.
func (r *reading) run(ctx context.Context, out *bufio.Writer) error {
	start := map[int32]kgo.Offset{}
	for partition, span := range r.ranges {
		if r.untilEnd && span.start >= span.end {
			delete(r.ranges, partition)
			continue
		}
		start[partition] = kgo.NewOffset().At(span.start)
	}
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: start})
	for !r.done() {
		fetches := r.client.PollFetches(ctx)
		var failed error
		fetches.EachError(func(_ string, partition int32, err error) {
			failed = errors.Join(failed, fmt.Errorf("partition %d: %w", partition, err))
		})
		for _, record := range fetches.Records() {
			if err := r.take(out, record); err != nil {
				return err
			}
		}
		if err := errors.Join(out.Flush(), failed); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) done() bool {
	return r.bounded && r.left == 0 || len(r.ranges) == 0
}

// take prints a record if it is wanted and notes how far its partition is.
func (r *reading) take(out io.Writer, record *kgo.Record) error {
	span, wanted := r.ranges[record.Partition]
	if !wanted || r.done() {
		return nil
	}
	if r.untilEnd && record.Offset >= span.end-1 {
		delete(r.ranges, record.Partition)
	}
	if record.Attrs.IsControl() || r.untilEnd && record.Offset >= span.end {
		return nil
	}
	r.left--
	return r.print(out, record)
}

// recordPrinter is how --output and --format want a record printed.
func recordPrinter(ctx *cli.Context) (func(io.Writer, *kgo.Record) error, error) {
	asJSON, err := wantsJSON(ctx)
	if err != nil {
		return nil, err
	}
	if asJSON {
		return func(w io.Writer, r *kgo.Record) error {
			line, err := toJSON(r)
			if err != nil {
				return err
			}
			return printJSON(w, line)
		}, nil
	}
	formatter, err := kgo.NewRecordFormatter(ctx.String("format"))
	if err != nil {
		return nil, usagef("--format: %s", strings.TrimPrefix(err.Error(), "invalid layout: "))
	}
	var buffer []byte
	return func(w io.Writer, r *kgo.Record) error {
		buffer = formatter.AppendRecord(buffer[:0], r)
		_, err := w.Write(buffer)
		return err
	}, nil
}

// offsetRange is what there is to read of a partition: from start up to end.
type offsetRange struct{ start, end int64 }

// resolve asks the agent for the offsets that a position means.
func resolve(ctx context.Context, admin *kadm.Client, topic string, partition int32, from position) (map[int32]offsetRange, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	starts, err := listed(admin.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	ends, err := listed(admin.ListEndOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	var since map[int32]int64
	if from.kind == fromTime {
		if since, err = listed(admin.ListOffsetsAfterMilli(ctx, from.number, topic)); err != nil {
			return nil, err
		}
	}
	ranges := map[int32]offsetRange{}
	for id, end := range ends {
		if partition != anyPartition && id != partition {
			continue
		}
		start := from.offset(starts[id], end, since[id])
		if from.kind == fromOffset && partition != anyPartition && (start < starts[id] || start > end) {
			return nil, fmt.Errorf("partition %d has no offset %d: it has %d up to %d", id, start, starts[id], end)
		}
		ranges[id] = offsetRange{min(max(start, starts[id]), end), end}
	}
	if len(ranges) == 0 {
		ids := make([]int32, 0, len(ends))
		for id := range ends {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		return nil, fmt.Errorf("there is no partition %d: the topic has %s", partition, plural(int64(len(ids)), "partition"))
	}
	return ranges, nil
}

// listed is an answer's offsets by partition, or its first error.
func listed(answer kadm.ListedOffsets, err error) (map[int32]int64, error) {
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	answer.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = o.Offset })
	return offsets, nil
}
