package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sort"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func (p *program) topicsCreateCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "create topics", ArgsUsage: "TOPIC...",
		Flags: clientFlags(
			&cli.IntFlag{Name: "partitions", Value: -1, Usage: "give each `N` partitions (-1: the agent's num.partitions)"},
			configTopicFlag(),
		),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, -1); err != nil {
				return err
			}
			configs, err := configPairs(ctx.StringSlice("topic-config"))
			if err != nil {
				return usagef("--topic-config: %s", err)
			}
			values := make(map[string]*string, len(configs))
			for name, value := range configs {
				values[name] = kadm.StringPtr(value)
			}
			admin, timed, done, err := connectAdmin(ctx)
			if err != nil {
				return err
			}
			defer done()
			answers, err := admin.CreateTopics(timed, int32(ctx.Int("partitions")), -1, values, ctx.Args().Slice()...)
			if err != nil {
				return fmt.Errorf("create topics: %w", err)
			}
			return p.eachTopic(ctx, "create", func(name string) (string, error) {
				t := answers[name]
				if t.Err != nil && t.ErrMessage != "" {
					return "", fmt.Errorf("%w: %s", t.Err, t.ErrMessage)
				}
				return fmt.Sprintf("created %s with %s", name, plural(int64(t.NumPartitions), "partition")), t.Err
			})
		},
	}
}

func configTopicFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "topic-config", Usage: "set the topic's config by Kafka's name, as `NAME=VALUE` (repeatable)"}
}

func (p *program) topicsDeleteCommand() *cli.Command {
	return &cli.Command{
		Name: "delete", Usage: "delete topics and their records", ArgsUsage: "TOPIC...",
		Flags: clientFlags(),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, -1); err != nil {
				return err
			}
			admin, timed, done, err := connectAdmin(ctx)
			if err != nil {
				return err
			}
			defer done()
			answers, err := admin.DeleteTopics(timed, ctx.Args().Slice()...)
			if err != nil {
				return fmt.Errorf("delete topics: %w", err)
			}
			return p.eachTopic(ctx, "delete", func(name string) (string, error) {
				return "deleted " + name, answers[name].Err
			})
		},
	}
}

// eachTopic says what became of each topic or group named on the command line; all of
// them are told, and one failure fails the command.
func (p *program) eachTopic(ctx *cli.Context, verb string, outcome func(name string) (string, error)) error {
	var failed []error
	for _, name := range ctx.Args().Slice() {
		text, err := outcome(name)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s %q: %w", verb, name, err))
			continue
		}
		fmt.Fprintln(p.stdout, text)
	}
	for i, err := range failed {
		if i < len(failed)-1 {
			fmt.Fprintln(p.stderr, "wadi: "+sentence(err))
		} else {
			return err
		}
	}
	return nil
}

type topicLine struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	Records    int64  `json:"records"`
}

func (p *program) topicsListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list topics",
		Flags:  clientFlags(outputFlag()),
		Action: func(ctx *cli.Context) error { return asAdmin(ctx, 0, 0, p.topicsList) },
	}
}

func (p *program) topicsList(timed context.Context, admin *kadm.Client, asJSON bool) error {
	topics, err := admin.ListTopics(timed)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var starts, ends kadm.ListedOffsets
	if len(topics) > 0 {
		if starts, err = admin.ListStartOffsets(timed, topics.Names()...); err == nil {
			ends, err = admin.ListEndOffsets(timed, topics.Names()...)
		}
		if err != nil {
			return fmt.Errorf("list offsets: %w", err)
		}
	}
	rows := [][]string{}
	for _, t := range topics.Sorted() {
		line := topicLine{Topic: t.Topic, Partitions: len(t.Partitions)}
		ends.Each(func(end kadm.ListedOffset) {
			if start, ok := starts.Lookup(end.Topic, end.Partition); ok && end.Topic == t.Topic {
				line.Records += end.Offset - start.Offset
			}
		})
		if asJSON {
			if err := printJSON(p.stdout, line); err != nil {
				return err
			}
		}
		rows = append(rows, []string{t.Topic, strconv.Itoa(line.Partitions), count(line.Records)})
	}
	if asJSON {
		return nil
	}
	return printTable(p.stdout, []string{"TOPIC", "PARTITIONS", "RECORDS"}, rows)
}

type topicDescription struct {
	Topic      string            `json:"topic"`
	ID         string            `json:"id"`
	Partitions []partitionLine   `json:"partitions"`
	Configs    map[string]string `json:"configs"` // those that differ from the defaults
}

type partitionLine struct {
	Partition int32 `json:"partition"`
	Leader    int32 `json:"leader"`
	Start     int64 `json:"start"`
	End       int64 `json:"end"`
}

func (p *program) topicsDescribeCommand() *cli.Command {
	return &cli.Command{
		Name: "describe", Usage: "show a topic's partitions, offsets and configs", ArgsUsage: "TOPIC",
		Flags: clientFlags(outputFlag()),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, 1); err != nil {
				return err
			}
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			d, err := describeTopic(ctx, ctx.Args().First())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(p.stdout, d)
			}
			return p.printTopic(d)
		},
	}
}

func describeTopic(ctx *cli.Context, name string) (topicDescription, error) {
	admin, timed, done, err := connectAdmin(ctx)
	if err != nil {
		return topicDescription{}, err
	}
	defer done()
	topics, err := admin.ListTopics(timed, name)
	if err == nil {
		err = topics[name].Err
	}
	if err != nil {
		return topicDescription{}, fmt.Errorf("describe %q: %w", name, err)
	}
	starts, err := admin.ListStartOffsets(timed, name)
	if err == nil {
		err = starts.Error()
	}
	ends, err2 := admin.ListEndOffsets(timed, name)
	if err2 == nil {
		err2 = ends.Error()
	}
	if err = errors.Join(err, err2); err != nil {
		return topicDescription{}, fmt.Errorf("list the offsets of %q: %w", name, err)
	}
	t := topics[name]
	d := topicDescription{Topic: name, ID: base64.RawURLEncoding.EncodeToString(t.ID[:]), Configs: map[string]string{}}
	for _, part := range t.Partitions.Sorted() {
		start, _ := starts.Lookup(name, part.Partition)
		end, _ := ends.Lookup(name, part.Partition)
		d.Partitions = append(d.Partitions, partitionLine{part.Partition, part.Leader, start.Offset, end.Offset})
	}
	configs, err := admin.DescribeTopicConfigs(timed, name)
	if err != nil {
		return d, fmt.Errorf("describe the configs of %q: %w", name, err)
	}
	for _, resource := range configs {
		if resource.Err != nil {
			return d, fmt.Errorf("describe the configs of %q: %w", name, resource.Err)
		}
		for _, config := range resource.Configs {
			if config.Source.String() == "DYNAMIC_TOPIC_CONFIG" {
				d.Configs[config.Key] = config.MaybeValue()
			}
		}
	}
	return d, nil
}

func (p *program) printTopic(d topicDescription) error {
	fmt.Fprintf(p.stdout, "topic   %s\nid      %s\n", d.Topic, d.ID)
	names := make([]string, 0, len(d.Configs))
	for name := range d.Configs {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(p.stdout, "config  %s=%s\n", name, d.Configs[name])
	}
	fmt.Fprintln(p.stdout)
	rows := make([][]string, len(d.Partitions))
	for i, part := range d.Partitions {
		rows[i] = []string{strconv.Itoa(int(part.Partition)), strconv.Itoa(int(part.Leader)),
			strconv.FormatInt(part.Start, 10), strconv.FormatInt(part.End, 10)}
	}
	return printTable(p.stdout, []string{"PARTITION", "LEADER", "START", "END"}, rows)
}
