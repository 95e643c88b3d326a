package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// besides measures what the archive does to those who produce meanwhile: one agent takes records at a steady rate,
// and the topic's archive is on and off by turns.
type besides struct {
	archiving         // the records
	wadi      string  // the binary
	rate      float64 // bytes of values a second
	turns     int     // of each kind
	turn      time.Duration
	every     time.Duration // the topic's wadi.archive.interval.ms
}

const (
	besideTopic      = "beside"
	besidePartitions = 4
	besideTick       = 10 * time.Millisecond
	besideSettle     = 2 * time.Second // of a turn, which count for none: configs spread, the last turn's jobs end
	besideReadyMax   = 30 * time.Second
)

// dev starts an agent of its own and returns where it is.
func (s besides) dev(ctx context.Context) (kafka, metrics string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "wadi-beside-")
	if err != nil {
		return "", "", nil, err
	}
	// The agent tells where it takes records, and of HTTP only what it was told.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	metrics = l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, s.wadi, "dev", "--dir", dir, "--kafka", "127.0.0.1:0", "--http", metrics,
		"--config", "log.retention.check.interval.ms=1000") // so often it looks for what is to be archived
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	stop = func() { cancel(); cmd.Wait(); os.RemoveAll(dir) }
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return "", "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	timer := time.AfterFunc(besideReadyMax, cancel)
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var line struct{ Msg, Kafka string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			go io.Copy(io.Discard, out)
			return line.Kafka, metrics, stop, nil
		}
	}
	stop()
	return "", "", nil, fmt.Errorf("%s dev has not become ready", s.wadi)
}

// archivedRows is how many records the agent has archived.
func archivedRows(metrics string) (rows float64, err error) {
	r, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "wadi_archive_rows_total "); ok {
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, errors.New("the agent doesn't say how many records it has archived")
}

func (s besides) run(ctx context.Context, out io.Writer) error {
	lines, err := s.lines()
	if err != nil {
		return err
	}
	kafka, metrics, stop, err := s.dev(ctx)
	if err != nil {
		return err
	}
	defer stop()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka), kgo.DefaultProduceTopic(besideTopic), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	every, value := strconv.FormatInt(s.every.Milliseconds(), 10), "json"
	if _, err := admin.CreateTopic(ctx, besidePartitions, 1, map[string]*string{"wadi.archive.interval.ms": &every, "wadi.archive.value": &value}, besideTopic); err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	rows := map[string]float64{}
	next := 0
	for turn := range 2 * s.turns {
		on := []string{"none", "parquet"}[turn%2]
		answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "wadi.archive", Value: &on}}, besideTopic)
		if err == nil {
			_, err = answers.On(besideTopic, nil)
		}
		if err != nil {
			return err
		}
		before, err := archivedRows(metrics)
		if err != nil {
			return err
		}
		some, err := s.produce(ctx, client, lines, &next)
		if err != nil {
			return err
		}
		after, err := archivedRows(metrics)
		if err != nil {
			return err
		}
		took[on] = append(took[on], some...)
		rows[on] += after - before
	}
	if rows["parquet"] == 0 {
		return errors.New("nothing was archived in the turns that are to show what it costs")
	}
	fmt.Fprintf(out, "%.1f MiB/s produced in %d turns of %v of each kind, archived each %v: %.0f records when on, %.0f in turns when off\n", s.rate/(1<<20), s.turns, s.turn, s.every, rows["parquet"], rows["none"])
	for _, kind := range []string{"none", "parquet"} {
		slices.Sort(took[kind])
		fmt.Fprintf(out, "wadi.archive=%s: produce p50 %v, p99 %v, of %d records looked at\n", kind, at(took[kind], 0.5), at(took[kind], 0.99), len(took[kind]))
	}
	fmt.Fprintf(out, "p99 with it is %.2f times that without\n", at(took["parquet"], 0.99).Seconds()/at(took["none"], 0.99).Seconds())
	return nil
}

func at(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// produce sends records for a turn and returns how long some of them took: of each tick the first one.
func (s besides) produce(ctx context.Context, client *kgo.Client, lines [][]byte, next *int) ([]time.Duration, error) {
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	tick := time.NewTicker(besideTick)
	defer tick.Stop()
	begin := time.Now()
	sent := 0.0
	for time.Since(begin) < s.turn {
		counts := time.Since(begin) > besideSettle
		for first := true; sent < s.rate*time.Since(begin).Seconds(); first = false {
			value := lines[*next%len(lines)]
			*next++
			sent += float64(len(value))
			at := time.Now()
			client.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = errors.Join(failed, err)
				} else if first && counts {
					took = append(took, time.Since(at))
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	err := client.Flush(ctx)
	mu.Lock()
	defer mu.Unlock()
	return took, errors.Join(err, failed)
}
