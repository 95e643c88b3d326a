package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (p *program) topicsAddPartitionsCommand() *cli.Command {
	return &cli.Command{
		Name: "add-partitions", Usage: "give topics more partitions", ArgsUsage: "TOPIC...",
		Description: "Records stay in the partitions that they are in; a producer sends a key to another partition\nonce there are more. A topic never has fewer.",
		Flags: clientFlags(
			&cli.IntFlag{Name: "partitions", Usage: "give each `N` partitions in all"},
			&cli.IntFlag{Name: "add", Usage: "give each `N` partitions more than it has"},
			dryRunFlag(),
		),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, -1); err != nil {
				return err
			}
			total, more := ctx.Int("partitions"), ctx.Int("add")
			if ctx.IsSet("partitions") == ctx.IsSet("add") || total < 0 || more < 0 || total+more == 0 {
				return usagef("say how many: either --partitions N in all, or --add N more")
			}
			admin, timed, done, err := connectAdmin(ctx)
			if err != nil {
				return err
			}
			defer done()
			count, told := total, fmt.Sprintf("to %s", plural(int64(total), "partition"))
			change := admin.UpdatePartitions
			if ctx.Bool(flagDryRun) {
				change = admin.ValidateUpdatePartitions
			}
			if more > 0 {
				count, told = more, fmt.Sprintf("by %s", plural(int64(more), "partition"))
				change = admin.CreatePartitions
				if ctx.Bool(flagDryRun) {
					change = admin.ValidateCreatePartitions
				}
			}
			verb := "grown"
			if ctx.Bool(flagDryRun) {
				verb = "would grow"
			}
			answers, err := change(timed, count, distinctArguments(ctx)...)
			if err != nil {
				return fmt.Errorf("add partitions: %w", err)
			}
			return p.eachTopic(ctx, "add partitions to", func(name string) (string, error) {
				answer, ok := answers[name]
				if !ok {
					return "", fmt.Errorf("no answer")
				}
				return fmt.Sprintf("%s %s %s", verb, name, told), withMessage(answer.Err, answer.ErrMessage)
			})
		},
	}
}
