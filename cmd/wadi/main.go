package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel() // the first one drains
		<-signals
		os.Exit(exitFailure) // the second one is an impatient person
	}()
	os.Exit(standard().run(ctx, os.Args))
}
