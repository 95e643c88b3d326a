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
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "give a record up after this `TIME` without an acknowledgement"},
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
		kgo.RecordDeliveryTimeout(max(ctx.Duration("timeout"), time.Second)),
	)
	if err != nil {
		return err
	}
	defer client.Close()

	bar := newProgress(p, bytesTotal)
	began := time.Now()
	acknowledged, err := send(ctx.Context, client, input, bar)
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

// send produces all that the input holds and returns how many records were
// acknowledged. After the first error nothing more is sent; what was on its way
// is waited for, so that the count is true.
func send(ctx context.Context, client *kgo.Client, input *recordInput, bar *progress) (int64, error) {
	var acknowledged atomic.Int64
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var inputErr error
	for sending.Err() == nil {
		record, err := input.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				inputErr = err
			}
			break
		}
		line := input.line
		// Blocks while the client's buffer is full: memory is bounded by it.
		client.Produce(sending, record, func(_ *kgo.Record, err error) {
			if err != nil {
				stop(fmt.Errorf("line %d: %w", line, err)) // the first one is kept
				return
			}
			acknowledged.Add(1)
		})
		bar.at(input.bytes, int64(line))
	}
	if err := client.Flush(ctx); err != nil && inputErr == nil {
		inputErr = errors.New("stopped before everything was acknowledged")
	}
	if cause := context.Cause(sending); cause != nil {
		if errors.Is(cause, context.Canceled) {
			cause = errors.New("stopped before everything was acknowledged")
		}
		return acknowledged.Load(), cause
	}
	return acknowledged.Load(), inputErr
}
