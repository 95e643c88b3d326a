package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/bench/fakes3"
	"github.com/wadi-io/wadi/bench/load"
	"github.com/wadi-io/wadi/bench/measure"
)

// Sample is what one run of a row on a system came to. All is of the window.
type Sample struct {
	System, Row                         string
	Seconds                             float64
	Broker, Postgres, Bucket, Generator float64 // CPU-seconds
	Foreign                             float64 // share of the machine that others had
	Requests, Records, Bytes            int64   // acknowledged
	FetchRequests, FetchRecords         int64
	FetchBytes                          int64
	P50, P99                            float64 // ms, of produce requests, from when they were due
	EndP50, EndP99                      float64 // ms, from when a batch was due until a tail reader had it
	Puts, Gets, PutBytes                int64
	PutP50, PutP99                      float64            // ms, as the bucket saw them, since the run's begin
	CommitP50                           float64            // ms, from the end of an upload to the answer, as the agent tells
	Appends, Batches, Flushes           float64            // as the agent tells
	LogBytes                            int64              // of Postgres's log (WAL)
	RSS                                 int64              // bytes, at the window's end
	More                                map[string]float64 // what only some rows say, by name
}

// GiB is how many a number of bytes are.
func GiB(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// topics numbers the topics of this process's runs.
type topics struct{ last atomic.Int64 }

// Runner runs rows.
type Runner struct{ topics topics }

func (u *Runner) topic() string { return fmt.Sprintf("bench-%d", u.topics.last.Add(1)) }

// look is what is read at the window's begin and end.
type look struct {
	at                               time.Time
	broker, postgres, bucket, myself time.Duration
	busy                             time.Duration
	written                          *load.Acknowledged
	read                             *load.Received
	asked                            fakes3.Counters
	told                             scrape
	logBytes                         int64
}

// producing is a load of producers that runs.
type producing interface {
	Look() *load.Acknowledged
	Failed() <-chan struct{}
	Stop() error
}

// running is a row under way.
type running struct {
	system    *System
	producers producing
	readers   *load.Readers
	catchup   *load.Readers // beside the row's own
}

func (r *running) look(ctx context.Context) (l look, err error) {
	if l.broker, l.postgres, l.bucket, err = r.system.cpu(); err != nil {
		return l, err
	}
	if l.myself, err = measure.CPU(os.Getpid()); err != nil {
		return l, err
	}
	if l.busy, err = measure.Busy(); err != nil {
		return l, err
	}
	l.written, l.read = &load.Acknowledged{}, &load.Received{}
	if r.producers != nil {
		l.written = r.producers.Look()
	}
	if r.readers != nil {
		l.read = r.readers.Look()
	}
	l.at = time.Now()
	if r.system.Bucket != nil {
		if l.asked, err = r.system.Bucket.Counters(ctx); err != nil {
			return l, err
		}
	}
	if r.system.HTTP != "" {
		if l.told, err = scrapeOf(ctx, r.system.HTTP); err != nil {
			return l, err
		}
	}
	if r.system.database != nil {
		l.logBytes, err = r.system.database.LogBytes(ctx)
	}
	return l, err
}

// failed is closed, or never, when the load failed.
func (r *running) wait(ctx context.Context, d time.Duration) error {
	var producers, readers <-chan struct{}
	if r.producers != nil {
		producers = r.producers.Failed()
	}
	if r.readers != nil {
		readers = r.readers.Failed()
	}
	select {
	case <-time.After(d):
		return nil
	case <-producers:
		return r.producers.Stop()
	case <-readers:
		return r.readers.Stop()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *running) stop() error {
	var errs []error
	if r.producers != nil {
		errs = append(errs, r.producers.Stop())
		r.producers = nil
	}
	if r.readers != nil {
		errs = append(errs, r.readers.Stop())
		r.readers = nil
	}
	if r.catchup != nil {
		errs = append(errs, r.catchup.Stop())
		r.catchup = nil
	}
	return errors.Join(errs...)
}

// Run runs a row once. during is called when the window begins, and waited for; it may be nil.
func (u *Runner) Run(ctx context.Context, s *System, row Row, during func(ctx context.Context)) (sample Sample, err error) {
	switch row.Kind {
	case Scale:
		return u.scale(ctx, s, row)
	case Restart:
		return u.restart(ctx, s, row)
	}
	shape := row.Shape
	shape.Topic = u.topic()
	if !s.Floor {
		if err := load.CreateTopic(ctx, s.Address, shape.Topic, shape.Partitions, s.Replicas); err != nil {
			return sample, err
		}
		defer func() { err = errors.Join(err, load.DeleteTopic(context.WithoutCancel(ctx), s.Address, shape.Topic)) }()
	}
	r := &running{system: s}
	defer func() { err = errors.Join(err, r.stop()) }()
	if row.Kind == Cold || row.Catchup {
		old := u.topic()
		defer func() { err = errors.Join(err, load.DeleteTopic(context.WithoutCancel(ctx), s.Address, old)) }()
		if r.catchup, err = r.startCold(ctx, old); err != nil {
			return sample, err
		}
	}
	if s.Bucket != nil {
		if err := s.Bucket.SetWeather(ctx, row.Profile, 0); err != nil {
			return sample, err
		}
	}
	if row.Kind == Cold {
		r.readers, r.catchup = r.catchup, nil
	} else if err := r.start(ctx, row, shape); err != nil {
		return sample, err
	}
	if err := r.wait(ctx, row.Warm); err != nil {
		return sample, err
	}
	before, err := r.look(ctx)
	if err != nil {
		return sample, err
	}
	observed := make(chan struct{})
	go func() {
		defer close(observed)
		if during != nil {
			during(ctx)
		}
	}()
	if err := r.wait(ctx, row.Window); err != nil {
		<-observed
		return sample, err
	}
	after, err := r.look(ctx)
	<-observed
	if err != nil {
		return sample, err
	}
	sample = between(before, after)
	sample.System, sample.Row = s.Name, row.Name
	for _, pid := range s.PIDs {
		rss, err := measure.RSS(pid)
		if err != nil {
			return sample, err
		}
		sample.RSS += rss
	}
	return sample, nil
}

// reread is how much is written before it is read over and over, of each partition.
const rereadRecords = 4 << 10

// What a system is given before its first run, which isn't counted: until an agent's cache is full
// and its collector's limit has settled, and until a JVM has compiled what is hot.
const (
	warmUpAgentBytes = 3 << 30
	warmUpOtherBytes = 10 << 30
)

// WarmUp loads a system as W1 does, with so many bytes; 0: as many as it needs.
func (u *Runner) WarmUp(ctx context.Context, s *System, bytes int64) (err error) {
	r := &running{system: s}
	defer func() { err = errors.Join(err, r.stop()) }()
	shape := large()
	shape.Topic = u.topic()
	if !s.Floor {
		if err := load.CreateTopic(ctx, s.Address, shape.Topic, shape.Partitions, s.Replicas); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, load.DeleteTopic(context.WithoutCancel(ctx), s.Address, shape.Topic)) }()
	}
	switch {
	case bytes > 0:
	case s.agent != nil || s.Floor:
		bytes = warmUpAgentBytes
	default:
		bytes = warmUpOtherBytes
	}
	records := bytes / int64(shape.RecordBytes*shape.Partitions*5/4) // fill writes a quarter more
	return r.fill(ctx, load.Produce{Address: s.Address, Shape: shape, Connections: 8, Depth: 8}, records)
}

// franzBytes is what a client of franz-go holds of records that aren't acknowledged.
const franzBytes = 16 << 20

// start begins the load.
func (r *running) start(ctx context.Context, row Row, shape load.Shape) (err error) {
	produce := load.Produce{Address: r.system.Address, Shape: shape, Connections: row.Connections, Depth: row.Depth, Rate: row.Rate}
	fetch := load.Fetch{
		Address: r.system.Address, Topic: shape.Topic, Partitions: shape.Partitions, Readers: row.Readers, Stamped: shape.Stamped,
		RequestBytesMax: 8 << 20, PartitionBytesMax: 1 << 20,
	}
	if row.Reread {
		if r.system.Floor {
			fetch.Until = slices.Repeat([]int64{1024}, shape.Partitions) // as many records as floor.DefaultConfig has
		} else {
			if err := r.fill(ctx, produce, rereadRecords); err != nil {
				return err
			}
			fetch.Until = slices.Repeat([]int64{rereadRecords}, shape.Partitions)
		}
		r.readers, err = load.StartFetch(ctx, fetch)
		return err
	}
	if r.system.Floor && row.Readers > 0 {
		return errors.New("the floor has no tail to be read")
	}
	if row.Readers > 0 {
		if r.readers, err = load.StartFetch(ctx, fetch); err != nil {
			return err
		}
	}
	if row.Franz {
		p, err := load.StartFranz(ctx, load.Franz{Address: r.system.Address, Shape: shape, Clients: row.Connections, BufferedBytes: franzBytes})
		if err == nil {
			r.producers = p
		}
		return err
	}
	p, err := load.StartProduce(ctx, produce)
	if err == nil {
		r.producers = p
	}
	return err
}

// fill writes what is read afterwards: so many records to each partition, or some more.
func (r *running) fill(ctx context.Context, produce load.Produce, records int64) error {
	p, err := load.StartProduce(ctx, produce)
	if err != nil {
		return err
	}
	r.producers = p
	for p.Look().Records < (records+records/4)*int64(produce.Shape.Partitions) {
		if err := r.wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	r.producers = nil
	return p.Stop()
}

// coldRecords is how much a reader that catches up goes over, of each partition: 1.25 GiB in
// all, five times an agent's cache.
const coldRecords = 80 << 10

// startCold writes old data and starts a reader that goes over it again and again: when it begins anew, the
// cache holds what is newest.
func (r *running) startCold(ctx context.Context, topic string) (*load.Readers, error) {
	if r.system.Bucket != nil {
		if err := r.system.Bucket.SetWeather(ctx, "zero", 0); err != nil {
			return nil, err
		}
	}
	shape := large()
	shape.Topic = topic
	if err := load.CreateTopic(ctx, r.system.Address, topic, shape.Partitions, r.system.Replicas); err != nil {
		return nil, err
	}
	if err := r.fill(ctx, load.Produce{Address: r.system.Address, Shape: shape, Connections: 4, Depth: 4}, coldRecords); err != nil {
		return nil, err
	}
	return load.StartFetch(ctx, load.Fetch{
		Address: r.system.Address, Topic: topic, Partitions: shape.Partitions, Readers: 1,
		RequestBytesMax: 32 << 20, PartitionBytesMax: 2 << 20, Until: slices.Repeat([]int64{coldRecords}, shape.Partitions),
	})
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// between is the sample of a window.
func between(before, after look) Sample {
	written, read := after.written.Since(before.written), after.read.Since(before.read)
	asked := after.asked.Since(before.asked)
	told := after.told.since(before.told)
	took := after.at.Sub(before.at)
	broker, postgres, bucket, myself := after.broker-before.broker, after.postgres-before.postgres, after.bucket-before.bucket, after.myself-before.myself
	return Sample{
		Seconds: took.Seconds(), Broker: broker.Seconds(), Postgres: postgres.Seconds(), Bucket: bucket.Seconds(), Generator: myself.Seconds(),
		Foreign:  measure.Foreign(after.busy-before.busy, broker+postgres+bucket+myself, took),
		Requests: written.Requests, Records: written.Records, Bytes: written.Bytes,
		FetchRequests: read.Requests, FetchRecords: read.Records, FetchBytes: read.Bytes,
		P50: milliseconds(written.Times.Quantile(0.5)), P99: milliseconds(written.Times.Quantile(0.99)),
		EndP50: milliseconds(read.Times.Quantile(0.5)), EndP99: milliseconds(read.Times.Quantile(0.99)),
		Puts: asked.Puts, Gets: asked.Gets, PutBytes: asked.BytesIn,
		PutP50: milliseconds(asked.PutP50), PutP99: milliseconds(asked.PutP99),
		CommitP50: 1000 * told.quantile("wadi_produce_seconds", `stage="commit"`, 0.5),
		Appends:   told["wadi_appends_total"], Batches: told["wadi_batches_total"], Flushes: told.sum("wadi_flushes_total"),
		LogBytes: after.logBytes - before.logBytes,
	}
}
