package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/wadi-io/wadi/bench/fakes3"
	"github.com/wadi-io/wadi/bench/floor"
	"github.com/wadi-io/wadi/bench/workload"
)

// command is one of the program's.
type command struct {
	name, usage string
	run         func(ctx context.Context, arguments []string) error
}

func commands() []command {
	return []command{
		{"run", "measure rows on systems", runCommand},
		{"targets", "print what is met and what is short, and write the page of results", targetsCommand},
		{"compare", "say what became worse between two files of samples", compareCommand},
		{"floor", "be the floor, as a process of its own", floorCommand},
		{"fakes3", "be the fake S3, as a process of its own", fakeS3Command},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 {
		for _, c := range commands() {
			if c.name != os.Args[1] {
				continue
			}
			if err := c.run(ctx, os.Args[2:]); err != nil && !errors.Is(err, flag.ErrHelp) {
				fmt.Fprintf(os.Stderr, "bench %s: %v\n", c.name, err)
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: bench COMMAND [OPTION]…")
	for _, c := range commands() {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", c.name, c.usage)
	}
	os.Exit(2)
}

// listen tells on standard output where a child listens, until the context ends.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	fmt.Println(workload.Listening + l.Addr().String())
	context.AfterFunc(ctx, func() { l.Close() })
	return l, nil
}

func floorCommand(ctx context.Context, arguments []string) error {
	cfg := floor.DefaultConfig()
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	address := flags.String("listen", "127.0.0.1:0", "where")
	flags.StringVar(&cfg.Bucket, "bucket", cfg.Bucket, "put segments to http://HOST:PORT/NAME; without, they are dropped")
	flags.DurationVar(&cfg.Linger, "linger", cfg.Linger, "until a segment that isn't full is put")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	s, err := floor.New(cfg)
	if err != nil {
		return err
	}
	l, err := listen(ctx, *address)
	if err != nil {
		return err
	}
	return s.Run(l)
}

func fakeS3Command(ctx context.Context, arguments []string) error {
	cfg := fakes3.DefaultConfig()
	flags := flag.NewFlagSet("fakes3", flag.ContinueOnError)
	address := flags.String("listen", "127.0.0.1:0", "where")
	profile := flags.String("profile", "zero", "of latencies: zero, express, standard")
	flags.Int64Var(&cfg.KeepBytes, "keep", cfg.KeepBytes, "bytes of segments' bodies; older ones are dropped")
	flags.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "of latencies and refusals")
	err := flags.Parse(arguments)
	if err != nil {
		return err
	}
	if cfg.Profile, err = fakes3.ProfileOf(*profile); err != nil {
		return err
	}
	l, err := listen(ctx, *address)
	if err != nil {
		return err
	}
	return fakes3.New(cfg).Serve(l)
}
