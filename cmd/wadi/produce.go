package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

func (p *program) produceCommand() *cli.Command {
	return &cli.Command{
		Name: "produce", Usage: "send records, one a line, to a topic", ArgsUsage: "TOPIC",
		Description: "Reads the standard input or --file. A line is a record's value; with --key-separator\n" +
			"it is KEY<separator>VALUE; with --input json it is an object such as\n" +
			`{"key":"k","value":"v","headers":[{"key":"h","value":"x"}],"partition":0}` + ".\n" +
			"Prints nothing on the standard output; ends with 0 once every record is acknowledged.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "read records from `FILE`"},
			&cli.StringFlag{Name: "input", Aliases: []string{"i"}, Value: inputLines, Usage: "read `lines or json`"},
			&cli.StringFlag{Name: "key-separator", Aliases: []string{"k"}, Usage: "cut each line into key and value at the first `SEPARATOR`"},
			&cli.IntFlag{Name: "partition", Aliases: []string{"p"}, Value: anyPartition, Usage: "send to partition `N` (-1: by key, or spread)"},
			&cli.StringSliceFlag{Name: "header", Usage: "add a header, as `NAME=VALUE`, to every record (repeatable)"},
			&cli.StringFlag{Name: "compression", Value: "snappy", Usage: "compress with `CODEC`: none, gzip, snappy, lz4 or zstd"},
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "give up when nothing has been acknowledged for `TIME`"},
		),
		Action: p.produce,
	}
}

// anyPartition is a record whose partition its key decides.
const anyPartition = -1

// partitioner honours a record's own partition and goes by key otherwise, with
// the hash that every Kafka client uses.
type partitioner struct{ byKey kgo.Partitioner }

type topicPartitioner struct{ kgo.TopicPartitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.byKey.ForTopic(topic)}
}

func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != anyPartition || p.TopicPartitioner.RequiresConsistency(r)
}

func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition != anyPartition {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

func (p topicPartitioner) OnNewBatch() {
	if sticky, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		sticky.OnNewBatch()
	}
}

func codec(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, usagef("--compression: %q is not none, gzip, snappy, lz4 or zstd", name)
}

func (p *program) produce(ctx *cli.Context) error {
	if err := argumentCount(ctx, 1, 1); err != nil {
		return err
	}
	compression, err := codec(ctx.String("compression"))
	if err != nil {
		return err
	}
	input, bytesTotal, err := p.produceInput(ctx)
	if err != nil {
		return err
	}
	defer input.close()
	client, err := connect(ctx,
		kgo.DefaultProduceTopic(ctx.Args().First()),
		kgo.AllowAutoTopicCreation(), // whether topics are made is the agent's auto.create.topics.enable
		kgo.ProducerBatchCompression(compression),
		kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil)}),
	)
	if err != nil {
		return err
	}
	defer client.Close()

	bar := newProgress(p, bytesTotal)
	began := time.Now()
	s := sending{client: client, input: input, bar: bar, timeout: max(ctx.Duration("timeout"), time.Second)}
	acknowledged, err := s.run(ctx.Context)
	bar.finish()
	if err != nil {
		return fmt.Errorf("produce to %q (%s acknowledged): %w", ctx.Args().First(), plural(acknowledged, "record"), err)
	}
	if p.terminal(p.stderr) {
		fmt.Fprintf(p.stderr, "%s to %s in %s\n", plural(acknowledged, "record"), ctx.Args().First(), time.Since(began).Round(time.Millisecond))
	}
	return nil
}

func (p *program) produceInput(ctx *cli.Context) (*recordInput, int64, error) {
	headers, err := headerPairs(ctx.StringSlice("header"))
	if err != nil {
		return nil, 0, err
	}
	input := &recordInput{
		reader: p.stdin, format: ctx.String("input"), separator: ctx.String("key-separator"),
		partition: int32(ctx.Int("partition")), headers: headers,
	}
	switch {
	case input.format != inputLines && input.format != inputJSON:
		return nil, 0, usagef("--input: %q is neither lines nor json", input.format)
	case input.format == inputJSON && input.separator != "":
		return nil, 0, usagef("--key-separator is for lines; in JSON the key is a field")
	case ctx.Int("partition") < anyPartition:
		return nil, 0, usagef("--partition: %d is not a partition", ctx.Int("partition"))
	}
	if path := ctx.String("file"); path != "" && path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		if err != nil {
			return nil, 0, errors.Join(err, f.Close())
		}
		input.reader, input.closer = f, f
		return input, info.Size(), nil
	}
	return input, 0, nil
}

func headerPairs(pairs []string) ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef("--header: %q is not NAME=VALUE", pair)
		}
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return headers, nil
}

// sending is one run of produce.
type sending struct {
	client  *kgo.Client
	input   *recordInput
	bar     *progress
	timeout time.Duration
	began   atomic.Int64 // records handed to the client
	ended   atomic.Int64 // of them: acknowledged or given up
	acked   atomic.Int64 // of them: acknowledged
}

// settleMax bounds the wait for what is on its way after an error.
const settleMax = 5 * time.Second

// errStopped is an interrupt.
var errStopped = errors.New("stopped before the end of the input")

// run produces all that the input holds and returns how many records were
// acknowledged. After the first error nothing more is sent; what was on its way
// is waited for, so that the count is true.
func (s *sending) run(ctx context.Context) (int64, error) {
	sending, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); s.watch(sending, stop) }()
	defer func() { stop(nil); <-watched }()

	inputErr := s.sendAll(sending, stop)
	err := s.client.Flush(sending)
	if err != nil {
		settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleMax)
		defer cancel()
		err = errors.Join(err, s.client.Flush(settling))
	}
	cause := context.Cause(sending)
	switch {
	case errors.Is(cause, context.Canceled):
		cause = errStopped
	case cause == nil && inputErr != nil:
		cause = inputErr
	case cause == nil:
		cause = err
	}
	return s.acked.Load(), cause
}

func (s *sending) sendAll(ctx context.Context, stop context.CancelCauseFunc) error {
	inputs := make(chan inputRecord, 256)
	// Not waited for: a read of a terminal can't be interrupted, and the process
	// ends after this command. It holds nothing but its input.
	go s.input.readInto(ctx, inputs)
	for {
		var next inputRecord
		select {
		case next = <-inputs:
		case <-ctx.Done():
			return nil
		}
		if errors.Is(next.err, io.EOF) {
			return nil
		}
		if next.err != nil {
			return next.err
		}
		s.began.Add(1)
		// Blocks while the client's buffer is full: memory is bounded by it.
		s.client.Produce(ctx, next.record, func(_ *kgo.Record, err error) {
			s.ended.Add(1)
			if err != nil {
				stop(fmt.Errorf("line %d: %w", next.line, err)) // the first one is kept
				return
			}
			s.acked.Add(1)
		})
		s.bar.at(next.bytes, int64(next.line))
	}
}

// watch stops the sending when nothing moves for the time-out. (The library's own
// goes by a record's timestamp, which may be years old.)
func (s *sending) watch(ctx context.Context, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(s.timeout)
	defer ticker.Stop()
	before := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ended := s.ended.Load()
		if ended == before && ended < s.began.Load() {
			stop(fmt.Errorf("nothing was acknowledged for %s", s.timeout))
			return
		}
		before = ended
	}
}
