package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
)

// compareCommand prints what became worse: a median beyond the other's range and by more than a share.
func compareCommand(_ context.Context, arguments []string) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	by := flags.Float64("by", 0.10, "what differs by less than this share is not told")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("usage: bench compare [-by SHARE] BEFORE.json AFTER.json")
	}
	before, err := readSamples(flags.Arg(0))
	if err != nil {
		return err
	}
	after, err := readSamples(flags.Arg(1))
	if err != nil {
		return err
	}
	worse := compare(before, after, *by)
	if worse > 0 {
		return fmt.Errorf("%d figures became worse", worse)
	}
	return nil
}

// compare prints what differs and returns how many figures became worse.
func compare(before, after kept, by float64) (worse int) {
	fmt.Printf("before: %s, %s\nafter:  %s, %s\n", before.Commit, before.Machine, after.Commit, after.Machine)
	for _, old := range groups(before.Samples) {
		for _, g := range groups(after.Samples) {
			if g.row != old.row || g.system != old.system {
				continue
			}
			for _, f := range figuresTable() {
				was, is := old.series(f), g.series(f)
				if len(was) == 0 || len(is) == 0 || was.Median() == 0 {
					continue
				}
				least, most := was.Range()
				median := is.Median()
				change := median/was.Median() - 1
				if median >= least && median <= most || change > -by && change < by {
					continue
				}
				verdict := "better"
				if change*float64(f.worse) > 0 {
					verdict = "WORSE"
					worse++
				}
				fmt.Printf("%-6s %s on %s: %s %.*f → %.*f (%+.0f %%)\n", verdict, g.row, g.system, f.name, f.digits, was.Median(), f.digits, median, 100*change)
			}
		}
	}
	return worse
}
