package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wadi-io/wadi/bench/cluster"
)

// nemesis makes the faults of a schedule happen, and undoes them.
type nemesis struct {
	*run
	counts map[kind]int
	tasks  sync.WaitGroup
	ending chan struct{}
	once   sync.Once // closes ending

	postgres sync.Mutex // held while Postgres is down or lacks its standby
	mu       struct {
		sync.Mutex
		down    map[int]int  // by agent: faults that keep it from running
		started map[int]bool // by agent: since it was last down
		weather map[*cluster.Link]cluster.Weather
		trouble cluster.Trouble
		ended   map[string]int // agents that ended by themselves
	}
}

// standbyMax bounds a fail-over and the making of a new standby.
const standbyMax = time.Minute

func newNemesis(r *run) *nemesis {
	n := &nemesis{run: r, counts: map[kind]int{}, ending: make(chan struct{})}
	n.mu.down, n.mu.started = map[int]int{}, map[int]bool{}
	for i := range r.cluster.Agents {
		n.mu.started[i] = true
	}
	n.mu.weather = map[*cluster.Link]cluster.Weather{}
	n.mu.ended = map[string]int{}
	n.tasks.Go(n.supervise)
	n.tasks.Go(n.watchVitals)
	return n
}

// unleash makes all faults happen and returns when they are undone.
func (n *nemesis) unleash(ctx context.Context, faults []fault, duration time.Duration) {
	var tasks sync.WaitGroup
	for _, f := range faults {
		if !sleepUntil(ctx, n.since.Add(f.At)) {
			break
		}
		n.counts[f.Kind]++
		n.note("%v", f)
		tasks.Go(func() {
			n.begin(f)
			sleepUntil(ctx, time.Now().Add(f.For))
			n.end(f)
			n.note("    over: %v", f)
		})
	}
	sleepUntil(ctx, n.since.Add(duration))
	tasks.Wait()
	n.note("healed")
}

// stop ends what looks after the agents.
func (n *nemesis) stop() {
	n.once.Do(func() { close(n.ending) })
	n.tasks.Wait()
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(t)):
		return true
	}
}

// agents are those that a fault concerns.
func (n *nemesis) agents(f fault) []int {
	if f.Target != everyAgent {
		return []int{f.Target}
	}
	all := make([]int, n.settings.agents)
	for i := range all {
		all[i] = i
	}
	return all
}

func (n *nemesis) begin(f fault) {
	for _, i := range n.agents(f) {
		a := n.cluster.Agents[i]
		switch f.Kind {
		case kill, killAll:
			n.setDown(i, 1)
			a.Kill()
		case leave:
			n.setDown(i, 1)
			if !a.Stop(farewellMax) {
				n.found("%s didn't stop within %v of SIGTERM", a.Name, farewellMax)
			}
		case pause, pauseBriefly:
			a.Pause()
		}
		n.setWeather(a, f.Kind, true)
	}
	n.setTrouble(f.Kind, true)
	switch f.Kind {
	case postgresRestarts:
		n.postgres.Lock() // until end
		if err := n.cluster.Postgres.Primary().Crash(); err != nil {
			n.found("Postgres can't be ended: %v", err)
		}
	case postgresFails:
		n.postgres.Lock()
		ctx, cancel := context.WithTimeout(context.Background(), standbyMax)
		defer cancel()
		if err := n.cluster.FailOver(ctx); err != nil {
			n.found("Postgres can't fail over: %v", err)
		}
	}
}

func (n *nemesis) end(f fault) {
	for _, i := range n.agents(f) {
		a := n.cluster.Agents[i]
		switch f.Kind {
		case kill, killAll, leave:
			n.setDown(i, -1) // The supervisor starts it.
		case pause, pauseBriefly:
			a.Resume()
		}
		n.setWeather(a, f.Kind, false)
	}
	n.setTrouble(f.Kind, false)
	switch f.Kind {
	case postgresRestarts:
		defer n.postgres.Unlock()
		if err := n.cluster.Postgres.Primary().Recover(); err != nil {
			n.found("Postgres can't be started: %v", err)
		}
	case postgresFails:
		defer n.postgres.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), standbyMax)
		defer cancel()
		if err := n.cluster.Postgres.Rejoin(ctx); err != nil {
			n.found("Postgres can't have another standby: %v", err)
		}
	}
}

func (n *nemesis) setDown(agent, by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.down[agent] += by
	n.mu.started[agent] = false // also where the supervisor sees nothing of so short a fault
}

// What a fault of a link does.
const (
	delayBy    = 150 * time.Millisecond
	resetAfter = 24 << 10 // bytes
)

// setWeather changes the one part of a link's weather that a fault is about.
func (n *nemesis) setWeather(a *cluster.Agent, k kind, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	links := map[kind]*cluster.Link{
		clientsCut: a.Clients, clientsHold: a.Clients, clientsDelay: a.Clients, clientsReset: a.Clients,
		peersCut: a.Peers, peersHold: a.Peers, peersDelay: a.Peers, peersReset: a.Peers,
		databaseCut: a.Database, databaseHold: a.Database, databaseDelay: a.Database, databaseReset: a.Database,
		bucketCut: a.Storage, bucketHold: a.Storage, bucketReset: a.Storage,
	}
	link := links[k]
	if link == nil {
		return
	}
	w := n.mu.weather[link]
	switch k {
	case clientsCut, peersCut, databaseCut, bucketCut:
		w.Cut = on
	case clientsHold, peersHold, databaseHold, bucketHold:
		w.Hold = on
	case clientsDelay, peersDelay, databaseDelay:
		if w.Delay = 0; on {
			w.Delay = delayBy
		}
	default:
		if w.Reset = 0; on {
			w.Reset = resetAfter
		}
	}
	n.mu.weather[link] = w
	link.Set(w)
}

// setTrouble changes the one part of the bucket's trouble that a fault is about.
func (n *nemesis) setTrouble(k kind, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	share := func(of float64) float64 {
		if on {
			return of
		}
		return 0
	}
	switch k {
	case bucketSlowDown:
		n.mu.trouble.SlowDown = share(0.3)
	case bucketRefuses:
		n.mu.trouble.SlowDown = share(1)
	case bucketLost:
		n.mu.trouble.Lost = share(0.3)
	case bucketSlow:
		n.mu.trouble.Slow, n.mu.trouble.By = share(0.4), 3*time.Second
	default:
		return
	}
	for _, a := range n.cluster.Agents {
		if a.Requests != nil {
			a.Requests.Set(n.mu.trouble)
		}
	}
}

// restartPause is what a supervisor waits before it starts an agent again.
const restartPause = 500 * time.Millisecond

// supervise starts agents that are not kept from running, as systemd would.
func (n *nemesis) supervise() {
	for {
		select {
		case <-n.ending:
			return
		case <-time.After(restartPause):
		}
		for i, a := range n.cluster.Agents {
			running, _ := a.Running() // before the question why not
			n.mu.Lock()
			down, byItself := n.mu.down[i] > 0, !running && n.mu.down[i] == 0 && n.mu.started[i]
			if byItself {
				n.mu.ended[a.Name]++
			}
			n.mu.started[i] = !down
			n.mu.Unlock()
			if down || running {
				continue
			}
			if byItself {
				n.note("%s has ended by itself: %s", a.Name, lastLine(a.LogTail()))
			}
			if err := a.Start(); err != nil {
				n.found("%v", err)
			}
		}
	}
}

func lastLine(text string) string {
	last := ""
	for i, begin := 0, 0; i < len(text); i++ {
		if text[i] == '\n' {
			if i > begin {
				last = text[begin:i]
			}
			begin = i + 1
		}
	}
	return fmt.Sprintf("%.300s", last)
}
