package group

import (
	"cmp"
	"slices"
	"strings"

	stored "github.com/wadi-io/wadi/metastore/group"
)

// The server-side assignors, under Kafka's names.
const (
	assignorUniform = "uniform"
	assignorRange   = "range"
)

// assignors are the names of all.
var assignors = [...]string{assignorUniform, assignorRange}

// candidate is a member that partitions are assigned to.
type candidate struct {
	id       string
	instance string
	topics   []uint64       // that it is subscribed to, ordered; all exist
	target   []stored.Place // what it was assigned before, ordered
}

func (c *candidate) subscribes(topic uint64) bool {
	_, ok := slices.BinarySearch(c.topics, topic)
	return ok
}

// assign returns for each candidate its partitions, ordered: each partition of a topic
// that anyone is subscribed to goes to one of its subscribers. partitions are the topics' sizes.
func assign(assignor string, candidates []candidate, partitions map[uint64]int32) [][]stored.Place {
	var assigned [][]stored.Place
	if assignor == assignorRange {
		assigned = assignRanges(candidates, partitions)
	} else {
		assigned = assignUniformly(candidates, partitions)
	}
	for _, places := range assigned {
		slices.SortFunc(places, stored.Place.Compare)
	}
	return assigned
}

// subscribers returns the topics that anyone is subscribed to, ordered, and of each
// the indices of its subscribers.
func subscribers(candidates []candidate) (topics []uint64, of map[uint64][]int) {
	of = map[uint64][]int{}
	for i := range candidates {
		for _, t := range candidates[i].topics {
			if of[t] == nil {
				topics = append(topics, t)
			}
			of[t] = append(of[t], i)
		}
	}
	slices.Sort(topics)
	return topics, of
}

// assignRanges gives each subscriber of a topic, static members first, a range of its
// partitions: with the same subscriptions and sizes the same partitions of all topics.
func assignRanges(candidates []candidate, partitions map[uint64]int32) [][]stored.Place {
	assigned := make([][]stored.Place, len(candidates))
	topics, of := subscribers(candidates)
	for _, topic := range topics {
		order := of[topic]
		slices.SortFunc(order, func(i, j int) int {
			a, b := &candidates[i], &candidates[j]
			switch {
			case a.instance != "" && b.instance != "":
				return strings.Compare(a.instance, b.instance)
			case a.instance != "":
				return -1
			case b.instance != "":
				return 1
			}
			return strings.Compare(a.id, b.id)
		})
		size, extra := partitions[topic]/int32(len(order)), partitions[topic]%int32(len(order))
		next := int32(0)
		for _, i := range order {
			end := next + size
			if extra > 0 {
				extra--
				end++
			}
			for ; next < end; next++ {
				assigned[i] = append(assigned[i], stored.Place{Topic: topic, Partition: next})
			}
		}
	}
	return assigned
}

// assignUniformly evens out how many partitions the candidates have. What a candidate
// had it keeps, but what has to move to even them out.
func assignUniformly(candidates []candidate, partitions map[uint64]int32) [][]stored.Place {
	assigned := make([][]stored.Place, len(candidates))
	taken := map[stored.Place]bool{}
	for i := range candidates {
		for _, p := range candidates[i].target {
			if candidates[i].subscribes(p.Topic) && p.Partition < partitions[p.Topic] && !taken[p] {
				taken[p] = true
				assigned[i] = append(assigned[i], p)
			}
		}
	}
	topics, of := subscribers(candidates)
	least := func(topic uint64) int {
		return slices.MinFunc(of[topic], func(i, j int) int {
			return cmp.Or(cmp.Compare(len(assigned[i]), len(assigned[j])), cmp.Compare(i, j))
		})
	}
	for _, topic := range topics {
		for n := range partitions[topic] {
			if p := (stored.Place{Topic: topic, Partition: n}); !taken[p] {
				i := least(topic)
				assigned[i] = append(assigned[i], p)
			}
		}
	}
	for evenOut(assigned, least) {
	}
	return assigned
}

// evenOut moves one partition to a candidate that has at least two fewer, from the one
// with the most that has such a partition. False: there is none. The sum of the
// squares falls with each move, so it comes to an end.
func evenOut(assigned [][]stored.Place, least func(topic uint64) int) bool {
	order := make([]int, len(assigned))
	fewest := 0
	for i := range order {
		order[i] = i
		if len(assigned[i]) < len(assigned[fewest]) {
			fewest = i
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(len(assigned[j]), len(assigned[i])), cmp.Compare(i, j))
	})
	for _, from := range order {
		if len(assigned[from]) < len(assigned[fewest])+2 {
			return false
		}
		topic := uint64(0)
		for k := len(assigned[from]) - 1; k >= 0; k-- {
			p := assigned[from][k]
			if k < len(assigned[from])-1 && p.Topic == topic {
				continue // Its subscribers have been looked at.
			}
			topic = p.Topic
			if to := least(topic); len(assigned[to])+2 <= len(assigned[from]) {
				assigned[from] = slices.Delete(assigned[from], k, k+1)
				assigned[to] = append(assigned[to], p)
				return true
			}
		}
	}
	return false
}
