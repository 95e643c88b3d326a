package agent

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/ingest"
)

// forgetful keeps no segments: nobody reads them.
type forgetful struct{ bucket.Bucket }

func (f forgetful) Put(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, "segments/") {
		return ctx.Err()
	}
	return f.Bucket.Put(ctx, key, body)
}

// TestAgent_PutsAGiBAtLoad: at 100 MiB/s, with a bucket as slow as S3, segments are full,
// and a GiB of records takes 136 PUTs at most.
func TestAgent_PutsAGiBAtLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const putsMax, partitions, producers, records, valueBytes = 136, 48, 24, 8184, 64 << 10
		s := start(t, func(c *Config) {
			c.Ingest.PutsPerSecondMax = ingest.DefaultConfig().PutsPerSecondMax
			c.Bucket = "s3://wadi" // whose PUTs cost money; it is given
			mem, closer, err := bucket.Open(t.Context(), "mem://")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closer.Close() })
			c.Given.Bucket = bucket.Faults(forgetful{mem}, func(call bucket.Call) bucket.Fault {
				return bucket.Fault{Delay: time.Duration(100+call.N%7*20) * time.Millisecond}
			})
		})
		s.create("t", partitions)
		time.Sleep(time.Second)
		// What is looked at comes after the PUTs that an idle agent may spend on flushes at
		// once, and ends before the last segments, which aren't full.
		type look struct {
			puts, stored int64
			at           time.Time
		}
		var looks [2]look
		var acknowledged atomic.Int64
		took := func() {
			i := 0
			switch acknowledged.Add(1) {
			case records / 2:
			case records * 11 / 12:
				i = 1
			default:
				return
			}
			looks[i] = look{s.cost().puts, s.serving.Load().ingest.Stats.SegmentBytes.Load(), time.Now()}
		}
		value := bytes.Repeat([]byte{'x'}, valueBytes)
		var sending sync.WaitGroup
		for range producers {
			c := s.client(kgo.ProducerBatchMaxBytes(512<<10), kgo.BrokerMaxWriteBytes(4<<20), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
				kgo.MaxBufferedRecords(records), kgo.ProducerLinger(0))
			sending.Go(func() {
				tick := time.NewTicker(15 * time.Millisecond)
				defer tick.Stop()
				for range records / producers {
					<-tick.C
					c.Produce(t.Context(), &kgo.Record{Topic: "t", Value: value}, func(_ *kgo.Record, err error) {
						if err != nil {
							t.Error(err)
						}
						took()
					})
				}
				if err := c.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
		puts, stored := looks[1].puts-looks[0].puts, looks[1].stored-looks[0].stored
		gib := float64(puts) / (float64(stored) / (1 << 30))
		st := &s.serving.Load().ingest.Stats
		t.Logf("%d by size, %d by linger, %d at once", st.FlushesBySize.Load(), st.FlushesByLinger.Load(), st.FlushesAtOnce.Load())
		t.Logf("%d PUTs for %d MiB in %v of the test's time: %.1f a GiB", puts, stored>>20, looks[1].at.Sub(looks[0].at), gib)
		if gib > putsMax || stored < records*valueBytes/4 {
			t.Errorf("%.1f PUTs a GiB, of %d bytes", gib, stored)
		}
	})
}
