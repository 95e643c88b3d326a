package group

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// randomCandidates are up to eight members; alike: all with the same subscription.
func randomCandidates(rnd *rand.Rand, alike bool) ([]candidate, map[uint64]int32) {
	partitions := map[uint64]int32{}
	for topic := range 1 + rnd.Uint64N(4) {
		partitions[topic+1] = 1 + rnd.Int32N(12)
	}
	var candidates []candidate
	for i := range 1 + rnd.IntN(8) {
		c := candidate{id: fmt.Sprintf("m%d", i)}
		for topic := uint64(1); topic <= uint64(len(partitions)); topic++ {
			if alike || rnd.IntN(2) == 0 {
				c.topics = append(c.topics, topic)
			}
		}
		candidates = append(candidates, c)
	}
	return candidates, partitions
}

func checkAssignment(t *testing.T, candidates []candidate, partitions map[uint64]int32, assigned [][]stored.Place) {
	t.Helper()
	owner := map[stored.Place]int{}
	for i, places := range assigned {
		if !slices.IsSortedFunc(places, stored.Place.Compare) {
			t.Fatalf("%v is out of order", places)
		}
		for _, p := range places {
			if _, twice := owner[p]; twice || !candidates[i].subscribes(p.Topic) || p.Partition >= partitions[p.Topic] {
				t.Fatalf("%v must not be assigned to %+v", p, candidates[i])
			}
			owner[p] = i
		}
	}
	topics, _ := subscribers(candidates)
	for _, topic := range topics {
		for n := range partitions[topic] {
			if _, ok := owner[stored.Place{Topic: topic, Partition: n}]; !ok {
				t.Fatalf("%d/%d is assigned to nobody", topic, n)
			}
		}
	}
}

// TestAssign_EachPartitionOnce: by both assignors, over members that come, go and
// change what they are subscribed to.
func TestAssign_EachPartitionOnce(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		candidates, partitions := randomCandidates(rnd, seed%2 == 0)
		for range 4 {
			assigned := assign(assignors[rnd.IntN(len(assignors))], candidates, partitions)
			checkAssignment(t, candidates, partitions, assigned)
			next, sizes := randomCandidates(rnd, seed%2 == 0)
			for i := range next {
				if i < len(assigned) {
					next[i].target = assigned[i]
				}
			}
			candidates, partitions = next, sizes
		}
	}
}

func TestAssignUniformly_IsEvenAndKeeps(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		alike := seed%2 == 0
		candidates, partitions := randomCandidates(rnd, alike)
		assigned := assign(assignorUniform, candidates, partitions)
		even := func() {
			t.Helper()
			for i, places := range assigned {
				for j := range assigned {
					could := slices.ContainsFunc(places, func(p stored.Place) bool { return candidates[j].subscribes(p.Topic) })
					if could && len(places) > len(assigned[j])+1 {
						t.Fatalf("seed %d: %d has %d, %d has %d", seed, i, len(places), j, len(assigned[j]))
					}
				}
			}
		}
		even()
		for i := range candidates {
			candidates[i].target = assigned[i]
		}
		if again := assign(assignorUniform, candidates, partitions); !reflect.DeepEqual(again, assigned) {
			t.Fatalf("seed %d: nothing changed, but %v became %v", seed, assigned, again)
		}
		if !alike {
			continue
		}
		// One comes: nobody else gets anything.
		candidates = append(candidates, candidate{id: "z", topics: candidates[0].topics})
		assigned = assign(assignorUniform, candidates, partitions)
		even()
		for i := range candidates[:len(candidates)-1] {
			for _, p := range assigned[i] {
				if !slices.Contains(candidates[i].target, p) {
					t.Fatalf("seed %d: %v went to one that was here", seed, p)
				}
			}
		}
		// One goes: nobody else loses anything.
		for i := range candidates {
			candidates[i].target = assigned[i]
		}
		gone := rnd.IntN(len(candidates))
		candidates = slices.Delete(candidates, gone, gone+1)
		assigned = assign(assignorUniform, candidates, partitions)
		even()
		for i := range candidates {
			for _, p := range candidates[i].target {
				if !slices.Contains(assigned[i], p) {
					t.Fatalf("seed %d: %v was taken from one that stays", seed, p)
				}
			}
		}
	}
}

func TestAssignRanges(t *testing.T) {
	candidates := []candidate{
		{id: "a", topics: []uint64{1, 2}}, {id: "b", topics: []uint64{1}}, {id: "c", instance: "i", topics: []uint64{1, 2}},
	}
	got := fmt.Sprint(assign(assignorRange, candidates, map[uint64]int32{1: 7, 2: 3}))
	if want := "[[{1 3} {1 4} {2 2}] [{1 5} {1 6}] [{1 0} {1 1} {1 2} {2 0} {2 1}]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAssignUniformly_Large: a group of a thousand, none of whom had anything.
func TestAssignUniformly_Large(t *testing.T) {
	partitions := map[uint64]int32{1: 10_000}
	candidates := make([]candidate, 1000)
	for i := range candidates {
		candidates[i] = candidate{id: fmt.Sprintf("m%04d", i), topics: []uint64{1}}
	}
	for _, places := range assign(assignorUniform, candidates, partitions) {
		if len(places) != 10 {
			t.Fatalf("%d partitions", len(places))
		}
	}
}
