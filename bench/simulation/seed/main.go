// Command seed simulates one seed and tells what came of it. It is built and run by
// bench/simulation/faketime, which gives it its time and its randomness: only so it
// replays, and only so a minute passes in a second.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/wadi-io/wadi/bench/simulation"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// endless is the simulated time after which a seed counts as one that never ends.
const endless = 15 * time.Minute

// run runs the seed that is the first argument: the runtime's randomness comes from it too.
func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: seed NUMBER [flags]")
	}
	number, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return fmt.Errorf("the seed %q is no number", args[0])
	}
	flags := flag.NewFlagSet("seed", flag.ContinueOnError)
	length := flags.Duration("length", time.Minute, "the simulated time in which clients write")
	story := flags.Bool("story", false, "tell what happened even if it is clean")
	allocations := flags.String("allocations", "", "a file for a profile of what is allocated")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *allocations != "" {
		runtime.MemProfileRate = 64 << 10
	}
	cfg := simulation.NewConfig(number)
	cfg.Length = *length
	cfg.Live = os.Stderr
	go func() {
		time.Sleep(endless)
		fmt.Printf("seed %d FOUND that it goes on for %v: the last that happened is in its log\n", number, endless)
		os.Exit(1)
	}()
	result, err := simulation.Run(context.Background(), cfg)
	if err != nil {
		return err
	}
	fmt.Println(result.Line())
	if *story || !result.Clean() {
		if err := result.Tell(os.Stdout); err != nil {
			return err
		}
	}
	if *allocations != "" {
		f, err := os.Create(*allocations)
		if err != nil {
			return err
		}
		if err := pprof.Lookup("allocs").WriteTo(f, 0); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if !result.Clean() {
		os.Exit(1)
	}
	return nil
}
