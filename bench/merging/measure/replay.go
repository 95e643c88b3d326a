package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/bench/fakes3"
	"github.com/wadi-io/wadi/wire/batch"
)

// replaying measures what it takes to read merged history from the fake S3, by the client that agents have for S3.
type replaying struct {
	bytes      int64 // of values
	partitions int32
}

const (
	replayPartitionsMax = 64
	replayBatch         = 1 << 20 // bytes
	replayValue         = 1 << 10 // bytes
	replayWindow        = 64 << 20
	replayLong          = 1 << 30 // bytes of a partition: the fewer there are, the more its windows' growth weighs
	replayGetsMax       = 1.2     // for each window: its growth, and the ends of segments, cost the rest
)

// serveS3 starts the fake S3 and opens a bucket of it.
func serveS3() (server *fakes3.Server, b bucket.Bucket, stop func(), err error) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "fake", "AWS_SECRET_ACCESS_KEY": "fake", "AWS_EC2_METADATA_DISABLED": "true"} {
		if err := os.Setenv(name, value); err != nil {
			return nil, nil, nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, nil, err
	}
	server = fakes3.New(fakes3.DefaultConfig())
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	b, closer, err := bucket.Open(context.Background(), "s3://replay?endpoint=http://"+l.Addr().String()+"&s3ForcePathStyle=true&region=us-east-1")
	if err != nil {
		l.Close()
		return nil, nil, nil, err
	}
	return server, b, func() { closer.Close(); l.Close(); <-done }, nil
}

func (r replaying) run(ctx context.Context, out io.Writer) error {
	server, b, stop, err := serveS3()
	if err != nil {
		return err
	}
	defer stop()
	w, err := newWorldIn(ctx, b, r.partitions, catalog{}, true)
	if err != nil {
		return err
	}
	written, err := r.fill(ctx, w)
	if err != nil {
		return err
	}
	objects, stored, err := w.stored("partitions/")
	if err != nil {
		return err
	}
	before, begin, used := server.Counters(), time.Now(), cpu()
	records, bytes, _, statements, err := w.replay(256 << 20)
	if err != nil {
		return err
	}
	took, used, now := time.Since(begin), cpu()-used, server.Counters()
	if records != written {
		return fmt.Errorf("%d records are read of %d", records, written)
	}
	gets := now.Gets - before.Gets
	each := float64(gets) / (float64(bytes) / replayWindow)
	fmt.Fprintf(out, "%.2f GiB of batches in %d partitions, %d partition segments of %.2f GiB together\n", float64(bytes)/(1<<30), r.partitions, objects, float64(stored)/(1<<30))
	fmt.Fprintf(out, "read by %d GETs, %.2f for each 64 MiB, and %d statements; %.2f bytes came for each byte read\n",
		gets, each, statements, float64(now.BytesOut-before.BytesOut)/float64(bytes))
	fmt.Fprintf(out, "%.0f MiB/s, %.2f CPU-s a GiB, the fake S3's with it\n", float64(bytes)/(1<<20)/took.Seconds(), used.Seconds()/(float64(bytes)/(1<<30)))
	if each > replayGetsMax && bytes/int64(r.partitions) >= replayLong {
		return fmt.Errorf("%.2f GETs for each 64 MiB are more than %.1f", each, replayGetsMax)
	}
	return nil
}

// fill flushes as many records as asked for, merges meanwhile as an agent does, and until nothing is left to merge.
func (r replaying) fill(ctx context.Context, w *world) (records int64, err error) {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for n, left := 0, r.bytes; left > 0; n++ {
		batches := map[int32][]byte{}
		for i := range r.partitions {
			var some []batch.Record
			for k := range replayBatch / replayValue {
				at := rnd.IntN(len(noise) - replayValue)
				some = append(some, batch.Record{Offset: int64(k), Timestamp: w.now.Load(), Value: noise[at : at+replayValue]})
			}
			batches[i] = batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, some)
			records += int64(len(some))
			left -= replayBatch
		}
		if err := w.flush(batches); err != nil {
			return 0, err
		}
		w.now.Add(1000)
		if n%replayMergeEvery == replayMergeEvery-1 {
			if err := w.compactor.Shard(ctx, 0); err != nil {
				return 0, err
			}
		}
	}
	for range 20 {
		if err := w.compactor.Merge(ctx, 0); err != nil {
			return 0, err
		}
	}
	// What was merged again is deleted after its grace.
	w.now.Add(time.Hour.Milliseconds())
	return records, w.compactor.Collect(ctx)
}

// replayMergeEvery is how many flushes come between two looks at the shard.
const replayMergeEvery = 16
