package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/bench/history"
)

// committed is what clients were told to be so for ever: offsets that groups have
// committed, ends of partitions. They never go back.
type committed struct {
	mu struct {
		sync.Mutex
		offsets map[string]int64 // by group and key
		story   map[string][]string
	}
}

func newCommitted() *committed {
	c := &committed{}
	c.mu.offsets = map[string]int64{}
	c.mu.story = map[string][]string{}
	return c
}

// storyMax bounds what is told of one offset.
const storyMax = 12

// tell notes what somebody did about an offset, for the story.
func (c *committed) tell(group string, p partition, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := group + " " + p.key()
	c.mu.story[k] = append(c.mu.story[k], fmt.Sprintf(format, args...))
	c.mu.story[k] = c.mu.story[k][max(0, len(c.mu.story[k])-storyMax):]
}

func (c *committed) told(group string, p partition) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.mu.story[group+" "+p.key()], "; ")
}

func (c *committed) acknowledged(group string, p partition, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := group + " " + p.key()
	c.mu.offsets[k] = max(c.mu.offsets[k], offset)
}

func (c *committed) known(group string, p partition) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.offsets[group+" "+p.key()]
}

// groupByHeartbeat is the group of the consumer protocol (KIP-848).
const groupByHeartbeat = "h"

// member reads as a member of a group until ctx ends, again and again by new
// clients, and commits what it has read.
func (w *world) member(ctx context.Context, group string, n int, c *committed, protocol ...kgo.Opt) {
	r := w.stream(fmt.Sprint("member ", group, n))
	host := fmt.Sprintf("member-%s-%d", group, n)
	for life := 1; ctx.Err() == nil; life++ {
		var topics []string
		seen := map[string]bool{}
		for _, p := range w.topics.all() {
			if !seen[p.topic] {
				seen[p.topic] = true
				topics = append(topics, p.topic)
			}
		}
		if len(topics) == 0 {
			pause(ctx, time.Second)
			continue
		}
		process := fmt.Sprintf("%s.%d.%d", group, n, life)
		rebalanced := func(what string) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
				var keys []string
				for _, t := range slices.Sorted(maps.Keys(parts)) {
					for _, i := range parts[t] {
						keys = append(keys, partition{t, i}.key())
					}
				}
				if len(keys) > 0 {
					w.record(history.Event{Process: process, Type: history.OK, Function: history.Rebalance, Keys: keys, Note: what})
					w.count(func(c *counts) { c.rebalances++ })
				}
			}
		}
		opts := []kgo.Opt{
			kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(500 * time.Millisecond),
			kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(10 * time.Second),
			kgo.OnPartitionsAssigned(rebalanced("assigned")), kgo.OnPartitionsRevoked(rebalanced("revoked")), kgo.OnPartitionsLost(rebalanced("lost")),
			kgo.KeepRetryableFetchErrors(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		}
		if r.IntN(2) == 0 {
			opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
		} else {
			opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer()))
		}
		client := w.newClient(host, w.zone(n), append(opts, protocol...)...)
		w.record(history.Event{Process: process, Type: history.OK, Function: history.Subscribe, Keys: topics})
		until, cancel := context.WithTimeout(ctx, time.Duration(10+r.IntN(40))*time.Second)
		for until.Err() == nil {
			read := map[partition]int64{}
			w.poll(until, client, process, func(p partition, records []*kgo.Record) { read[p] = records[len(records)-1].Offset + 1 })
			if len(read) > 0 {
				w.commit(until, client, group, process, read, c)
			}
			client.AllowRebalance()
		}
		cancel()
		client.CloseAllowingRebalance()
	}
}

// commit commits what was read, and remembers what was acknowledged.
func (w *world) commit(ctx context.Context, client *kgo.Client, group, process string, read map[partition]int64, c *committed) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for p, next := range read {
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.topic][p.index] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	asked := time.Since(w.began)
	for p, next := range read {
		c.tell(group, p, "%s asks for %d at %v", process, next, asked)
	}
	try, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client.CommitOffsetsSync(try, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				of := partition{t.Topic, p.Partition}
				c.tell(group, of, "%s is answered %d for %d at %v", process, p.ErrorCode, read[of], time.Since(w.began))
				if p.ErrorCode == 0 {
					w.count(func(c *counts) { c.commits++ })
					c.acknowledged(group, of, read[of])
				}
			}
		}
	})
}

// watchCommits asks again and again what groups have committed: never less than
// what was acknowledged before it asked.
func (w *world) watchCommits(ctx context.Context, groups []string, c *committed) {
	r := w.stream("commits")
	client := w.newClient("watcher", "")
	defer client.Close()
	admin := kadm.NewClient(client)
	for pause(ctx, time.Duration(100+r.IntN(2000))*time.Millisecond) {
		group := groups[r.IntN(len(groups))]
		before := map[partition]int64{}
		for _, p := range w.topics.all() {
			before[p] = c.known(group, p)
		}
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		got, err := admin.FetchOffsets(try, group)
		cancel()
		// franz-go names the topics of an answer by what it knows of their ids. Where it could
		// not ask for that, the offsets are of a topic without a name, with an error.
		if _, unnamed := got[""]; err != nil || unnamed {
			continue
		}
		w.count(func(c *counts) { c.admin++ })
		for _, p := range w.topics.all() {
			known, asked := before[p]
			if !asked || known == 0 {
				continue
			}
			o, ok := got.Lookup(p.topic, p.index)
			switch {
			case ok && o.Err != nil:
			case !ok:
				w.bug("group %s has no offset of %s, of which %d was committed", group, p.key(), known)
			case o.At < known:
				w.bug("group %s went back in %s: %d was committed, now it is %d: %s", group, p.key(), known, o.At, c.told(group, p))
			}
		}
	}
}

// bound is one that a partition has, and that only grows.
type bound struct {
	name  string
	known *committed
	ask   func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)
}

// watchEnds asks again and again where partitions begin, are stable up to, and end: never before what was
// acknowledged, or told, before it asked.
func (w *world) watchEnds(ctx context.Context) {
	r := w.stream("ends")
	client := w.newClient("watcher", "")
	defer client.Close()
	admin := kadm.NewClient(client)
	bounds := []bound{
		{"ends", w.ends, admin.ListEndOffsets}, {"is stable up to", w.stable, admin.ListCommittedOffsets}, {"begins", w.starts, admin.ListStartOffsets},
	}
	for pause(ctx, time.Duration(50+r.IntN(700))*time.Millisecond) {
		p, ok := w.topics.some(r)
		if !ok {
			continue
		}
		b := bounds[r.IntN(len(bounds))]
		known := b.known.known("", p)
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		got, err := b.ask(try, p.topic)
		cancel()
		if err != nil {
			continue
		}
		w.count(func(c *counts) { c.admin++ })
		o, ok := got.Lookup(p.topic, p.index)
		if !ok || o.Err != nil || w.topics.isRetired(p.topic) {
			continue
		}
		if o.Offset < known {
			w.bug("%s %s at %d, it is said, and it was %d before", p.key(), b.name, o.Offset, known)
		}
		if b.known.acknowledged("", p, o.Offset); b.known == w.starts && o.Offset > known {
			w.begins(p, o.Offset)
		}
	}
}
