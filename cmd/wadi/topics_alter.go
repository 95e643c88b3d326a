package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func (p *program) topicsAlterCommand() *cli.Command {
	return &cli.Command{
		Name: "alter", Usage: "change topics' configs", ArgsUsage: "TOPIC...",
		Flags: clientFlags(
			configTopicFlag(),
			&cli.StringSliceFlag{Name: "unset", Usage: "take back the topic's own value of the config `NAME` (repeatable)"},
			&cli.StringSliceFlag{Name: "append", Usage: "add to a config that is a list, as `NAME=VALUE` (repeatable)"},
			&cli.StringSliceFlag{Name: "subtract", Usage: "take from a config that is a list, as `NAME=VALUE` (repeatable)"},
			dryRunFlag(),
		),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, -1); err != nil {
				return err
			}
			changes, err := configChanges(ctx)
			if err != nil {
				return err
			}
			admin, timed, done, err := connectAdmin(ctx)
			if err != nil {
				return err
			}
			defer done()
			alter, told := admin.AlterTopicConfigs, "altered "
			if ctx.Bool(flagDryRun) {
				alter, told = admin.ValidateAlterTopicConfigs, "would alter "
			}
			answers, err := alter(timed, changes, distinctArguments(ctx)...)
			if err != nil {
				return fmt.Errorf("alter topics: %w", err)
			}
			return p.eachTopic(ctx, "alter", func(name string) (string, error) {
				i := slices.IndexFunc(answers, func(a kadm.AlterConfigsResponse) bool { return a.Name == name })
				if i < 0 {
					return "", fmt.Errorf("no answer")
				}
				return told + name, withMessage(answers[i].Err, answers[i].ErrMessage)
			})
		},
	}
}

const flagDryRun = "dry-run"

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: flagDryRun, Usage: "only say what would become of it"}
}

// configChanges are those that the flags ask for.
func configChanges(ctx *cli.Context) ([]kadm.AlterConfig, error) {
	var changes []kadm.AlterConfig
	for _, f := range []struct {
		flag string
		op   kadm.IncrementalOp
	}{{"topic-config", kadm.SetConfig}, {"append", kadm.AppendConfig}, {"subtract", kadm.SubtractConfig}} {
		pairs, err := configPairs(ctx.StringSlice(f.flag))
		if err != nil {
			return nil, usagef("--%s: %s", f.flag, err)
		}
		for _, name := range slices.Sorted(maps.Keys(pairs)) {
			changes = append(changes, kadm.AlterConfig{Op: f.op, Name: name, Value: kadm.StringPtr(pairs[name])})
		}
	}
	for _, name := range ctx.StringSlice("unset") {
		if name == "" || strings.Contains(name, "=") {
			return nil, usagef("--unset: %q is not a NAME", name)
		}
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
	}
	if len(changes) == 0 {
		return nil, usagef("say what to change: --topic-config NAME=VALUE, --unset NAME, --append or --subtract NAME=VALUE")
	}
	return changes, nil
}

// distinctArguments are the topics on the command line, each once: a resource may
// appear once in a request.
func distinctArguments(ctx *cli.Context) []string {
	names := slices.Sorted(slices.Values(ctx.Args().Slice()))
	return slices.Compact(names)
}

// withMessage adds what an agent said to its error.
func withMessage(err error, message string) error {
	if err != nil && message != "" {
		return fmt.Errorf("%w: %s", err, message)
	}
	return err
}
