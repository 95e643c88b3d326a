// Command seed simulates one seed and tells what came of it. It is built for
// wasip1 and run by bench/simulation/replay, which gives it its time and its
// randomness: only there it replays, and only there an hour passes in seconds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/wadi-io/wadi/bench/simulation"
)

func main() {
	number := flag.Uint64("seed", 1, "what to simulate")
	length := flag.Duration("length", time.Minute, "the simulated time in which clients write")
	story := flag.Bool("story", false, "tell what happened even if it is clean")
	flag.Parse()
	cfg := simulation.NewConfig(*number)
	cfg.Length = *length
	cfg.Live = os.Stderr
	result, err := simulation.Run(context.Background(), cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Println(result.Line())
	if *story || !result.Clean() {
		if err := result.Tell(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if !result.Clean() {
		os.Exit(1)
	}
}
