package main

import (
	"context"
	"errors"
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
		if !slices.ContainsFunc(r.histories, func(name string) bool { return strings.HasPrefix(o.Topic, name) }) {
			return
		}
		if ends[o.Topic] == nil {
			ends[o.Topic] = map[int32]int64{}
		}
		ends[o.Topic][o.Partition] = o.Offset
	})
	return ends, nil
}

// awaitTransactions waits until no transaction is open: one that its producer left behind gets its markers
// when it times out, and partitions' ends move until then.
func (r *run) awaitTransactions(ctx context.Context) {
	waiting, cancel := context.WithTimeout(ctx, recoverMax)
	defer cancel()
	for _, a := range r.cluster.Agents {
		c, err := through(a)
		if err != nil {
			r.found("%s: %v", a.Name, err)
			return
		}
		defer c.Close()
		for {
			open, err := kadm.NewClient(c).ListTransactions(waiting, nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
			if err == nil && len(open) == 0 {
				break
			}
			if !sleepUntil(waiting, time.Now().Add(200*time.Millisecond)) {
				r.found("%s: transactions are still open after %v: %v, %v", a.Name, recoverMax, open.TransactionalIDs(), err)
				return
			}
		}
	}
}

// readAll reads everything through each agent, and compares what they say.
func (r *run) readAll(ctx context.Context) {
	r.awaitTransactions(ctx)
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
		for _, name := range r.histories {
			patience, cancel := context.WithTimeout(ctx, readMax)
			if err := r.readThrough(patience, a, finalReader(i), name, ends); err != nil {
				r.found("not everything can be read through %s: %v", a.Name, err)
			}
			cancel()
		}
	}
	r.explain(ctx, first)
}

// explain writes down, once everything was read, what stands where nothing is committed.
func (r *run) explain(ctx context.Context, ends map[string]map[int32]int64) {
	if !slices.Contains(r.histories, transactionalHistory) {
		return
	}
	patience, cancel := context.WithTimeout(ctx, readMax)
	defer cancel()
	if err := r.explainHoles(patience, r.cluster.Agents[0], ends); err != nil {
		r.found("the offsets without committed values can't be explained: %v", err)
	}
}

// finalReader is who reads everything through an agent, in a history.
func finalReader(agent int) string { return fmt.Sprintf("final-%d", agent) }

// readThrough reads what is committed of one history's topics through an agent, from begin to end.
func (r *run) readThrough(ctx context.Context, a *cluster.Agent, process, name string, ends map[string]map[int32]int64) error {
	file, err := os.OpenFile(r.historyFile(name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	assigned := history.Event{Process: process, Type: history.OK, Function: history.Assign, From: map[string]int64{}}
	for topic, partitions := range ends {
		for p := range partitions {
			if strings.HasPrefix(topic, name) {
				assigned.From[keyOf(topic, p)] = 0
			}
		}
	}
	assigned.Keys = slices.Sorted(maps.Keys(assigned.From))
	out := lineWriter{file: file, since: r.since}
	out.write(assigned)
	err = r.readTopics(ctx, a, name, ends, kgo.ReadCommitted(), func(records []*kgo.Record) {
		poll := map[string][]history.Record{}
		for _, record := range records {
			if key := keyOf(record.Topic, record.Partition); !record.Attrs.IsControl() {
				poll[key] = append(poll[key], history.Record{Offset: record.Offset, Value: string(record.Value)})
			}
		}
		if len(poll) > 0 {
			out.write(history.Event{Process: process, Type: history.OK, Function: history.Poll, Ops: []history.Op{{Poll: poll}}})
		}
	})
	return errors.Join(err, out.err)
}

// keyOf is a partition's name in histories.
func keyOf(topic string, partition int32) string { return fmt.Sprintf("%s/%d", topic, partition) }

// readTopics reads the topics whose names begin so through an agent, up to their ends. Markers are handed over
// too: where everything was sent in transactions the last offset is one's.
func (r *run) readTopics(ctx context.Context, a *cluster.Agent, name string, ends map[string]map[int32]int64, level kgo.IsolationLevel, take func([]*kgo.Record)) error {
	from, open := map[string]map[int32]kgo.Offset{}, map[string]int64{}
	for topic, partitions := range ends {
		if !strings.HasPrefix(topic, name) {
			continue
		}
		from[topic] = map[int32]kgo.Offset{}
		for p, end := range partitions {
			if end > 0 {
				from[topic][p], open[keyOf(topic, p)] = kgo.NewOffset().At(0), end
			}
		}
	}
	c, err := through(a, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level), kgo.KeepControlRecords())
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
		records := fetches.Records()
		take(records)
		for _, record := range records {
			key := keyOf(record.Topic, record.Partition)
			if end, ok := open[key]; ok && record.Offset >= end-1 {
				delete(open, key)
			}
		}
	}
	return nil
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
		for topic, partitions := range ends {
			if topic[:1] != w.name[:1] || strings.HasSuffix(topic, copySuffix) {
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
