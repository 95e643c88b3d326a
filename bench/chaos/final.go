package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/bench/cluster"
	"github.com/wadi-io/wadi/bench/history"
)

// through returns a client that talks to one agent, whatever the cluster's metadata
// says: any agent takes any request.
func through(a *cluster.Agent, more ...kgo.Opt) (*kgo.Client, error) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(a.Kafka), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, a.Kafka)
		}),
	}, more...)...)
}

// ends are the high watermarks of the run's partitions as one agent tells them.
func (r *run) ends(ctx context.Context, a *cluster.Agent) (map[string]map[int32]int64, error) {
	c, err := through(a)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	admin := kadm.NewClient(c)
	listed, err := admin.ListEndOffsets(ctx)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := map[string]map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if !strings.HasPrefix(o.Topic, strictHistory) && !strings.HasPrefix(o.Topic, plainHistory) {
			return
		}
		if ends[o.Topic] == nil {
			ends[o.Topic] = map[int32]int64{}
		}
		ends[o.Topic][o.Partition] = o.Offset
	})
	return ends, nil
}

// readAll reads everything through each agent, and compares what they say.
func (r *run) readAll(ctx context.Context) {
	var first map[string]map[int32]int64
	for i, a := range r.cluster.Agents {
		patience, cancel := context.WithTimeout(ctx, recoverMax)
		ends, err := r.ends(patience, a)
		cancel()
		if err != nil {
			r.found("%s doesn't tell the partitions' ends: %v", a.Name, err)
			continue
		}
		if first == nil {
			first = ends
		}
		for topic, partitions := range first {
			if !maps.Equal(partitions, ends[topic]) {
				r.found("%s says that %s ends at %v, another agent at %v", a.Name, topic, ends[topic], partitions)
			}
		}
		if len(ends) != len(first) {
			r.found("%s knows %d topics, another agent %d", a.Name, len(ends), len(first))
		}
		for _, name := range []string{strictHistory, plainHistory} {
			patience, cancel := context.WithTimeout(ctx, readMax)
			if err := r.readThrough(patience, a, fmt.Sprintf("final-%d", i), name, ends); err != nil {
				r.found("not everything can be read through %s: %v", a.Name, err)
			}
			cancel()
		}
	}
}

// readThrough reads the topics of one history from begin to end through an agent.
func (r *run) readThrough(ctx context.Context, a *cluster.Agent, process, name string, ends map[string]map[int32]int64) error {
	file, err := os.OpenFile(r.historyFile(name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	from, open := map[string]map[int32]kgo.Offset{}, map[string]int64{}
	assigned := history.Event{Process: process, Type: history.OK, Function: history.Assign, From: map[string]int64{}}
	for topic, partitions := range ends {
		if !strings.HasPrefix(topic, name) {
			continue
		}
		from[topic] = map[int32]kgo.Offset{}
		for p, end := range partitions {
			key := fmt.Sprintf("%s/%d", topic, p)
			assigned.From[key] = 0
			if end > 0 {
				from[topic][p], open[key] = kgo.NewOffset().At(0), end
			}
		}
	}
	assigned.Keys = slices.Sorted(maps.Keys(assigned.From))
	out := lineWriter{file: file, since: r.since}
	out.write(assigned)
	c, err := through(a, kgo.ConsumePartitions(from))
	if err != nil {
		return err
	}
	defer c.Close()
	for len(open) > 0 {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%d partitions are not at their ends: %w", len(open), ctx.Err())
		}
		for _, e := range fetches.Errors() {
			r.note("read through %s: %s/%d: %v", a.Name, e.Topic, e.Partition, e.Err)
		}
		poll := map[string][]history.Record{}
		fetches.EachRecord(func(record *kgo.Record) {
			key := fmt.Sprintf("%s/%d", record.Topic, record.Partition)
			poll[key] = append(poll[key], history.Record{Offset: record.Offset, Value: string(record.Value)})
			if end, ok := open[key]; ok && record.Offset >= end-1 {
				delete(open, key)
			}
		})
		if len(poll) > 0 {
			out.write(history.Event{Process: process, Type: history.OK, Function: history.Poll, Ops: []history.Op{{Poll: poll}}})
		}
	}
	return out.err
}

// awaitGroups waits until each group has committed everything: it is stable then,
// and nothing is left behind.
func (r *run) awaitGroups(ctx context.Context, patience time.Duration) {
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var behind string
	for {
		ends, err := r.ends(waiting, r.cluster.Agents[0])
		if err == nil {
			behind, err = r.behind(waiting, ends)
		}
		if err == nil && behind == "" {
			r.note("all groups are at the end %v after the last send", time.Since(began).Round(time.Millisecond))
			return
		}
		if err != nil && (waiting.Err() == nil || behind == "") {
			behind = err.Error()
		}
		select {
		case <-waiting.Done():
			r.found("a group isn't at the end %v after the last send: %s", patience, behind)
			return
		case <-time.After(time.Second):
		}
	}
}

// behind says which group lacks what. Only a group's coordinator tells.
func (r *run) behind(ctx context.Context, ends map[string]map[int32]int64) (string, error) {
	var agents []string
	for _, a := range r.cluster.Agents {
		agents = append(agents, a.Kafka)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(agents...))
	if err != nil {
		return "", err
	}
	defer c.Close()
	for _, w := range r.workloads {
		if !w.grouped {
			continue
		}
		committed, err := kadm.NewClient(c).FetchOffsets(ctx, w.name)
		if err != nil {
			return "", err
		}
		name := map[byte]string{'i': strictHistory, 'p': plainHistory}[w.name[0]]
		for topic, partitions := range ends {
			if !strings.HasPrefix(topic, name) {
				continue
			}
			for p, end := range partitions {
				if end == 0 {
					continue
				}
				if at, ok := committed.Lookup(topic, p); !ok || at.Err != nil || at.At < end {
					return fmt.Sprintf("%s has committed %d of %d in %s/%d", w.name, at.At, end, topic, p), nil
				}
			}
		}
	}
	return "", nil
}
