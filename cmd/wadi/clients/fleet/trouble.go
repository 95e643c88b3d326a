package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Victim is what can be killed and started again.
type Victim struct {
	Name  string
	Kill  func() error
	Start func() error
}

// Victims are the fleet's agents.
func (f *Fleet) Victims() (all []Victim) {
	for _, a := range f.Agents {
		all = append(all, Victim{a.Name, func() error { return f.order("kill", a.Name) }, func() error { return f.order("start", a.Name) }})
	}
	return all
}

// downMax bounds how long a victim is gone.
const downMax = 2 * time.Second

// Trouble kills one after the other, about every so often, until ctx ends; each is back
// before the next is killed, and all are when it returns. None is killed twice before all others
// once. kills counts.
func Trouble(ctx context.Context, random *rand.Rand, every time.Duration, victims ...Victim) (kills map[string]int, err error) {
	kills = map[string]int{}
	wait := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	var next []int
	for {
		wait(every/2 + time.Duration(random.Int64N(int64(every))))
		if ctx.Err() != nil {
			return kills, nil
		}
		if len(next) == 0 {
			next = random.Perm(len(victims))
		}
		v := victims[next[0]]
		next = next[1:]
		if err := v.Kill(); err != nil {
			return kills, fmt.Errorf("kill %s: %w", v.Name, err)
		}
		kills[v.Name]++
		wait(time.Duration(random.Int64N(int64(downMax))))
		if err := v.Start(); err != nil {
			return kills, errors.Join(fmt.Errorf("start %s", v.Name), err)
		}
	}
}
