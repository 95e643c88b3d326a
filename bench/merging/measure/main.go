// Command measure measures what merging saves, what merged history costs to read, and what the archive costs: see the README one folder up.
//
//	measure day [-segments N] [-partitions N] [-batches N] [-bytes N]
//	measure replay [-mib N] [-partitions N]
//	measure beside [-wadi BINARY] [-mib N] [-turns N] [-turn TIME] [-every TIME]
//	measure archive [-file ARRAY.json.gz] [-mib N] [-rounds N] [-join N]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

// archiveFile is real data.
const archiveFile = "cmd/wadi/clients/testdata/flights-20k.json.gz"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	what := "help"
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet(what, flag.ContinueOnError)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch what {
	case "day":
		d := day{}
		flags.IntVar(&d.segments, "segments", 100_000, "flushes of the day")
		partitions, batches := flags.Int("partitions", 16, "partitions of the topic"), flags.Int("batches", 4, "partitions in each flush")
		flags.IntVar(&d.valueBytes, "bytes", 1000, "of a record's value, about")
		if err := flags.Parse(args); err != nil {
			return err
		}
		if d.partitions, d.perFlush = int32(*partitions), int32(*batches); d.segments < 1 || d.perFlush < 1 || d.perFlush > d.partitions || d.valueBytes < 2 {
			return fmt.Errorf("at least a flush, and no more batches in it than partitions")
		}
		without, err := d.run(ctx, false)
		if err != nil {
			return err
		}
		with, err := d.run(ctx, true)
		if err != nil {
			return err
		}
		if without.records != with.records || without.replayed != with.replayed {
			return fmt.Errorf("%d records of %d bytes are read without merging, %d of %d with", without.records, without.replayed, with.records, with.replayed)
		}
		d.print(os.Stdout, without, with)
		return nil
	case "replay":
		mib := flags.Int64("mib", 2048, "of values")
		partitions := flags.Int("partitions", 1, "that have them")
		if err := flags.Parse(args); err != nil {
			return err
		}
		if *partitions < 1 || *partitions > replayPartitionsMax {
			return fmt.Errorf("1 to %d partitions", replayPartitionsMax)
		}
		return replaying{bytes: *mib << 20, partitions: int32(*partitions)}.run(ctx, os.Stdout)
	case "beside":
		s := besides{archiving: archiving{join: 14}}
		flags.StringVar(&s.file, "file", archiveFile, "a JSON array in gzip, 14 elements of it a record")
		flags.StringVar(&s.wadi, "wadi", ".cache/wadi", "the wadi binary")
		mib := flags.Float64("mib", 4, "of values that are produced a second")
		flags.IntVar(&s.turns, "turns", 4, "turns with the archive on, and as many with it off")
		flags.DurationVar(&s.turn, "turn", 15*time.Second, "how long a turn takes")
		flags.DurationVar(&s.every, "every", 5*time.Second, "how often each partition is archived")
		if err := flags.Parse(args); err != nil {
			return err
		}
		if s.rate = *mib * (1 << 20); s.rate <= 0 || s.turns < 1 || s.turn <= 2*besideSettle || s.every < time.Second || s.every > s.turn/2 {
			return fmt.Errorf("a rate, a turn of each kind, more than %v for it, and a job in it each second to twice a turn", 2*besideSettle)
		}
		return s.run(ctx, os.Stdout)
	case "archive":
		a := archiving{}
		flags.StringVar(&a.file, "file", archiveFile, "a JSON array in gzip, each element a record")
		flags.StringVar(&a.profile, "profile", "", "write profiles of the archive's CPU time to files of this name, with the round's number behind it")
		flags.IntVar(&a.rounds, "rounds", 4, "times that the archive, and then its encoder alone, do it")
		mib := flags.Int64("mib", 192, "of values, each round; the elements are repeated")
		flags.IntVar(&a.join, "join", 1, "each record is an array of so many elements, unless 1")
		if err := flags.Parse(args); err != nil {
			return err
		}
		if a.bytes = *mib << 20; a.join < 1 || a.join > archiveJoinMax || a.rounds < 1 {
			return fmt.Errorf("at least a round, and 1 to %d elements a record", archiveJoinMax)
		}
		return a.run(ctx, os.Stdout)
	}
	return fmt.Errorf("usage: measure day|archive|replay|beside -help")
}
