// Command up runs a cluster on this machine for a person to try: Postgres, an S3
// server or a folder, and three agents in three zones. It ends with Ctrl-C, and
// with it everything that it started; nothing is kept. For a program it tells its
// agents as a line of JSON, does what standard input says (orders.go), and ends with it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wadi-io/wadi/bench/cluster"
)

// startMax bounds the start of everything; the servers may have to be fetched first.
const startMax = 5 * time.Minute

func main() {
	program := flag.String("wadi", "./wadi", "the wadi binary")
	bucket := flag.String("bucket", cluster.Folder, "moto, minio, gcs or folder; all but the last are fetched or built once")
	agents := flag.Int("agents", 3, "how many")
	kafka := flag.Int("kafka", 9092, "the first agent's port for clients; the others follow; 0: any")
	http := flag.Int("http", 9190, "the first agent's port for metrics; the others follow; 0: any")
	forProgram := flag.Bool("json", false, "tell the agents as a line of JSON, take orders from standard input, end with it")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: up [OPTION]… [-- ARGUMENT…], the arguments are more of each agent")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := cluster.Config{Agents: *agents, Bucket: *bucket, KafkaPort: *kafka, HTTPPort: *http, Arguments: flag.Args()}
	if err := run(ctx, *program, cfg, *forProgram); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program string, cfg cluster.Config, forProgram bool) (err error) {
	if cfg.Program, err = filepath.Abs(program); err != nil {
		return err
	}
	if _, err := exec.LookPath(cfg.Program); err != nil {
		return fmt.Errorf("build it with make build: %w", err)
	}
	if cfg.Folder, err = os.MkdirTemp("", "wadi-cluster-"); err != nil {
		return err
	}
	defer os.RemoveAll(cfg.Folder)
	starting, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	c, err := cluster.Start(starting, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	var brokers []string
	for _, a := range c.Agents {
		brokers = append(brokers, a.Kafka)
		if err := a.Start(); err != nil {
			return err
		}
		if err := a.AwaitReady(starting); err != nil {
			return err
		}
	}
	if forProgram {
		if err := tellProgram(c); err != nil {
			return err
		}
		ended := make(chan struct{})
		go func() { // It ends with the process at the latest.
			defer close(ended)
			obey(ctx, c, os.Stdin, os.Stdout)
		}()
		select {
		case <-ended:
		case <-ctx.Done():
		}
		return nil
	}
	tell(c, cfg, program, strings.Join(brokers, ","))
	<-ctx.Done()
	fmt.Println("stopping")
	return nil
}

// told is an agent, as a program is told of it.
type told struct{ Name, Zone, Kafka, HTTP, Log string }

func tellProgram(c *cluster.Cluster) error {
	var all []told
	for _, a := range c.Agents {
		all = append(all, told{a.Name, a.Zone, a.Kafka, a.HTTP, a.LogFile()})
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// tell prints what to type.
func tell(c *cluster.Cluster, cfg cluster.Config, program, brokers string) {
	for _, a := range c.Agents {
		fmt.Printf("%s  zone %s  Kafka at %s  metrics at http://%s/metrics  log in %s\n", a.Name, a.Zone, a.Kafka, a.HTTP, a.LogFile())
	}
	fmt.Printf("Postgres  %s\nbucket    %s\n\n", c.Metastore, c.Bucket)
	fmt.Printf("In another terminal (or with any Kafka client):\n\n")
	fmt.Printf("  export WADI_KAFKA=%s\n", brokers)
	for _, line := range []string{
		"topics create first --partitions 6", "produce first", "consume first", "consume first --group readers", "topics describe first", "groups list",
	} {
		fmt.Printf("  %s %s\n", program, line)
	}
	fmt.Printf("\nEnd an agent and see that nothing is lost: kill -9 %d\nCtrl-C stops everything and removes %s.\n", c.Agents[0].PID(), cfg.Folder)
}
