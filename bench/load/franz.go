package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Franz is a load by franz-go, as applications make it: a check that the frames of this package cost
// a broker what a real client's do. Its own CPU is many times theirs.
type Franz struct {
	Address       string
	Shape         Shape // of it Topic, Partitions, BatchRecords and RecordBytes
	Clients       int
	BufferedBytes int // of a client's records that wait for their answer
}

// Franzes are its clients while they run.
type Franzes struct {
	shape   Shape
	cancel  context.CancelFunc
	clients []*kgo.Client
	tasks   sync.WaitGroup
	records atomic.Int64
	failed  failure
	times   struct {
		sync.Mutex
		Histogram
	}
}

// StartFranz connects and begins. Stop ends it.
func StartFranz(ctx context.Context, cfg Franz) (*Franzes, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &Franzes{shape: cfg.Shape, cancel: cancel}
	f.failed = newFailure()
	values := cfg.Shape.values(rand.New(rand.NewPCG(1, 1)), cfg.Shape.BatchRecords)
	for range cfg.Clients {
		client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Address), kgo.DefaultProduceTopic(cfg.Shape.Topic),
			kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
			kgo.ProducerBatchMaxBytes(int32(cfg.Shape.BatchRecords*(cfg.Shape.RecordBytes+16))+batchHeader),
			kgo.MaxBufferedRecords(cfg.BufferedBytes/cfg.Shape.RecordBytes))
		if err != nil {
			f.Stop()
			return nil, err
		}
		f.clients = append(f.clients, client)
	}
	for _, client := range f.clients {
		f.tasks.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				began := time.Now()
				// At the bound of what is buffered it waits.
				client.Produce(ctx, &kgo.Record{Value: values[i%len(values)]}, func(_ *kgo.Record, err error) { f.answered(ctx, began, err) })
			}
		})
	}
	return f, nil
}

func (f *Franzes) answered(ctx context.Context, began time.Time, err error) {
	if err == nil {
		f.records.Add(1)
		took := time.Since(began)
		f.times.Lock()
		f.times.Add(took)
		f.times.Unlock()
		return
	}
	if ctx.Err() == nil {
		f.failed.met(fmt.Errorf("produce by franz-go: %w", err))
	}
}

// Failed is closed when something went wrong.
func (f *Franzes) Failed() <-chan struct{} { return f.failed.was }

// Stop ends the load, and returns what went wrong.
func (f *Franzes) Stop() error {
	f.cancel()
	f.tasks.Wait()
	for _, client := range f.clients {
		client.Close()
	}
	return f.failed.err
}

// Look is what has been acknowledged so far. Requests are the client's own affair: none are told.
func (f *Franzes) Look() *Acknowledged {
	a := &Acknowledged{Records: f.records.Load()}
	a.Bytes = a.Records * int64(f.shape.RecordBytes)
	f.times.Lock()
	defer f.times.Unlock()
	a.Times.Merge(&f.times.Histogram)
	return a
}
