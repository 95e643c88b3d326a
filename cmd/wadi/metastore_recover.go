package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/recovery"
)

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

type recoveredCount struct {
	Batches int64 `json:"batches"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

type jumpLine struct {
	Topic     uint64 `json:"topic_number"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
}

type lossLine struct {
	Journal  string         `json:"journal"`
	Head     uint64         `json:"left_through"`
	Newest   uint64         `json:"lost_through"`
	Segments []string       `json:"segments"`
	InPlace  recoveredCount `json:"in_place"`
	Behind   recoveredCount `json:"behind"`
	Refused  recoveredCount `json:"refused"`
	Left     recoveredCount `json:"left"`
	Jumps    []jumpLine     `json:"jumps"`
	Done     bool           `json:"done"`
}

func (p *program) metastoreRecoverCommand() *cli.Command {
	return &cli.Command{
		Name: "recover", Usage: "bring back what a database that failed over or was restored has lost",
		Description: "Says of each journal that lost its newest entries what the segments still hold of them. With --yes it puts\n" +
			"those back: at their own offsets as far as the bucket tells without doubt, the rest behind an offset that no\n" +
			"lost record can have had. Then agents that are started serve the journal again; restart those that had stopped it.\n" +
			"Groups, transactions and the catalog go on as of what is there.",
		Flags: []cli.Flag{
			outputFlag(),
			&cli.StringFlag{Name: "metastore", Usage: "recover the journals at `URL`: " + metastoreURLs},
			&cli.StringFlag{Name: "bucket", Usage: "from the segments at `URL`: " + bucketURLs},
			&cli.BoolFlag{Name: "yes", Usage: "do it; without, only say what would be done"},
		},
		Action: func(ctx *cli.Context) (err error) {
			if err := argumentCount(ctx, 0, 0); err != nil {
				return err
			}
			for _, name := range []string{"bucket", "metastore"} {
				if ctx.String(name) == "" {
					return usagef("--%s is needed", name)
				}
			}
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			m, err := agent.OpenMaintenance(ctx.Context, ctx.String("metastore"), ctx.String("bucket"))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, m.Close()) }()
			return p.recoverMetastore(ctx.Context, m, ctx.Bool("yes"), asJSON)
		},
	}
}

func (p *program) recoverMetastore(ctx context.Context, m *agent.Maintenance, do, asJSON bool) error {
	if _, err := recovery.Check(ctx, m.Store, recovery.Witness(m.Bucket, m.Store)); err != nil {
		return err
	}
	recover := recovery.Plan
	if do {
		recover = recovery.Run
	}
	losses, err := recover(ctx, m.Store, m.Bucket)
	for _, l := range losses {
		line := lossOf(l, do)
		if asJSON {
			err = errors.Join(err, printJSON(p.stdout, line))
		} else {
			p.printLoss(line)
		}
	}
	if err != nil || asJSON {
		return err
	}
	switch {
	case len(losses) == 0:
		_, err = fmt.Fprintln(p.stdout, "No journal has lost its tail.")
	case do:
		_, err = fmt.Fprintf(p.stdout, "%s recovered. Restart the agents that had stopped them.\n", plural(int64(len(losses)), "journal"))
	default:
		_, err = fmt.Fprintln(p.stdout, "Nothing was changed. To do this, add --yes.")
	}
	return err
}

func lossOf(l recovery.Loss, done bool) lossLine {
	of := func(c recovery.Count) recoveredCount { return recoveredCount{c.Batches, c.Records, c.Bytes} }
	line := lossLine{Journal: l.Journal.String(), Head: uint64(l.Head), Newest: uint64(l.Newest), Segments: []string{}, Jumps: []jumpLine{},
		InPlace: of(l.InPlace), Behind: of(l.Behind), Refused: of(l.Refused), Left: of(l.Left), Done: done}
	for _, s := range l.Segments {
		line.Segments = append(line.Segments, s.Key())
	}
	for _, j := range l.Jumps {
		line.Jumps = append(line.Jumps, jumpLine{j.Partition.Topic, j.Partition.Index, j.From, j.To})
	}
	return line
}

// segmentsShown bounds the keys that are printed of a journal.
const segmentsShown = 10

func (p *program) printLoss(l lossLine) {
	fmt.Fprintf(p.stdout, "%s lost versions %d to %d\n", l.Journal, l.Head+1, l.Newest)
	if len(l.Segments) == 0 {
		fmt.Fprintln(p.stdout, "  no segment holds records that it doesn't have")
	}
	for i, key := range l.Segments {
		if i == segmentsShown {
			fmt.Fprintf(p.stdout, "  and %d more segments\n", len(l.Segments)-i)
			break
		}
		fmt.Fprintf(p.stdout, "  %s holds some of it\n", key)
	}
	for _, part := range []struct {
		words string
		recoveredCount
	}{
		{"at their own offsets", l.InPlace}, {"behind what was lost", l.Behind},
		{"not taken (there already, or out of their producers' order)", l.Refused},
		{"left (of transactions, or of topics that are gone)", l.Left},
	} {
		if part.Batches > 0 {
			fmt.Fprintf(p.stdout, "  %s of %s (%s) %s\n", plural(part.Records, "record"), batches(part.Batches), size(part.Bytes), part.words)
		}
	}
	for _, j := range l.Jumps {
		fmt.Fprintf(p.stdout, "  partition %d of topic %d jumps from offset %d to %d\n", j.Partition, j.Topic, j.From, j.To)
	}
}

func batches(n int64) string {
	if n == 1 {
		return "1 batch"
	}
	return count(n) + " batches"
}
