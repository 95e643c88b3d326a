package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
)

// of makes an agent one of an older release.
func of(level int32) func(*Config) {
	return func(c *Config) { c.Zone, c.Given.Level = "a", level }
}

// setGroupConfig asks for what the first level doesn't have, and returns the code.
func setGroupConfig(t *testing.T, c *kgo.Client) int16 {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "consumer.session.timeout.ms", Value: kmsg.StringPtr("50000")}}}}
	resp, err := req.RequestWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Resources[0].ErrorCode
}

// TestLevel_FreshCluster begins at the newest level, before it serves anyone.
func TestLevel_FreshCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		log := &lockedLog{}
		s := n.startWith(true, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
		if s.process.level() != metastore.FeatureLevel {
			t.Errorf("level %d", s.process.level())
		}
		if strings.Contains(log.String(), "is raised") {
			t.Errorf("nothing is raised in a new cluster:\n%s", log)
		}
	})
}

// TestLevel_TwoReleases: the older agent holds the level back, and what it can't read is
// refused; when it is gone the level rises, and it can't come back.
func TestLevel_TwoReleases(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed ", killed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNeighbourhood(t)
				log := &lockedLog{}
				old, young := n.startWith(true, of(metastore.LevelFirst)), n.startWith(true, func(c *Config) {
					of(0)(c)
					c.Log = slog.New(slog.NewTextHandler(log, nil))
				})
				n.client(young, kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation()).ProduceSync(t.Context(), kgo.StringRecord("x"))
				time.Sleep(30 * time.Second)
				c := n.client(young)
				if level := young.process.level(); level != metastore.LevelFirst {
					t.Fatalf("level %d beside an older agent", level)
				}
				if code := setGroupConfig(t, c); code != 35 {
					t.Errorf("a group's config is answered with %d", code)
				}
				_, err := young.serving.Load().writer.Append(t.Context(), []metastore.Draft{{Journal: metastore.ShardJournal(0),
					Effects: metastore.AppendEffect(nil, metastore.EffectJump, nil)}})
				if !errors.Is(err, metastore.ErrLevel) {
					t.Errorf("appending a jump: %v", err)
				}
				if killed {
					n.kill(old)
				} else {
					old.stop()
				}
				time.Sleep(old.cfg.Lease + 5*time.Second)
				if level := young.process.level(); level != metastore.FeatureLevel {
					t.Errorf("level %d when the older agent is gone", level)
				}
				if n := strings.Count(log.String(), "is raised"); n != 1 {
					t.Errorf("told %d times:\n%s", n, log)
				}
				if code := setGroupConfig(t, c); code != 0 {
					t.Errorf("then a group's config is answered with %d", code)
				}
				again := old.cfg
				again.Given.Store = n.store
				again.Given.Listener, again.Given.PeerListener, again.Peer.Advertised = newPipes(), nil, ""
				a, err := New(again)
				if err != nil {
					t.Fatal(err)
				}
				if err := a.Run(t.Context()); !errors.Is(err, errOlder) || !strings.Contains(err.Error(), "newer release") {
					t.Errorf("an older agent comes back: %v", err)
				}
				if terms, err := n.store.Terms(t.Context()); err != nil || len(terms) != 1 {
					t.Errorf("terms %v, %v", terms, err)
				}
			})
		})
	}
}

// TestLevel_RollingUpgrade replaces the agents of the older release one by one, while an
// idempotent producer and a reader go on.
func TestLevel_RollingUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		agents := make([]*started, 3)
		for i := range agents {
			agents[i] = n.startWith(true, of(metastore.LevelFirst))
		}
		time.Sleep(3 * time.Second)
		agents[0].create("t", 12)
		c := n.client(agents[0], kgo.RecordPartitioner(kgo.ManualPartitioner()))
		reader := n.client(agents[1], kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		read, seen := make(chan string, 1<<16), map[string]bool{}
		go func() {
			for t.Context().Err() == nil {
				reader.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) { read <- string(r.Value) })
			}
		}()
		var acked, failed atomic.Int64
		producing, enough := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; producing.Err() == nil; i++ {
				c.Produce(t.Context(), record("t", int32(i%12), fmt.Sprint(i)), func(_ *kgo.Record, err error) {
					if err != nil {
						failed.Add(1)
						return
					}
					acked.Add(1)
				})
				time.Sleep(20 * time.Millisecond)
			}
		}()
		for i, old := range agents {
			for _, s := range agents {
				if level := s.process.level(); level != metastore.LevelFirst {
					t.Errorf("level %d with %d agents of the older release", level, len(agents)-i)
				}
			}
			young := n.startWith(true, of(0))
			time.Sleep(3 * time.Second)
			old.stop()
			agents[i] = young
			time.Sleep(3 * time.Second)
		}
		for _, s := range agents {
			if level := s.process.level(); level != metastore.FeatureLevel {
				t.Errorf("level %d after the upgrade", level)
			}
		}
		enough()
		<-done
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if failed.Load() > 0 || acked.Load() < 500 {
			t.Errorf("%d records were acknowledged, %d failed", acked.Load(), failed.Load())
		}
		for len(seen) < int(acked.Load()) {
			value := <-read
			if seen[value] {
				t.Errorf("%s was read twice", value)
			}
			seen[value] = true
		}
	})
}
