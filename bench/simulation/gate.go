package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Hosts that agents call, beside each other.
const (
	hostStore  = "metastore"
	hostBucket = "bucket"
)

// errLink is what a call's caller gets when the link, not the callee, failed it.
var errLink = errors.New("simulated: the connection was lost")

// linkTimeoutMin and linkTimeoutSpread say how long a call waits on a link that is
// cut before its keepalive gives up.
const (
	linkTimeoutMin    = 2 * time.Second
	linkTimeoutSpread = 8 * time.Second
	lateMax           = 30 * time.Second
	slowMax           = 4 * time.Second
)

// rates are how often a call goes wrong, each from 0 to 1.
type rates struct {
	refused float64 // not done, and told so
	lost    float64 // done, and told it was not
	slow    float64
	twice   float64 // done twice
	late    float64 // told it was not done, and done later
}

// gate is the way of one process to the world: shut for good when the process is
// killed, for a while when it is paused.
type gate struct {
	world *world
	host  string
	mu    struct {
		sync.Mutex
		rand    *rand.Rand
		dead    chan struct{}
		thawed  chan struct{}   // nil: not paused
		flipped map[string]bool // objects of which a bit was flipped when they were read last
		// doom, unless it is nil, tells of which append the process is killed once it has landed.
		doom func(parts []metastore.AppendPart) bool
	}
}

func newGate(w *world, host string) *gate {
	g := &gate{world: w, host: host}
	g.mu.rand = w.stream("gate " + host)
	g.mu.flipped = map[string]bool{}
	g.mu.dead = make(chan struct{})
	return g
}

// kill shuts the gate: nothing that the process does from now on has an effect.
func (g *gate) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.mu.dead)
}

// pause stops the traffic until resume.
func (g *gate) pause() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.thawed = make(chan struct{})
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.thawed != nil {
		close(g.mu.thawed)
		g.mu.thawed = nil
	}
}

// appended kills the process if it was to be killed at such an append.
func (g *gate) appended(parts []metastore.AppendPart) {
	g.mu.Lock()
	dies := g.mu.doom != nil && g.mu.doom(parts)
	if dies {
		g.mu.doom = nil
	}
	g.mu.Unlock()
	if !dies {
		return
	}
	for _, h := range g.world.agents {
		if h.name == g.host && h.isOf(g) {
			g.world.fault("killed", "%s, whose append of %d entries has landed", g.host, len(parts))
			h.kill()
		}
	}
}

func (g *gate) paused() bool {
	_, thawed := g.state()
	return thawed != nil
}

func (g *gate) state() (dead <-chan struct{}, thawed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.dead, g.mu.thawed
}

// between draws a duration.
func (g *gate) between(min, spread time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return min + time.Duration(g.mu.rand.Int64N(int64(spread)))
}

func (g *gate) chance(p float64) bool {
	if p == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.rand.Float64() < p
}

// pass waits until the way to a host is open: neither paused nor cut.
func (g *gate) pass(ctx context.Context, to string) error {
	var limit <-chan time.Time
	for {
		dead, thawed := g.state()
		select {
		case <-dead:
			return errLink
		default:
		}
		cut, healed := g.world.network.isCut(g.host, to)
		if !cut && thawed == nil {
			return nil
		}
		if !cut {
			healed = nil
		} else if limit == nil {
			t := time.NewTimer(g.between(linkTimeoutMin, linkTimeoutSpread))
			defer t.Stop()
			limit = t.C
		}
		select {
		case <-healed:
		case <-thawed:
		case <-dead:
		case <-limit:
			// A paused process doesn't see its time-outs pass.
			if _, thawed := g.state(); thawed != nil {
				limit = nil
				continue
			}
			return errLink
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sleep waits, or until ctx ends or the process is dead.
func (g *gate) sleep(ctx context.Context, d time.Duration) error {
	dead, _ := g.state()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-dead:
		return errLink
	}
}

// call lets a request to a host happen as the faults of the moment have it. request
// runs at most twice, with a context that never ends: what has reached the callee
// is done whatever becomes of the caller.
func (g *gate) call(ctx context.Context, to, what string, there, spread time.Duration, request func(context.Context) error) error {
	r := g.world.ratesOf(to)
	if g.chance(r.slow) {
		g.world.fault("slow "+to, "%s: %s", g.host, what)
		if err := g.sleep(ctx, g.between(0, slowMax)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := g.sleep(ctx, g.between(there, spread)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := g.pass(ctx, to); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	forever := context.WithoutCancel(ctx)
	switch {
	case g.chance(r.refused):
		g.world.fault("refused "+to, "%s: %s", g.host, what)
		return fmt.Errorf("%s: %w: refused", what, errLink)
	case g.chance(r.late):
		g.world.fault("late "+to, "%s: %s", g.host, what)
		delay := g.between(0, lateMax)
		g.world.late.Go(func() {
			time.Sleep(delay)
			err := request(forever)
			g.world.note("late "+to, "%s: %s is done now: %v", g.host, what, err)
		})
		return fmt.Errorf("%s: %w: gave up", what, errLink)
	}
	err := request(forever)
	if g.chance(r.twice) {
		g.world.fault("twice "+to, "%s: %s", g.host, what)
		if again := request(forever); err != nil {
			err = again // Else the caller hears of the first: a refusal of the second would be a lie.
		}
	}
	if g.chance(r.lost) {
		g.world.fault("lost "+to, "%s: %s (%v)", g.host, what, err)
		return fmt.Errorf("%s: %w: the answer was lost", what, errLink)
	}
	if way := g.pass(ctx, to); way != nil {
		return fmt.Errorf("%s: %w", what, way)
	}
	return err
}
