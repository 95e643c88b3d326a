package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

// transactionLine is a transactional id and the transaction that it is in.
type transactionLine struct {
	ID         string                 `json:"transactional_id"`
	State      string                 `json:"state"`
	ProducerID int64                  `json:"producer_id"`
	Epoch      *int16                 `json:"producer_epoch,omitempty"`
	TimeoutMs  int32                  `json:"timeout_ms,omitempty"`
	StartedMs  int64                  `json:"started_ms,omitempty"` // since 1970 UTC
	Partitions []transactionPartition `json:"partitions,omitempty"`
}

type transactionPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

const flagState = "state"

func (p *program) transactionsListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list transactional ids",
		Flags: clientFlags(outputFlag(), &cli.StringSliceFlag{Name: flagState, Usage: "only ids in the `STATE` Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit or CompleteAbort"}),
		Action: func(ctx *cli.Context) error {
			return asAdmin(ctx, 0, 0, func(timed context.Context, admin *kadm.Client, asJSON bool) error {
				listed, err := admin.ListTransactions(timed, nil, ctx.StringSlice(flagState))
				if err != nil {
					return fmt.Errorf("list transactional ids: %w", err)
				}
				rows := [][]string{}
				for _, t := range listed.Sorted() {
					if asJSON {
						if err := printJSON(p.stdout, transactionLine{ID: t.TxnID, State: t.State, ProducerID: t.ProducerID}); err != nil {
							return err
						}
						continue
					}
					rows = append(rows, []string{t.TxnID, t.State, strconv.FormatInt(t.ProducerID, 10)})
				}
				if asJSON {
					return nil
				}
				return printTable(p.stdout, []string{"TRANSACTIONAL ID", "STATE", "PRODUCER"}, rows)
			})
		},
	}
}

func (p *program) transactionsDescribeCommand() *cli.Command {
	return &cli.Command{
		Name: "describe", Usage: "show the transactions that transactional ids are in", ArgsUsage: "ID...",
		Flags: clientFlags(outputFlag()),
		Action: func(ctx *cli.Context) error {
			return asAdmin(ctx, 1, -1, func(timed context.Context, admin *kadm.Client, asJSON bool) error {
				described, err := admin.DescribeTransactions(timed, ctx.Args().Slice()...)
				if err != nil {
					return fmt.Errorf("describe transactional ids: %w", err)
				}
				for _, t := range described.Sorted() {
					if t.Err != nil {
						return fmt.Errorf("describe transactional id %q: %w", t.TxnID, t.Err)
					}
					if err := p.printTransaction(&t, asJSON); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (p *program) printTransaction(t *kadm.DescribedTransaction, asJSON bool) error {
	line := transactionLine{ID: t.TxnID, State: t.State, ProducerID: t.ProducerID, Epoch: &t.ProducerEpoch, TimeoutMs: t.TimeoutMillis, StartedMs: max(0, t.StartTimestamp)}
	rows := [][]string{}
	for _, topic := range t.Topics.Sorted() {
		for _, partition := range topic.Partitions {
			line.Partitions = append(line.Partitions, transactionPartition{topic.Topic, partition})
			rows = append(rows, []string{topic.Topic, strconv.Itoa(int(partition))})
		}
	}
	if asJSON {
		return printJSON(p.stdout, line)
	}
	since := ""
	if t.StartTimestamp > 0 {
		since = ", begun " + age(time.UnixMilli(t.StartTimestamp), time.Now()) + " ago"
	}
	fmt.Fprintf(p.stdout, "%s: %s, producer %d, epoch %d, time-out %v%s\n", t.TxnID, t.State, t.ProducerID, t.ProducerEpoch,
		time.Duration(t.TimeoutMillis)*time.Millisecond, since)
	if len(rows) == 0 {
		return nil
	}
	return printTable(p.stdout, []string{"TOPIC", "PARTITION"}, rows)
}

const (
	flagHangingTopic     = "topic"
	flagHangingPartition = "partition"
	flagHangingProducer  = "producer"
)

func (p *program) transactionsAbortCommand() *cli.Command {
	return &cli.Command{
		Name: "abort", Usage: "abort a transactional id's transaction, or one that hangs in a partition", ArgsUsage: "[ID]",
		Description: "With an ID: its transaction is aborted, and its producer fenced. Without one, --topic, --partition\n" +
			"and --producer name a transaction that is open in a partition and that no transactional id\nknows of; others are refused.",
		Flags: clientFlags(outputFlag(),
			&cli.StringFlag{Name: flagHangingTopic, Usage: "`TOPIC` of a transaction that hangs"},
			&cli.IntFlag{Name: flagHangingPartition, Usage: "its `PARTITION`"},
			&cli.Int64Flag{Name: flagHangingProducer, Usage: "its producer `ID`", Value: -1}),
		Action: func(ctx *cli.Context) error {
			hanging := ctx.String(flagHangingTopic) != "" || ctx.Int64(flagHangingProducer) >= 0
			switch {
			case hanging && (ctx.NArg() > 0 || ctx.String(flagHangingTopic) == "" || ctx.Int64(flagHangingProducer) < 0):
				return usagef("a transaction that hangs is named by --topic, --partition and --producer, without an ID")
			case hanging:
				return asAdmin(ctx, 0, 0, func(timed context.Context, admin *kadm.Client, _ bool) error {
					return p.abortHanging(timed, admin, ctx.String(flagHangingTopic), int32(ctx.Int(flagHangingPartition)), ctx.Int64(flagHangingProducer))
				})
			}
			if err := argumentCount(ctx, 1, 1); err != nil {
				return err
			}
			client, err := connect(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			timed, cancel := context.WithTimeout(ctx.Context, adminTimeout)
			defer cancel()
			return p.fenceID(timed, client, ctx.Args().First())
		},
	}
}

// fenceID initialises an id as its next producer would, which aborts its transaction.
func (p *program) fenceID(ctx context.Context, client *kgo.Client, id string) error {
	described, err := kadm.NewClient(client).DescribeTransactions(ctx, id)
	if err == nil {
		err = described[id].Err
	}
	if err != nil {
		return fmt.Errorf("describe transactional id %q: %w", id, err)
	}
	next, err := kgo.NewClient(append(client.Opts(), kgo.TransactionalID(id),
		kgo.TransactionTimeout(time.Duration(described[id].TimeoutMillis)*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer next.Close()
	if _, _, err := next.ProducerID(ctx); err != nil {
		return fmt.Errorf("abort the transaction of %q: %w", id, err)
	}
	fmt.Fprintf(p.stdout, "aborted %s (it was %s)\n", id, described[id].State)
	return nil
}

// abortHanging writes an abort marker for a producer that has a transaction open in a partition.
func (p *program) abortHanging(ctx context.Context, admin *kadm.Client, topic string, partition int32, producer int64) error {
	at := kadm.TopicsSet{}
	at.Add(topic, partition)
	described, err := admin.DescribeProducers(ctx, at)
	if err != nil {
		return fmt.Errorf("describe the producers of %s, partition %d: %w", topic, partition, err)
	}
	in := described[topic].Partitions[partition]
	if in.Err != nil {
		return fmt.Errorf("describe the producers of %s, partition %d: %w", topic, partition, in.Err)
	}
	active, ok := in.ActiveProducers[producer]
	if !ok || active.CurrentTxnStartOffset < 0 {
		return fmt.Errorf("producer %d has no transaction open in %s, partition %d", producer, topic, partition)
	}
	answers, err := admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: producer, ProducerEpoch: int16(active.ProducerEpoch),
		CoordinatorEpoch: active.CoordinatorEpoch, Topics: at})
	if err != nil {
		return fmt.Errorf("abort the transaction of producer %d: %w", producer, err)
	}
	for _, a := range answers.SortedPartitions() {
		if errors.Is(a.Err, kerr.TransactionCoordinatorFenced) {
			return fmt.Errorf("the transaction of producer %d doesn't hang: a transactional id is in it; abort that one", producer)
		}
		if a.Err != nil {
			return fmt.Errorf("abort the transaction of producer %d: %w", producer, a.Err)
		}
	}
	fmt.Fprintf(p.stdout, "aborted the transaction of producer %d from offset %d of %s, partition %d\n", producer, active.CurrentTxnStartOffset, topic, partition)
	return nil
}
