package fakes3

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Profile is how long requests take: log-normal, by its median and its 99th percentile.
type Profile struct {
	Name     string
	P50, P99 time.Duration
}

// Profiles are the ones that measurements name.
func Profiles() []Profile {
	return []Profile{
		{Name: "zero"},
		{Name: "express", P50: 8 * time.Millisecond, P99: 20 * time.Millisecond},
		{Name: "standard", P50: 110 * time.Millisecond, P99: 350 * time.Millisecond},
	}
}

// ProfileOf returns the profile of a name.
func ProfileOf(name string) (Profile, error) {
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("%q is none of the latency profiles zero, express, standard", name)
}

// normal99 is the 99th percentile of the standard normal distribution.
const normal99 = 2.3263478740408408

// at returns the latency of the profile's request whose standard normal draw is x.
func (p Profile) at(x float64) time.Duration {
	if p.P50 == 0 {
		return 0
	}
	sigma := math.Log(float64(p.P99)/float64(p.P50)) / normal99
	return time.Duration(float64(p.P50) * math.Exp(sigma*x))
}

// weather is what becomes of requests, changed while the server runs.
type weather struct {
	mu struct {
		sync.Mutex
		random     *rand.Rand
		profile    Profile
		slowDown   float64
		puts, rest deck
	}
}

// deck gives standard normal draws, stratified: each deckCards of them come one from each of as many equally
// likely ranges, in a random order. So a window of a few hundred PUTs has the profile's 99th percentile, not
// that of the six slowest of independent draws, which differs by a fifth from one window to the next.
type deck struct{ left []int }

const deckCards = 200

func (d *deck) draw(random *rand.Rand) float64 {
	if len(d.left) == 0 {
		d.left = random.Perm(deckCards)
	}
	card := d.left[len(d.left)-1]
	d.left = d.left[:len(d.left)-1]
	share := (float64(card) + random.Float64()) / deckCards
	return math.Sqrt2 * math.Erfinv(2*min(max(share, 1e-9), 1-1e-9)-1)
}

func newWeather(seed uint64) *weather {
	w := &weather{}
	w.mu.random = rand.New(rand.NewPCG(seed, seed))
	return w
}

func (w *weather) set(p Profile, slowDown float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.profile, w.mu.slowDown = p, slowDown
	w.mu.puts, w.mu.rest = deck{}, deck{}
}

// draw says how long a request takes in all, and whether it is refused. PUTs are dealt from a deck of their own.
func (w *weather) draw(isPut bool) (takes time.Duration, refused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.profile.P50 > 0 {
		from := &w.mu.rest
		if isPut {
			from = &w.mu.puts
		}
		takes = w.mu.profile.at(from.draw(w.mu.random))
	}
	return takes, w.mu.slowDown > 0 && w.mu.random.Float64() < w.mu.slowDown
}
