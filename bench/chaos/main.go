package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wadi-io/wadi/agent/bucket/buckettest"
	"github.com/wadi-io/wadi/bench/cluster"
)

// settings are what the flags say.
type settings struct {
	program   string
	workload  string
	folder    string
	duration  time.Duration
	window    time.Duration
	seed      uint64
	agents    int
	read      string
	producers string
	histories []string // of the producers
	faults    string
	bucket    string
	rate      int
	arguments string
	debug     string
	auditMax  int
}

func main() {
	var s settings
	flag.StringVar(&s.program, "wadi", "", "the wadi binary")
	flag.StringVar(&s.workload, "workload", "", "the binary of cmd/wadi/clients/workload")
	flag.StringVar(&s.folder, "folder", "", "keep logs and histories here (default: a temporary folder, removed after a clean run)")
	flag.DurationVar(&s.duration, "duration", 5*time.Minute, "of the faults")
	flag.DurationVar(&s.window, "window", 30*time.Second, "how long a mix of faults lasts")
	flag.Uint64Var(&s.seed, "seed", 0, "repeat the choices of a run; 0: draw a seed")
	flag.IntVar(&s.agents, "agents", 3, "how many")
	flag.StringVar(&s.read, "read", "assign", "assign, subscribe: as members of groups, or both")
	flag.StringVar(&s.producers, "producers", strictHistory+","+plainHistory, "a list of idempotent, plain and transactional")
	flag.StringVar(&s.faults, "faults", "mix", "mix, rolling, or a list of kinds and of agents, clients, peers, postgres, bucket, none")
	flag.StringVar(&s.bucket, "bucket", cluster.Moto, "moto, minio or folder")
	flag.IntVar(&s.rate, "rate", 25, "sends a second of each producer; there are four of a sort")
	flag.StringVar(&s.arguments, "agent-arguments", "", "more of each agent, separated by spaces")
	flag.StringVar(&s.debug, "debug", "", "let librdkafka log these contexts (cgrp,topic,fetch,…)")
	flag.IntVar(&s.auditMax, "audit-segments", 0, "how many segments the audit reads, drawn from all that were not merged; 0: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func (s settings) run(ctx context.Context) error {
	faults, err := s.schedule() // drawn once there is a seed
	if err != nil {
		return err
	}
	if s.read != "assign" && s.read != "subscribe" && s.read != readBoth {
		return fmt.Errorf("read by %q: none of assign, subscribe and %s", s.read, readBoth)
	}
	if s.histories, err = parseProducers(s.producers); err != nil {
		return err
	}
	if s.program == "" || s.workload == "" {
		return errors.New("name the binaries by -wadi and -workload, or use make chaos")
	}
	for _, path := range []*string{&s.program, &s.workload} { // agents run in folders of their own
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if s.seed == 0 {
		s.seed = rand.Uint64N(1 << 32)
	}
	temporary := s.folder == ""
	if temporary {
		if s.folder, err = os.MkdirTemp("", "wadi-chaos-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return err
	}
	for name, value := range buckettest.Keys() { // this process reads the bucket too
		if value == "" {
			os.Unsetenv(name)
		} else {
			os.Setenv(name, value)
		}
	}
	fmt.Printf("seed %d: %d agents, %v of %s in windows of %v, %s producers, read by %s, bucket on %s; %s\n",
		s.seed, s.agents, s.duration, s.faults, s.window, s.producers, s.read, s.bucket, s.folder)
	r := &run{settings: s}
	if err := r.all(ctx, faults()); err != nil {
		return err
	}
	if found := r.findings(); len(found) > 0 {
		return fmt.Errorf("seed %d: %d findings, see above and %s:\n  %s", s.seed, len(found), s.folder, strings.Join(found, "\n  "))
	}
	fmt.Printf("seed %d: clean\n", s.seed)
	if temporary {
		return os.RemoveAll(s.folder)
	}
	return nil
}

// schedule reads which faults are wanted, and returns what draws them.
func (s *settings) schedule() (func() []fault, error) {
	if s.faults == rolling {
		return func() []fault { return rollingSchedule(s.seed, s.duration, s.agents) }, nil
	}
	from, err := parseFaults(s.faults)
	if err != nil {
		return nil, err
	}
	return func() []fault { return schedule(s.seed, s.duration, s.window, s.agents, from) }, nil
}

// Bounds of a run's parts.
const (
	startMax    = 90 * time.Second // of the cluster
	recoverMax  = 45 * time.Second // from the heal until all agents serve
	settleMax   = 60 * time.Second // from the last send until all outcomes are known
	groupsMax   = 60 * time.Second // until the groups have read and committed everything
	readMax     = 5 * time.Minute  // of a history's topics, through one agent
	farewellMax = 20 * time.Second // of an agent that is asked to stop
	calmAfter   = 8 * time.Second  // of sending, after the heal
)

// all is one run, from an empty folder to the verdict.
func (r *run) all(ctx context.Context, faults []fault) error {
	starting, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	c, err := cluster.Start(starting, cluster.Config{
		Program: r.program, Folder: r.folder, Agents: r.agents, Bucket: r.bucket, Standby: true, Links: true, Seed: r.seed, Arguments: strings.Fields(r.arguments),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	r.cluster = c
	for _, a := range c.Agents {
		if err := a.Start(); err != nil {
			return err
		}
	}
	for _, a := range c.Agents {
		if err := a.AwaitReady(starting); err != nil {
			return err
		}
	}
	r.since = time.Now()
	log, err := os.Create(filepath.Join(r.folder, "faults.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	r.faultLog = log
	if err := r.startWorkloads(); err != nil {
		return err
	}
	defer r.killWorkloads()
	n := newNemesis(r)
	n.unleash(ctx, faults, r.duration)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.afterHeal(ctx, n)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.judge()
	r.tell(n)
	r.audit(ctx)
	r.readLogs()
	return nil
}

// afterHeal brings everything to rest and reads it.
func (r *run) afterHeal(ctx context.Context, n *nemesis) {
	defer n.stop()
	healed := time.Now()
	waiting, cancel := context.WithTimeout(ctx, recoverMax)
	for _, a := range r.cluster.Agents {
		err := a.AwaitReady(waiting)
		for err != nil && sleepUntil(waiting, time.Now().Add(restartPause)) { // The supervisor starts it.
			err = a.AwaitReady(waiting)
		}
		if err != nil {
			r.found("%s doesn't serve %v after the heal: %v", a.Name, recoverMax, err)
		}
	}
	cancel()
	r.note("all agents serve %v after the heal", time.Since(healed).Round(time.Millisecond))
	select {
	case <-ctx.Done():
		return
	case <-time.After(calmAfter):
	}
	r.quietWorkloads(settleMax)
	if slices.ContainsFunc(r.workloads, func(w *workload) bool { return w.grouped }) {
		r.awaitGroups(ctx, groupsMax)
	}
	r.readAll(ctx)
	r.endWorkloads(settleMax)
	r.look() // a last time, without clients
	n.stop()
	for _, a := range r.cluster.Agents {
		if !a.Stop(farewellMax) {
			r.found("%s didn't stop within %v of SIGTERM", a.Name, farewellMax)
		}
	}
}
