package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/bucket"
)

const (
	demoSecondsWatched   = 15 * time.Second // the stream's length on a terminal
	demoSecondsUnwatched = 3 * time.Second
	// demoStepMax bounds each step that should take a moment: the agent's start,
	// the last records' way to the reader, a replay.
	demoStepMax = time.Minute
)

func (p *program) demoCommand() *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "watch an agent take, keep and replay real records (20 seconds)",
		Description: "Runs an agent in a temporary folder on free ports of this machine, streams two small\npublic data sets through it, replays them and compares. Leaves nothing behind.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "stream-for", Usage: "stretch the stream over `TIME` (default: 15s on a terminal, else 3s)"},
			&cli.StringFlag{Name: flagDir, Usage: "use the folder `DIR` and keep it (default: a temporary one)"},
		},
		Action: p.demo,
	}
}

// demo is one run; its stages follow one another in run.
type demo struct {
	p       *program
	sets    []dataset
	state   *demoState
	screen  *screen
	kafka   string // the agent's address
	bucket  bucket.Bucket
	length  time.Duration
	began   time.Time
	folder  string
	replays []string // what the replays found, for the end
}

func (p *program) demo(ctx *cli.Context) (err error) {
	if err := argumentCount(ctx, 0, 0); err != nil {
		return err
	}
	sets, err := datasets()
	if err != nil {
		return err
	}
	d := &demo{p: p, sets: sets, length: ctx.Duration("stream-for"), began: time.Now(), folder: ctx.String(flagDir)}
	live := p.terminal(p.stdout)
	d.screen = &screen{w: p.stdout, live: live, sets: sets}
	if d.length <= 0 {
		d.length = demoSecondsUnwatched
		if live {
			d.length = demoSecondsWatched
		}
	}
	if d.folder == "" {
		if d.folder, err = os.MkdirTemp("", "wadi-demo-"); err != nil {
			return fmt.Errorf("make a temporary folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.folder)) }()
	}
	err = d.withAgent(ctx.Context)
	if err != nil && ctx.Context.Err() != nil {
		return errors.New("the demo was stopped")
	}
	if err != nil {
		return err
	}
	return d.next(ctx.String(flagDir) != "")
}

// withAgent runs the demo's stages beside an agent, which it stops afterwards.
func (d *demo) withAgent(ctx context.Context) error {
	config, err := inFolder(agent.Default(), d.folder)
	if err != nil {
		return err
	}
	// What goes wrong comes back as an error; the screen is no place for a log.
	config.Kafka, config.HTTP, config.Version = "127.0.0.1:0", "", version
	config.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	a, err := agent.New(config)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(running)
	group.Go(func() error { return a.Run(running) })
	group.Go(func() error {
		defer stop()
		select {
		case <-a.Ready():
		case <-running.Done():
			return running.Err()
		case <-time.After(demoStepMax):
			return errors.New("the agent did not start in a minute")
		}
		d.kafka = a.KafkaAddr()
		return d.run(running)
	})
	return group.Wait()
}

// run is the demo, once the agent takes requests.
func (d *demo) run(ctx context.Context) (err error) {
	url, _, err := folderURLs(d.folder)
	if err != nil {
		return err
	}
	var closer io.Closer
	if d.bucket, closer, err = bucket.Open(ctx, url); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()

	fmt.Fprintf(d.p.stdout, "An agent speaks Kafka on %s and keeps everything in %s\n", d.kafka, d.folder)
	for _, set := range d.sets {
		fmt.Fprintf(d.p.stdout, "  %-13s %s: %s (%s)\n", set.topic, plural(int64(len(set.records)), "record"), set.what, set.source)
	}
	fmt.Fprintln(d.p.stdout)
	if err := d.createTopics(ctx); err != nil {
		return err
	}
	if err := d.stream(ctx); err != nil {
		return err
	}
	return d.replay(ctx)
}

func (d *demo) createTopics(ctx context.Context) error {
	client, err := dial(ctx, []string{d.kafka})
	if err != nil {
		return err
	}
	defer client.Close()
	for _, set := range d.sets {
		// The records are years old, and are to stay.
		configs := map[string]*string{"retention.ms": kadm.StringPtr("-1")}
		if _, err := kadm.NewClient(client).CreateTopic(ctx, set.partitions, 1, configs, set.topic); err != nil {
			return fmt.Errorf("create the topic %s: %w", set.topic, err)
		}
	}
	return nil
}

// stream sends the data sets, by a reader's side, while the screen shows both.
func (d *demo) stream(ctx context.Context) error {
	d.state = newDemoState(d.sets)
	working, done := context.WithCancel(ctx)
	defer done()
	group, working := errgroup.WithContext(working)
	finished := make(chan struct{})
	group.Go(func() error {
		defer close(finished)
		streaming, streamCtx := errgroup.WithContext(working)
		streaming.Go(func() error { return d.send(streamCtx) })
		streaming.Go(func() error {
			return d.readAll(streamCtx, time.Time{}, d.length+demoStepMax, d.state.reads)
		})
		return streaming.Wait()
	})
	group.Go(func() error {
		ticker := time.NewTicker(d.screen.every())
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-finished:
			}
			if err := d.lookIntoBucket(working); err != nil && working.Err() == nil {
				return err
			}
			d.screen.draw(d.state)
			select {
			case <-finished:
				return nil
			default:
			}
		}
	})
	return group.Wait()
}

// lookIntoBucket counts the segments as anyone could who reads the folder.
func (d *demo) lookIntoBucket(ctx context.Context) error {
	var segments, bytes int64
	newest := ""
	for object, err := range bucket.All(ctx, d.bucket, segmentPrefix) {
		if err != nil {
			return fmt.Errorf("list the bucket: %w", err)
		}
		segments, bytes, newest = segments+1, bytes+object.Size, object.Key
	}
	d.state.bucket(segments, bytes, newest)
	return nil
}

// send produces both data sets, spread evenly over the stream's length.
func (d *demo) send(ctx context.Context) error {
	client, err := dial(ctx, []string{d.kafka}, kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	began, sent := time.Now(), make([]int, len(d.sets))
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for left := d.state.total; left > 0; {
		progress := min(float64(time.Since(began))/float64(d.length), 1)
		for i, set := range d.sets {
			for ; sent[i] < int(progress*float64(len(set.records))); sent[i]++ {
				d.produce(sending, client, set, sent[i], stop)
				left--
			}
		}
		select {
		case <-ticker.C:
		case <-sending.Done():
			return context.Cause(sending)
		}
	}
	if err := client.Flush(sending); err != nil {
		return context.Cause(sending)
	}
	return nil
}

func (d *demo) produce(ctx context.Context, client *kgo.Client, set dataset, i int, stop context.CancelCauseFunc) {
	r, sent := set.records[i], time.Now()
	client.Produce(ctx, &kgo.Record{Topic: set.topic, Key: []byte(r.key), Value: r.value, Timestamp: r.at}, func(r *kgo.Record, err error) {
		if err != nil {
			stop(fmt.Errorf("produce to %s: %w", set.topic, err))
			return
		}
		d.state.acknowledge(r.Topic, r.Partition, r.Offset, time.Since(sent))
	})
}

// readAll reads the topics from a time on until it has had every record of the
// files since then, each key's in order. The zero time is the beginning.
func (d *demo) readAll(ctx context.Context, since time.Time, limit time.Duration, each func(topic string, partition int32, offset int64, value []byte)) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	checks := map[string]*check{}
	var topics []string
	for _, set := range d.sets {
		checks[set.topic] = set.check(since)
		topics = append(topics, set.topic)
	}
	from := kgo.NewOffset().AtStart()
	if !since.IsZero() {
		from = kgo.NewOffset().AfterMilli(since.UnixMilli())
	}
	client, err := dial(limited, []string{d.kafka}, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(from))
	if err != nil {
		return err
	}
	defer client.Close()
	for missing := int64(1); missing > 0; {
		fetches := client.PollFetches(limited)
		if limited.Err() != nil && ctx.Err() == nil {
			return fmt.Errorf("%s did not come back in %s", plural(missing, "record"), limit)
		}
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		for _, r := range fetches.Records() {
			if err := checks[r.Topic].next(string(r.Key), r.Value); err != nil {
				return fmt.Errorf("read back %s, partition %d, offset %d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			each(r.Topic, r.Partition, r.Offset, r.Value)
		}
		missing = 0
		for _, c := range checks {
			missing += c.missing()
		}
	}
	return nil
}

// replay reads everything again, then what came since a time, and compares.
func (d *demo) replay(ctx context.Context) error {
	last := d.sets[0].records[len(d.sets[0].records)-1].at
	since := last.Add(-24 * time.Hour).Truncate(24 * time.Hour)
	for _, run := range []struct {
		since time.Time
		what  string
	}{
		{time.Time{}, "Replay from the beginning"},
		{since, "Replay from " + since.Format(time.DateOnly)},
	} {
		var records int64
		keys := map[string]bool{}
		for _, set := range d.sets {
			for _, r := range set.records {
				if !r.at.Before(run.since) {
					keys[set.topic+"/"+r.key] = true
				}
			}
		}
		began := time.Now()
		err := d.readAll(ctx, run.since, demoStepMax, func(string, int32, int64, []byte) { records++ })
		if err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(run.what[:1])+run.what[1:], err)
		}
		d.replays = append(d.replays, fmt.Sprintf("%s: %s in %s, %s; each key's values and order are the file's.",
			run.what, plural(records, "record"), time.Since(began).Round(time.Millisecond), plural(int64(len(keys)), "key")))
	}
	return nil
}

// next says what was seen and what to type now.
func (d *demo) next(kept bool) error {
	d.state.mu.Lock()
	segments, bytes := d.state.mu.segments, d.state.mu.bytes
	d.state.mu.Unlock()
	fate := "which is gone now"
	if kept {
		fate = "which is kept"
	}
	wadi := commandName(os.Args[0])
	dir := ""
	if kept {
		dir = " --dir " + d.folder
	}
	_, err := fmt.Fprintf(d.p.stdout, `
%s
The records lay in %s (%s) in a folder, %s, their order in a small database beside them.
It took %s.

Next, an agent to keep:
  %s dev%s
and in another terminal:
  echo 'hello=wadi' | %s produce greetings --key-separator =
  %s consume greetings --until-end --format '%%t/%%p @ %%o: %%k %%v\n'
  %s segments list%s
Any Kafka client works too: bootstrap server %s.
`, strings.Join(d.replays, "\n"), plural(segments, "segment"), size(bytes), fate, time.Since(d.began).Round(100*time.Millisecond),
		wadi, dir, wadi, wadi, wadi, dir, defaultKafka)
	return err
}

// commandName is what to type for this program again.
func commandName(arg0 string) string {
	if strings.Contains(filepath.ToSlash(arg0), "/go-build") {
		return "go run ./cmd/wadi"
	}
	return arg0
}
