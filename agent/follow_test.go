package agent

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// neighbourhood is agents that share a store and a bucket, and reach each other by pipes.
type neighbourhood struct {
	t      *testing.T
	store  metastore.Store
	bucket bucket.Bucket
	mu     sync.Mutex
	doors  map[string]*pipes
}

func newNeighbourhood(t *testing.T) *neighbourhood {
	b, closer, err := bucket.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	return &neighbourhood{t: t, store: memory.New(time.Now, metastore.DefaultCluster()), bucket: b, doors: map[string]*pipes{}}
}

func (n *neighbourhood) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	door := n.doors[address]
	n.mu.Unlock()
	if door == nil {
		return nil, refused()
	}
	return door.dial(ctx, "", address)
}

// start starts an agent in a zone; push says whether agents push to each other.
func (n *neighbourhood) start(zone string, push bool) *started {
	n.t.Helper()
	return n.startWith(push, func(c *Config) { c.Zone = zone })
}

func (n *neighbourhood) startWith(push bool, change func(*Config)) *started {
	n.t.Helper()
	s := start(n.t, func(c *Config) {
		c.Given.Store, c.Given.Bucket, c.Given.DialPeer = &cuttable{Store: n.store}, n.bucket, n.dial
		c.Given.Listener.(*pipes).port = n.open(c.Given.Listener.(*pipes))
		if push {
			p := newPipes()
			p.port = n.open(p)
			c.Peer.Advertised, c.Given.PeerListener = p.Addr().String(), p
		}
		change(c)
	})
	return s
}

// open gives a listener an address.
func (n *neighbourhood) open(p *pipes) (port int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	port = 10000 + len(n.doors)
	n.doors[fmt.Sprintf("127.0.0.1:%d", port)] = p
	return port
}

// TestAgent_PushWakesReadersOfAnotherAgent has a reader wait at one agent for what is
// produced at another: pushed, it is there at once and without a read of the
// metastore; without pushes, by the next poll.
func TestAgent_PushWakesReadersOfAnotherAgent(t *testing.T) {
	for _, push := range []bool{true, false} {
		t.Run(fmt.Sprint("push ", push), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNeighbourhood(t)
				a, b := n.start("a", push), n.start("b", push)
				a.create("t", 1)
				time.Sleep(10 * time.Second)
				producer := a.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
				reader := b.client(kgo.FetchMaxWait(30*time.Second), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
				if err := producer.ProduceSync(t.Context(), record("t", 0, "first")).FirstErr(); err != nil {
					t.Fatal(err)
				}
				if got := values(t, reader, 1); got != "first" {
					t.Fatalf("read %q", got)
				}
				var took []time.Duration
				for i := range 20 {
					read := make(chan time.Time, 1)
					go func() {
						values(t, reader, 1)
						read <- time.Now()
					}()
					time.Sleep(time.Duration(7013+137*i) * time.Millisecond)
					before := b.cost()
					began := time.Now()
					if err := producer.ProduceSync(t.Context(), record("t", 0, fmt.Sprint(i))).FirstErr(); err != nil {
						t.Fatal(err)
					}
					took = append(took, (<-read).Sub(began))
					if c := b.cost().since(before); push && c.statements.Total() != 0 {
						t.Errorf("the reader's agent sent statements: %+v", c.statements)
					}
				}
				if worst := slices.Max(took); push && worst > 10*time.Millisecond || worst > time.Second {
					t.Errorf("took up to %v", worst)
				}
				if best := slices.Min(took); !push && best == 0 {
					t.Error("what isn't pushed came without a poll")
				}
				synctest.Wait()
				if s := b.process.follower.PushStats(); push != (s.Entries > 20) || s.Fills != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
