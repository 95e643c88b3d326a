// Command replay builds the simulation and runs seeds: those that once found something
// (bench/simulation/seeds.txt), then fresh ones.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/simulation/faketime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	found, err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if found > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (found int, err error) {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	first := flags.Uint64("seed0", 0, "the first fresh seed; 0 draws one")
	count := flags.Int("seeds", 100, "how many fresh seeds")
	kept := flags.String("kept", "", "a file of seeds to run first, one a line")
	limit := flags.Duration("for", 0, "begin no seed after so long; 0: no limit")
	workers := flags.Int("workers", runtime.NumCPU(), "seeds at once")
	twice := flags.Bool("twice", false, "run each seed twice and compare")
	stop := flags.Bool("stop", false, "stop at the first seed that finds something")
	live := flags.Bool("live", false, "print what happens in the seeds as it happens")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	o := faketime.Options{First: *first, Count: *count, For: *limit, Workers: *workers, Twice: *twice, Stop: *stop, Args: flags.Args()}
	if *live {
		o.Live = os.Stderr
	}
	if *kept != "" {
		if o.Seeds, err = readSeeds(*kept); err != nil {
			return 0, err
		}
	}
	dir, err := os.MkdirTemp("", "wadi-simulation")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	if o.Program, err = faketime.Build(ctx, dir); err != nil {
		return 0, err
	}
	fmt.Printf("built in %.0f s\n", time.Since(began).Seconds())
	_, found, err = faketime.Run(ctx, o, os.Stdout)
	return found, err
}

// readSeeds reads the first word of each line, but for comments.
func readSeeds(path string) ([]uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var seeds []uint64
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		n, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no seed", path, words[0])
		}
		seeds = append(seeds, n)
	}
	return seeds, lines.Err()
}
