package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/bench/load"
	"github.com/wadi-io/wadi/bench/measure"
)

// The names of figures that only some rows have.
const (
	StartMs        = "start ms beyond PUT + commit"
	RestartMs      = "kill -9 to first record, ms"
	PartitionBytes = "bytes a partition"
	ConnectionKiB  = "KiB a connection"
	MetadataMs     = "metadata of all, ms"
	StartCPUMs     = "CPU until the first record, ms"
	RestartCPUMs   = "CPU from kill -9 to first record, ms"
)

// stopMax bounds an agent's orderly end.
const stopMax = 20 * time.Second

var errNotWadi = errors.New("this row is of an agent that the bench started")

// restart measures how soon an agent takes a record: after an orderly end, with
// few partitions, and after kill -9 with 10,000.
func (u *Runner) restart(ctx context.Context, s *System, row Row) (sample Sample, err error) {
	if s.agent == nil {
		return sample, errNotWadi
	}
	if err := s.Bucket.SetWeather(ctx, row.Profile, 0); err != nil {
		return sample, err
	}
	sample = Sample{System: s.Name, Row: row.Name, More: map[string]float64{}}
	shape := row.Shape
	shape.Topic = u.topic()
	if err := load.CreateTopic(ctx, s.Address, shape.Topic, 16, s.Replicas); err != nil {
		return sample, err
	}
	shape.Partitions = 16
	if _, err := s.firstRecord(ctx, shape); err != nil { // the topic's first: not as those after it
		return sample, err
	}
	usual, err := middle(usualRepeats, func() (time.Duration, error) { return s.firstRecord(ctx, shape) })
	if err != nil {
		return sample, err
	}
	took, err := middle(restartRepeats, func() (time.Duration, error) {
		s.agent.Stop(stopMax)
		return s.startAndProduce(ctx, shape)
	})
	if err != nil {
		return sample, err
	}
	sample.More[StartMs] = milliseconds(took - usual)
	if sample.More[StartCPUMs], err = s.cpuMs(); err != nil {
		return sample, err
	}
	topics := []string{shape.Topic}
	defer func() {
		for _, topic := range topics {
			err = errors.Join(err, load.DeleteTopic(context.WithoutCancel(ctx), s.Address, topic))
		}
	}()
	const partitionsMany = 10_000
	for range partitionsMany / row.Shape.Partitions {
		topics = append(topics, u.topic())
		if err := load.CreateTopic(ctx, s.Address, topics[len(topics)-1], row.Shape.Partitions, s.Replicas); err != nil {
			return sample, err
		}
	}
	took, err = middle(restartRepeats, func() (time.Duration, error) {
		s.agent.Kill()
		return s.startAndProduce(ctx, shape)
	})
	if err != nil {
		return sample, err
	}
	sample.More[RestartMs] = milliseconds(took)
	if sample.More[RestartCPUMs], err = s.cpuMs(); err != nil {
		return sample, err
	}
	if sample.RSS, err = measure.RSS(s.PIDs[0]); err != nil {
		return sample, err
	}
	sample.Seconds = took.Seconds()
	return sample, nil
}

// How often a start, and a produce to one that runs, is timed: the median counts.
const (
	restartRepeats = 3
	usualRepeats   = 9
)

// middle is the median of several times.
func middle(repeats int, once func() (time.Duration, error)) (time.Duration, error) {
	var took measure.Series
	for range repeats {
		t, err := once()
		if err != nil {
			return 0, err
		}
		took = append(took, float64(t))
	}
	return time.Duration(took.Median()), nil
}

// cpuMs is what the agent's process has used since its start.
func (s *System) cpuMs() (float64, error) {
	cpu, err := measure.CPU(s.PIDs[0])
	return milliseconds(cpu), err
}

// startAndProduce starts the agent and returns how long it took until a record was acknowledged.
func (s *System) startAndProduce(ctx context.Context, shape load.Shape) (time.Duration, error) {
	began := time.Now()
	if err := s.agent.Start(); err != nil {
		return 0, err
	}
	s.PIDs = []int{s.agent.PID()}
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.firstRecord(ctx, shape)
		if err == nil {
			return time.Since(began), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("no record is taken: %w\n%s", err, s.agent.LogTail())
		}
	}
}

// firstRecord connects, sends one request, and returns how long its answer took.
func (s *System) firstRecord(ctx context.Context, shape load.Shape) (time.Duration, error) {
	p, err := load.StartProduce(ctx, load.Produce{Address: s.Address, Shape: shape, Connections: 1, Depth: 1})
	if err != nil {
		return 0, err
	}
	tick := time.NewTicker(time.Millisecond / 2)
	defer tick.Stop()
	for {
		if got := p.Look(); got.Requests > 0 {
			return got.Times.Quantile(0), p.Stop()
		}
		select {
		case <-p.Failed():
			return 0, p.Stop()
		case <-tick.C:
		}
	}
}
