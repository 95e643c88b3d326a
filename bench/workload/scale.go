package workload

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/wadi-io/wadi/bench/load"
	"github.com/wadi-io/wadi/bench/measure"
)

// What an agent is given to hold without doing anything.
const (
	idlePartitions  = 100_000
	idleConnections = 1000
)

// scale measures what partitions and connections that do nothing take of an agent's memory: of its
// heap after a collection, and of its stacks.
func (u *Runner) scale(ctx context.Context, s *System, row Row) (sample Sample, err error) {
	if s.agent == nil {
		return sample, errNotWadi
	}
	if err := s.Bucket.SetWeather(ctx, row.Profile, 0); err != nil {
		return sample, err
	}
	sample = Sample{System: s.Name, Row: row.Name, More: map[string]float64{}}
	empty, err := s.inUse(ctx)
	if err != nil {
		return sample, err
	}
	var topics []string
	defer func() {
		for _, topic := range topics {
			err = errors.Join(err, load.DeleteTopic(context.WithoutCancel(ctx), s.Address, topic))
		}
	}()
	for range idlePartitions / row.Shape.Partitions {
		topics = append(topics, u.topic())
		if err := load.CreateTopic(ctx, s.Address, topics[len(topics)-1], row.Shape.Partitions, s.Replicas); err != nil {
			return sample, err
		}
	}
	began := time.Now()
	if _, err := load.Nodes(ctx, s.Address); err != nil {
		return sample, err
	}
	partitions, err := load.CountPartitions(ctx, s.Address)
	if err != nil {
		return sample, err
	}
	sample.More[MetadataMs] = milliseconds(time.Since(began))
	full, err := s.inUse(ctx)
	if err != nil {
		return sample, err
	}
	sample.More[PartitionBytes] = (full - empty) / float64(partitions)
	conns := make([]net.Conn, 0, idleConnections)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range idleConnections {
		c, err := load.DialIdle(ctx, s.Address)
		if err != nil {
			return sample, err
		}
		conns = append(conns, c)
	}
	connected, err := s.inUse(ctx)
	if err != nil {
		return sample, err
	}
	sample.More[ConnectionKiB] = (connected - full) / idleConnections / 1024
	sample.RSS, err = measure.RSS(s.PIDs[0])
	return sample, err
}

// inUse is the agent's heap and stacks in bytes, after a collection.
func (s *System) inUse(ctx context.Context) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	answer.Body.Close()
	told, err := scrapeOf(ctx, s.HTTP)
	return told["go_memstats_heap_inuse_bytes"] + told["go_memstats_stack_inuse_bytes"], err
}
