package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// rolling names the schedule without windows: at any time some agent is being killed or
// paused, every few seconds the next; now and then Postgres restarts, and the bucket fails.
const rolling = "rolling"

const (
	refusedFor = 30 * time.Second
	lostFor    = 20 * time.Second
	rollingMin = 2 * time.Second // between two faults of agents
	rollingMax = 6 * time.Second
	downMax    = 2 // agents that are killed or paused at once
)

// rollingSchedule draws a rolling schedule. The same arguments give the same faults.
func rollingSchedule(seed uint64, duration time.Duration, agents int) (faults []fault) {
	random := rand.New(rand.NewPCG(seed, 2))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(most-least)))
	}
	busy := make([]time.Duration, agents) // until when
	for at := quietBefore; at < duration; at += between(rollingMin, rollingMax) {
		f := fault{At: at, Kind: kill, For: between(100*time.Millisecond, 5*time.Second)}
		switch n := random.IntN(10); {
		case n < 3:
			f.Kind, f.For = pauseBriefly, between(500*time.Millisecond, 6*time.Second)
		case n == 3:
			f.Kind, f.For = pause, between(leaseMax, leaseMax+6*time.Second)
		}
		var free []int
		for i, until := range busy {
			if until <= at {
				free = append(free, i)
			}
		}
		if len(free) <= agents-min(downMax, agents) || at+f.For > duration {
			continue
		}
		f.Target = free[random.IntN(len(free))]
		busy[f.Target] = at + f.For
		faults = append(faults, f)
	}
	// Whoever tries again what was done while answers were lost is told that it is there already (412).
	for _, more := range []struct {
		kind   kind
		lasts  time.Duration
		shares []float64 // of the duration: when
	}{
		{postgresRestarts, between(0, 3*time.Second), []float64{0.25, 0.6, 0.85}},
		{bucketRefuses, refusedFor, []float64{0.4}},
		{bucketLost, lostFor, []float64{0.1, 0.7}},
	} {
		for _, share := range more.shares {
			at := time.Duration(share * float64(duration))
			faults = append(faults, fault{At: at, For: min(more.lasts, duration-at), Kind: more.kind, Target: everyAgent})
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return faults
}
