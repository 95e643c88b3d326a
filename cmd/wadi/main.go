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
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it is
		signal.Notify(signals, syscall.SIGHUP)
	}
	go obey(signals, cancel, os.Exit)
	os.Exit(standard().run(ctx, os.Args))
}

// obey lets the first signal drain; the second one is an impatient person's.
func obey(signals <-chan os.Signal, drain func(), exit func(code int)) {
	<-signals
	drain()
	<-signals
	exit(exitFailure)
}
