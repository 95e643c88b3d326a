package clients

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	coordinatorKills = 30
	killedMembers    = 5
	killedPartitions = 10
)

// watched is what the members of a group do, seen from their side.
type watched struct {
	t  *testing.T
	mu struct {
		sync.Mutex
		held    map[string]map[int32]bool  // by member's name, what it holds now
		holders map[int32]map[int32]string // by generation and partition
		joins   int                        // JoinGroups that were sent
		await   int16                      // the kind of request that is waited for
		written chan struct{}              // closed when it is written; nil: none is waited for
		acked   map[int32]int64            // the highest commit that was acknowledged
		errors  []string                   // for which members left the group of their own accord
	}
}

func newWatched(t *testing.T) *watched {
	w := &watched{t: t}
	w.mu.held, w.mu.holders, w.mu.acked = map[string]map[int32]bool{}, map[int32]map[int32]string{}, map[int32]int64{}
	return w
}

// OnBrokerWrite is a hook of kgo.
func (w *watched) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if key == kmsg.JoinGroup.Int16() {
		w.mu.joins++
	}
	if err == nil && w.mu.written != nil && key == w.mu.await {
		close(w.mu.written)
		w.mu.written = nil
	}
}

// next is closed when any member has sent its next request of a kind.
func (w *watched) next(key kmsg.Key) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	written := make(chan struct{})
	w.mu.await, w.mu.written = key.Int16(), written
	return written
}

// OnGroupManageError is a hook of kgo: a member joins anew for it.
func (w *watched) OnGroupManageError(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.errors = append(w.mu.errors, err.Error())
}

// joined returns how many JoinGroups were sent, and what members said why.
func (w *watched) joined() (int, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.joins, w.mu.errors
}

func (w *watched) assigned(name string, c *kgo.Client, partitions []int32) {
	_, generation := c.GroupMetadata()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.holders[generation] == nil {
		w.mu.holders[generation] = map[int32]string{}
	}
	w.mu.held[name] = map[int32]bool{}
	for _, p := range partitions {
		if other, taken := w.mu.holders[generation][p]; taken && other != name {
			w.t.Errorf("partition %d is held by %s and %s in generation %d", p, other, name, generation)
		}
		w.mu.holders[generation][p], w.mu.held[name][p] = name, true
	}
}

func (w *watched) revoked(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.held, name)
}

// shared tells whether so many members hold all partitions, each once.
func (w *watched) shared() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []int32
	for _, partitions := range w.mu.held {
		for p := range partitions {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return len(w.mu.held) == killedMembers && len(all) == killedPartitions && len(slices.Compact(all)) == killedPartitions
}

// member starts a member that reads and commits until stop.
func (w *watched) member(address, topic, name string) (stop func()) {
	c := franz{}.connect(w.t, address, kgo.ClientID(name), kgo.WithHooks(w),
		kgo.ConsumerGroup("killed"), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RoundRobinBalancer()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(20*time.Second), kgo.RebalanceTimeout(3*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		// A heartbeat that has failed for good makes it join again.
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }), kgo.RetryTimeout(patience), kgo.RequestRetries(10_000), patientDial(w.t),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, c *kgo.Client, all map[string][]int32) { w.assigned(name, c, all[topic]) }),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { w.revoked(name) }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { w.revoked(name) }))
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			c.PollRecords(ctx, 100)
			w.commit(ctx, c, topic)
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		reading.Wait()
		c.Close()
		w.revoked(name)
	})
}

// commit commits what has been read, and keeps what was acknowledged.
func (w *watched) commit(ctx context.Context, c *kgo.Client, topic string) {
	offsets := c.UncommittedOffsets()
	if len(offsets) == 0 {
		return
	}
	c.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range answer.Topics[0].Partitions {
			if p.ErrorCode == 0 {
				w.mu.acked[p.Partition] = max(w.mu.acked[p.Partition], offsets[topic][p.Partition].Offset)
			}
		}
	})
}

// notBelow checks that nothing that was acknowledged has gone back.
func (w *watched) notBelow(address, topic string) {
	w.t.Helper()
	w.mu.Lock()
	acked := map[int32]int64{}
	for p, offset := range w.mu.acked {
		acked[p] = offset
	}
	w.mu.Unlock()
	committed, err := franz{}.admin(w.t, address).FetchOffsets(patient(w.t), "killed")
	if err != nil {
		w.t.Fatal(err)
	}
	for p, offset := range acked {
		if o, ok := committed.Lookup(topic, p); !ok || o.At < offset {
			w.t.Errorf("partition %d: %d is committed, %d was acknowledged", p, o.At, offset)
		}
	}
}

// The coordinator of a group of five is killed while they join, sync, send heartbeats
// and commit: they go on where they were, or join anew, and nothing that was committed goes back.
func TestGroups_KillCoordinator(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	args := []string{"dev", "--dir", dir, "--kafka", address, "--http", "", "--config", "group.initial.rebalance.delay.ms=0"}
	p := start(t, args...)
	p.awaitReady()
	topic := "killed"
	franz{}.create(t, address, topic, killedPartitions, nil)
	load := franz{}.connect(t, address, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic), patientDial(t))
	loading, unload := context.WithCancel(t.Context())
	var producing sync.WaitGroup
	producing.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for loading.Err() == nil {
			for partition := range int32(killedPartitions) {
				load.Produce(context.Background(), &kgo.Record{Partition: partition, Value: []byte("load")}, func(_ *kgo.Record, err error) {
					if err != nil && loading.Err() == nil {
						t.Errorf("produce: %v", err)
					}
				})
			}
			<-tick.C
		}
	})
	t.Cleanup(func() {
		unload()
		producing.Wait()
		load.Close()
	})

	w := newWatched(t)
	stops := make([]func(), killedMembers)
	came := 0
	replace := func(i int) {
		if stops[i] != nil {
			stops[i]()
		}
		stops[i] = w.member(address, topic, fmt.Sprintf("member-%d", came))
		came++
	}
	for i := range stops {
		replace(i)
	}
	t.Cleanup(func() {
		for _, stop := range stops {
			stop()
		}
	})
	eventually(t, "the group shares the partitions", w.shared)

	phases := []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.OffsetCommit}
	longest, began, rebalances := time.Duration(0), time.Now(), 0
	for kill := range coordinatorKills {
		phase := phases[kill%len(phases)]
		undisturbed := phase == kmsg.Heartbeat || phase == kmsg.OffsetCommit
		before, said := w.joined()
		written := w.next(phase)
		var replacing sync.WaitGroup
		if !undisturbed {
			replacing.Go(func() { replace(kill % killedMembers) })
		}
		select {
		case <-written:
		case <-time.After(patience):
			t.Fatalf("no %s within %v", phase.Name(), patience)
		}
		p.kill()
		killed := time.Now()
		p = start(t, args...)
		p.awaitReady()
		replacing.Wait()
		eventually(t, fmt.Sprintf("the group is stable again after kill %d, in %s", kill, phase.Name()), func() bool {
			if !w.shared() {
				return false
			}
			d, err := franz{}.admin(t, address).DescribeGroups(patient(t), "killed")
			return err == nil && d["killed"].State == "Stable" && len(d["killed"].Members) == killedMembers
		})
		longest = max(longest, time.Since(killed))
		w.notBelow(address, topic)
		// Those that would notice have sent their next heartbeat by now.
		<-w.next(kmsg.Heartbeat)
		switch joins, says := w.joined(); {
		case undisturbed && joins > before:
			t.Errorf("kill %d of a stable group, in %s: %d JoinGroups, for %q", kill, phase.Name(), joins-before, says[len(said):])
		case !undisturbed:
			rebalances++
		}
	}
	t.Logf("%d kills in %v, %d of them in a rebalance; stable again after %v at most", coordinatorKills, time.Since(began).Round(time.Millisecond), rebalances, longest.Round(time.Millisecond))
}
