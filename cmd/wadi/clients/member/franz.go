package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// holding is the partitions that a member of a cooperative group holds.
type holding struct {
	mu struct {
		sync.Mutex
		partitions map[int32]bool
	}
}

// change adds or takes away partitions and returns what is held then.
func (h *holding) change(partitions []int32, held bool) []int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.partitions == nil {
		h.mu.partitions = map[int32]bool{}
	}
	for _, p := range partitions {
		if held {
			h.mu.partitions[p] = true
		} else {
			delete(h.mu.partitions, p)
		}
	}
	return slices.Sorted(maps.Keys(h.mu.partitions))
}

// joinFranz is twmb/franz-go with its default, cooperative-sticky.
func joinFranz(at place, r request, leave <-chan struct{}, out *output) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-leave
		cancel()
	}()
	held := &holding{}
	changed := func(gained bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			out.assigned(held.change(topics[r.Topic], gained))
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(at.address), kgo.ClientID(at.clientID), kgo.ConsumerGroup(r.Group), kgo.ConsumeTopics(r.Topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(time.Duration(r.Session) * time.Millisecond), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.OnPartitionsAssigned(changed(true)), kgo.OnPartitionsRevoked(changed(false)), kgo.OnPartitionsLost(changed(false)),
	}
	if r.Instance != "" {
		options = append(options, kgo.InstanceID(r.Instance))
	}
	if r.Protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	c, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer c.CloseAllowingRebalance()
	for {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return e.Err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				out.read(p.Partition, p.Records[0].Offset, p.Records[n-1].Offset)
			}
		})
		records := fetches.Records()
		err := c.CommitRecords(context.Background(), records...)
		c.AllowRebalance()
		if rebalanced(err) {
			continue
		}
		if err != nil {
			return err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				out.committed(p.Partition, p.Records[n-1].Offset+1)
			}
		})
	}
}

// rebalanced says whether a commit failed because the group has moved on, so
// that what was read will be read again by whoever has the partition now.
func rebalanced(err error) bool {
	for _, e := range []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
