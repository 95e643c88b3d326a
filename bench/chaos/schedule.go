package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// kind is a kind of fault.
type kind string

// The kinds of faults.
const (
	kill             kind = "kill"              // an agent, started again a little later
	killAll          kind = "kill-all"          // all agents at once
	pause            kind = "pause"             // an agent, for longer than its lease
	pauseBriefly     kind = "pause-briefly"     // an agent, for less than its lease
	leave            kind = "leave"             // an agent is asked to stop (SIGTERM), and starts again
	clientsCut       kind = "clients-cut"       // clients from an agent
	clientsHold      kind = "clients-hold"      //   by a black hole
	clientsDelay     kind = "clients-delay"     //   slow
	clientsReset     kind = "clients-reset"     //   reset in mid-stream
	peersCut         kind = "peers-cut"         // other agents from an agent
	peersHold        kind = "peers-hold"        //   by a black hole
	peersDelay       kind = "peers-delay"       //   slow
	peersReset       kind = "peers-reset"       //   reset in mid-stream
	databaseCut      kind = "postgres-cut"      // an agent from Postgres
	databaseHold     kind = "postgres-hold"     //   by a black hole
	databaseDelay    kind = "postgres-delay"    //   slow
	databaseReset    kind = "postgres-reset"    //   reset in mid-stream
	bucketCut        kind = "bucket-cut"        // an agent from the bucket
	bucketHold       kind = "bucket-hold"       //   by a black hole
	bucketReset      kind = "bucket-reset"      //   reset in mid-stream
	bucketSlowDown   kind = "bucket-503"        // some of all agents' requests are refused
	bucketLost       kind = "bucket-lost"       // some of all agents' requests are done, their answers lost
	bucketSlow       kind = "bucket-slow"       // some of all agents' requests are late
	bucketRefuses    kind = "bucket-refuses"    // all requests of all agents are refused
	postgresRestarts kind = "postgres-restarts" // Postgres crashes and recovers
	postgresFails    kind = "postgres-fails"    // Postgres crashes for ever; its synchronous standby takes its place
)

// everyAgent is the target of a fault that concerns all.
const everyAgent = -1

// fault is one fault of a schedule.
type fault struct {
	At     time.Duration // since the run began
	For    time.Duration
	Kind   kind
	Target int // the agent's number, or everyAgent
}

func (f fault) String() string {
	on := "all"
	if f.Target != everyAgent {
		on = fmt.Sprintf("agent-%d", f.Target)
	}
	return fmt.Sprintf("%s of %s for %v", f.Kind, on, f.For.Round(time.Millisecond))
}

// shape is how a kind of fault is drawn.
type shape struct {
	kind     kind
	all      bool          // it concerns every agent
	shortest time.Duration // how long it lasts
	longest  time.Duration
	pause    time.Duration // mean time until it comes again in its window
}

// leaseMax is a bit more than the agents' lease.
const leaseMax = 16 * time.Second

// shapes are all kinds of faults.
func shapes() []shape {
	const ms, s = time.Millisecond, time.Second
	return []shape{
		{kill, false, 100 * ms, 5 * s, 5 * s},
		{killAll, true, 100 * ms, 2 * s, 20 * s},
		{leave, false, 100 * ms, 3 * s, 8 * s},
		{pause, false, leaseMax, leaseMax + 6*s, 5 * s},
		{pauseBriefly, false, 500 * ms, 6 * s, 4 * s},
		{clientsCut, false, 500 * ms, 8 * s, 4 * s},
		{clientsHold, false, 1 * s, 15 * s, 5 * s},
		{clientsDelay, false, 3 * s, 10 * s, 3 * s},
		{clientsReset, false, 2 * s, 10 * s, 2 * s},
		{peersCut, false, 500 * ms, 20 * s, 5 * s},
		{peersHold, false, 1 * s, 25 * s, 5 * s},
		{peersDelay, false, 3 * s, 10 * s, 3 * s},
		{peersReset, false, 2 * s, 10 * s, 2 * s},
		{databaseCut, false, 500 * ms, 20 * s, 5 * s},
		{databaseHold, false, 1 * s, 25 * s, 5 * s},
		{databaseDelay, false, 3 * s, 10 * s, 3 * s},
		{databaseReset, false, 2 * s, 10 * s, 2 * s},
		{bucketCut, false, 500 * ms, 10 * s, 5 * s},
		{bucketHold, false, 1 * s, 15 * s, 5 * s},
		{bucketReset, false, 2 * s, 10 * s, 2 * s},
		{bucketSlowDown, true, 5 * s, 15 * s, 3 * s},
		{bucketLost, true, 5 * s, 15 * s, 3 * s},
		{bucketSlow, true, 5 * s, 15 * s, 3 * s},
		{bucketRefuses, true, 10 * s, 30 * s, 30 * s},
		{postgresRestarts, true, 0, 3 * s, 12 * s},
		{postgresFails, true, 1 * s, 5 * s, 15 * s},
	}
}

// mixes are names for several kinds.
func mixes() map[string][]kind {
	return map[string][]kind{
		"none":     {},
		"agents":   {kill, killAll, leave, pause, pauseBriefly},
		"clients":  {clientsCut, clientsHold, clientsDelay, clientsReset},
		"peers":    {peersCut, peersHold, peersDelay, peersReset},
		"postgres": {databaseCut, databaseHold, databaseDelay, databaseReset, postgresRestarts, postgresFails},
		"bucket":   {bucketCut, bucketHold, bucketReset, bucketSlowDown, bucketLost, bucketSlow, bucketRefuses},
	}
}

// parseFaults reads a list of kinds and names of mixes; "mix" is all.
func parseFaults(text string) ([]shape, error) {
	chosen := map[kind]bool{}
	for word := range strings.SplitSeq(text, ",") {
		kinds, isMix := mixes()[word]
		switch {
		case word == "mix":
			return shapes(), nil
		case !isMix && !slices.ContainsFunc(shapes(), func(s shape) bool { return string(s.kind) == word }):
			return nil, fmt.Errorf("%q is no kind of fault", word)
		case !isMix:
			kinds = []kind{kind(word)}
		}
		for _, k := range kinds {
			chosen[k] = true
		}
	}
	return slices.DeleteFunc(shapes(), func(s shape) bool { return !chosen[s.kind] }), nil
}

const (
	quietBefore = 5 * time.Second // of the first window
	kindsMax    = 3               // of a window's mix
	calmOneIn   = 4               // windows without faults
)

// schedule draws the faults of a run: each window has another mix, and what began
// in a window ends in it, but for what can't (a pause of longer than a lease). The
// same arguments give the same faults.
func schedule(seed uint64, duration, window time.Duration, agents int, from []shape) (faults []fault) {
	random := rand.New(rand.NewPCG(seed, 1))
	for begin := quietBefore; begin < duration; begin += window {
		end := min(begin+window, duration)
		if len(from) == 0 || random.IntN(calmOneIn) == 0 {
			continue
		}
		order := random.Perm(len(from))
		for _, i := range order[:min(len(from), 1+random.IntN(kindsMax))] {
			faults = append(faults, from[i].draw(random, begin, end, agents)...)
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return faults
}

// draw repeats a fault between begin and end.
func (s shape) draw(random *rand.Rand, begin, end time.Duration, agents int) (faults []fault) {
	at := begin + time.Duration(random.Int64N(int64(s.pause)/2+1))
	for at < end {
		f := fault{At: at, For: s.shortest + time.Duration(random.Int64N(int64(s.longest-s.shortest)+1)), Kind: s.kind, Target: everyAgent}
		if !s.all {
			f.Target = random.IntN(agents)
		}
		if s.kind != pause && f.At+f.For > end {
			f.For = max(end-f.At, s.shortest)
		}
		faults = append(faults, f)
		at += f.For + time.Duration(random.Int64N(2*int64(s.pause)))
	}
	return faults
}
