package main

import (
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/bench/history"
)

func (p *program) verifyHistoryCommand() *cli.Command {
	return &cli.Command{
		Name: "verify-history", Usage: "look for what no log may do in what clients did and saw", ArgsUsage: "FILE",
		Description: "FILE is a history as bench/history/FORMAT.md says, of Wadi or any other log. The exit\ncode is 1 if something is found; the events about it are printed.",
		Flags: []cli.Flag{
			outputFlag(),
			&cli.StringSliceFlag{Name: "ignore", Usage: "don't look for this `kind` of anomaly (repeatable)"},
			&cli.StringSliceFlag{Name: "look-for", Usage: "look for this `kind` that a correct log may show too (repeatable)"},
		},
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, 1); err != nil {
				return err
			}
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			ignore, err := kinds(ctx, "ignore")
			if err != nil {
				return err
			}
			lookFor, err := kinds(ctx, "look-for")
			if err != nil {
				return err
			}
			file, err := os.Open(ctx.Args().First())
			if err != nil {
				return err
			}
			defer file.Close()
			return p.verifyHistory(file, ignore, lookFor, asJSON)
		},
	}
}

func kinds(ctx *cli.Context, flag string) ([]history.Kind, error) {
	var list []history.Kind
	for _, name := range ctx.StringSlice(flag) {
		k, err := history.ParseKind(name)
		if err != nil {
			return nil, usagef("--%s: %v", flag, err)
		}
		list = append(list, k)
	}
	return list, nil
}

// verifyHistory reads the file twice if something is found: the second time for
// the events about it.
func (p *program) verifyHistory(file *os.File, ignore, lookFor []history.Kind, asJSON bool) error {
	r, err := history.NewReader(file)
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	r.Header.Ignore = append(r.Header.Ignore, ignore...)
	r.Header.LookFor = append(r.Header.LookFor, lookFor...)
	report, err := history.Check(r.Header, r.Events())
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	if asJSON {
		if err := printJSON(p.stdout, report); err != nil {
			return err
		}
	} else if err := p.tellHistory(file, report); err != nil {
		return err
	}
	if !report.Clean() {
		return fmt.Errorf("the history shows what no log may do, %s", times(report.Found()))
	}
	return nil
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return count(int64(n)) + " times"
}

func (p *program) tellHistory(file *os.File, report *history.Report) error {
	if !report.Clean() {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read the history again: %w", err)
		}
		r, err := history.NewReader(file)
		if err == nil {
			err = report.Tell(p.stdout, r.Events())
		}
		if err != nil {
			return fmt.Errorf("read the history again: %w", err)
		}
	}
	_, err := fmt.Fprintf(p.stdout, "%s, %s: %s sent, %s acknowledged, %s read\n", plural(int64(report.Events), "event"), plural(int64(report.Keys), "key"),
		plural(int64(report.Sent), "value"), count(int64(report.Acked)), count(int64(report.Read)))
	return err
}
