//go:build cluster

package clients

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/cmd/wadi/clients/fleet"
)

var etlFor = flag.Duration("etl-for", 30*time.Second, "kill agents for `DURATION` while sessions of franz-go transform")

const (
	etlEvery      = 3 * time.Second // about, between two kills
	etlPace       = 20 * time.Millisecond
	etlMembers    = 3               // of each group
	etlAbortOneIn = 8               // transactions, though nothing went wrong
	etlLife       = 6 * time.Second // about, of a session; half of them vanish in the middle of a transaction
	etlRecordsMax = 200             // of a transaction
)

// Groups of franz-go's GroupTransactSession, by the classic protocol and by the server's, consume, transform and
// produce while one agent after the other is killed, about each three seconds. A session whose end fails
// gives way to another, as an application would have it. What they have produced is what there was, each record once, in
// its order; so it is for whoever reads all along.
//
// This is what franz-go's own TestTxnEtl is about, which takes any error of a session's end for a failure (KGO.md).
func TestCluster_ETL(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	agents := fleet.Start(t, filepath.Join("..", "..", ".."), os.Getenv(binaryVariable), groupConfigs()...)
	address := agents.Bootstrap()
	o := newOriginal(t, address, "transformed-classic", "transformed-consumer")
	var transformers []*transformer
	var copies []*copyReader
	for _, protocol := range []string{"classic", "consumer"} {
		for i := range etlMembers {
			transformers = append(transformers, startTransformer(t, address, protocol, i, rand.New(rand.NewPCG(seed, uint64(len(transformers)+1)))))
		}
		copies = append(copies, readCopy(t, address, "transformed-"+protocol))
	}

	kills := o.growWhile(*etlFor, etlPace, 1, rand.New(rand.NewPCG(seed, 0)), etlEvery, agents.Victims())
	o.compare(copies)
	for _, x := range transformers {
		x.stop()
		t.Logf("%s: %d transactions committed, %d aborted as drawn or for a rebalance, %d sessions, %d of them failed: %v",
			x.name, x.committed.Load(), x.aborted.Load(), x.sessions.Load(), x.failed.Load(), x.lastError())
		if x.committed.Load() == 0 {
			t.Errorf("%s has committed nothing", x.name)
		}
	}
	t.Logf("killed: %v", kills)
}

// transformer runs one session after the other under one transactional id.
type transformer struct {
	name, address, protocol              string
	random                               *rand.Rand
	stop                                 func()
	committed, aborted, sessions, failed atomic.Int64
	mu                                   struct {
		sync.Mutex
		last error
	}
}

// startTransformer runs a transformer until it is stopped, or the test ends.
func startTransformer(t *testing.T, address, protocol string, number int, random *rand.Rand) *transformer {
	x := &transformer{name: fmt.Sprintf("etl-%s-%d", protocol, number), address: address, protocol: protocol, random: random}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			x.sessions.Add(1)
			if err := x.session(ctx); err != nil && ctx.Err() == nil {
				x.failed.Add(1)
				x.mu.Lock()
				x.mu.last = err
				x.mu.Unlock()
			}
		}
	})
	x.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(x.stop)
	return x
}

func (x *transformer) lastError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.last
}

// errVanished ends a session in the middle of its transaction.
var errVanished = errors.New("vanished, as drawn")

// session transforms for a while, or until something fails.
func (x *transformer) session(ctx context.Context) error {
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(x.address, ",")...), kgo.AlwaysRetryEOF(), kgo.ClientID(x.name),
		kgo.TransactionalID(x.name), kgo.TransactionTimeout(20 * time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics("original"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumerGroup("etl-" + x.protocol), kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(time.Second), kgo.UnknownTopicRetries(-1),
	}
	if x.protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	s, err := kgo.NewGroupTransactSession(options...)
	if err != nil {
		return err
	}
	defer s.Close()
	vanish := x.random.IntN(2) == 0
	life, end := context.WithTimeout(ctx, etlLife/2+time.Duration(x.random.Int64N(int64(etlLife))))
	defer end()
	for life.Err() == nil || vanish {
		fetches := s.PollRecords(ctx, etlRecordsMax)
		if ctx.Err() != nil {
			return nil
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := x.transform(ctx, s, fetches, vanish && life.Err() != nil); errors.Is(err, errVanished) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// transform produces what was fetched, with the places it was read up to, in one transaction.
func (x *transformer) transform(ctx context.Context, s *kgo.GroupTransactSession, fetches kgo.Fetches, vanish bool) error {
	if err := s.Begin(); err != nil {
		return err
	}
	fetches.EachRecord(func(r *kgo.Record) {
		// The end tells what failed.
		s.Produce(ctx, &kgo.Record{Topic: "transformed-" + x.protocol, Partition: r.Partition, Value: r.Value}, nil)
	})
	if vanish {
		s.Client().Flush(ctx)
		return errVanished
	}
	committed, err := s.End(ctx, x.random.IntN(etlAbortOneIn) > 0)
	switch {
	case err != nil:
		return err
	case committed:
		x.committed.Add(1)
	default:
		x.aborted.Add(1)
	}
	return nil
}
