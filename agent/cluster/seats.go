package cluster

import (
	"cmp"
	"slices"
)

// Every agent must come to the same division whatever its release: the numbers
// below are pinned by a golden test. Never change them.

// mix spreads a number over 64 bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// score is how much a thing wants to be at a place (rendezvous hashing).
func score(thing, place int) uint64 {
	return mix(mix(uint64(thing)) ^ uint64(place)*0xd6e8feb86659fd93)
}

// wish is what a shard would give for a place.
type wish struct {
	score        uint64
	shard, place int
}

func stronger(a, b wish) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.shard, b.shard), cmp.Compare(a.place, b.place))
}

// divide gives each shard one of the places, which are distinct numbers from 1. Each
// place gets ⌊shards ÷ places⌋ shards or one more. Numbers are the lowest free ones, so
// it divides among all up to the highest, and then those of the missing again: a
// place that comes or goes moves its own share, and hardly more. It returns the places by
// shard, nil for no places. Same places, same division, in any order of them.
func divide(shards int, places []int) []int {
	if len(places) == 0 {
		return nil
	}
	division := fill(shards, slices.Max(places))
	load := map[int]int{}
	for _, p := range places {
		load[p] = 0
	}
	var wishes []wish
	for s, p := range division {
		if _, here := load[p]; here {
			load[p]++
			continue
		}
		division[s] = 0
		for _, p := range places {
			wishes = append(wishes, wish{score(s, p), s, p})
		}
	}
	// By bounded rendezvous: the strongest wishes are granted while their place has
	// room, so a shard that finds its choice full has its next one.
	share, extra := shards/len(places), shards%len(places)
	for _, n := range load {
		if n > share {
			extra--
		}
	}
	slices.SortFunc(wishes, stronger)
	for _, w := range wishes {
		switch n := load[w.place]; {
		case division[w.shard] != 0:
		case n < share, n == share && extra > 0:
			if n == share {
				extra--
			}
			division[w.shard] = w.place
			load[w.place]++
		}
	}
	return division
}

// fill divides the shards among the places 1 to n. The first has all; each further one
// takes its share of those that want it most: first from places that would have too
// many, then from such as can spare one.
func fill(shards, n int) []int {
	division := make([]int, shards)
	load := make([]int, n+1)
	for s := range division {
		division[s] = 1
	}
	load[1] = shards
	wishes := make([]wish, shards)
	for place := 2; place <= n; place++ {
		for s := range wishes {
			wishes[s] = wish{score(s, place), s, place}
		}
		slices.SortFunc(wishes, stronger)
		share, most := shards/place, (shards+place-1)/place
		for _, w := range wishes {
			if from := division[w.shard]; load[from] > most {
				load[from]--
				load[place]++
				division[w.shard] = place
			}
		}
		for _, w := range wishes {
			if from := division[w.shard]; from != place && load[from] > share && load[place] < share {
				load[from]--
				load[place]++
				division[w.shard] = place
			}
		}
	}
	return division
}
