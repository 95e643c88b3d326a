package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// key is a partition.
type key struct {
	topic     string
	partition int32
}

func (k key) String() string { return fmt.Sprintf("%s/%d", k.topic, k.partition) }

const (
	// topicsSent are the topics that are sent to at a time: the newest, and the one before it.
	topicsSent = 2
	// topicsRead are the topics that are read at a time; what is older was read at its time, and is again at the end.
	topicsRead = 4
)

// newest is the number of the newest topic: all processes of a run agree on it.
func (s *settings) newest() int { return int(time.Since(s.since) / s.renewal) }

func (s *settings) topic(i int) string { return fmt.Sprintf("%s-%d", s.topics, i) }

// keysOf are the keys of the newest n topics.
func (s *settings) keysOf(n int) (keys []key) {
	for i := max(0, s.newest()-n+1); i <= s.newest(); i++ {
		for p := range s.partitions {
			keys = append(keys, key{s.topic(i), int32(p)})
		}
	}
	return keys
}

// random are a process's choices.
func (s *settings) random(process string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(process))
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// topicsOf are the newest n topics.
func (s *settings) topicsOf(n int) (topics []string) {
	for i := max(0, s.newest()-n+1); i <= s.newest(); i++ {
		topics = append(topics, s.topic(i))
	}
	return topics
}

// createPatience bounds one attempt at creating a topic.
const createPatience = 10 * time.Second

// makeTopics makes each topic before its time comes.
func (w *workload) makeTopics(ctx context.Context) {
	for i := 0; ctx.Err() == nil; {
		if i > w.newest()+1 {
			sleep(ctx, 200*time.Millisecond)
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, createPatience)
		err := w.library.create(attempt, w.topic(i))
		if err == nil && w.copiers > 0 {
			err = w.library.create(attempt, w.topic(i)+copySuffix)
		}
		cancel()
		if err == nil {
			i++
			continue
		}
		w.recorder.trouble("create", err)
		sleep(ctx, 500*time.Millisecond)
	}
}

// produce runs one producer after the other under the same number.
func (w *workload) produce(ctx context.Context, number int) {
	for life := 0; ctx.Err() == nil; life++ {
		process := fmt.Sprintf("%s-p%d.%d", w.name, number, life)
		if err := w.library.produce(ctx, process); err != nil {
			w.recorder.trouble("produce", err)
			sleep(ctx, 200*time.Millisecond)
		}
	}
}

const (
	readerLife    = 12 * time.Second // mean, by assign
	memberLife    = 45 * time.Second // mean, of a group's member
	fromStartOnce = 6                // one in so many assignments of a key begins at 0 again
)

// read runs one reader after the other under the same number.
func (w *workload) read(ctx context.Context, number int) {
	random := w.random(fmt.Sprint("reader ", number))
	places := map[key]int64{}
	for life := 0; ctx.Err() == nil; life++ {
		process := fmt.Sprintf("%s-r%d.%d", w.name, number, life)
		var err error
		if w.group != "" && w.copiers == 0 {
			// The last one outlives its time, so that the group may come to rest.
			lifetime, end := context.WithTimeout(ctx, memberLife/2+time.Duration(random.Int64N(int64(memberLife))))
			err = w.library.subscribe(lifetime, process)
			end()
		} else {
			assigned := map[key]int64{}
			for _, k := range w.keysOf(topicsRead) {
				if random.IntN(3) > 0 { // two in three
					assigned[k] = places[k]
				}
				if random.IntN(fromStartOnce) == 0 && assigned[k] > 0 {
					assigned[k] = 0
				}
			}
			if len(assigned) == 0 {
				continue
			}
			lifetime, end := context.WithTimeout(ctx, readerLife/2+time.Duration(random.Int64N(int64(readerLife))))
			err = w.library.assign(lifetime, process, assigned)
			end()
			for k, offset := range assigned {
				places[k] = offset
			}
		}
		if err != nil {
			w.recorder.trouble("read", err)
			sleep(ctx, 200*time.Millisecond)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
