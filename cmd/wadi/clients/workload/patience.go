package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// commitMax bounds a commit. No request of the client's waits as long (requestMax), but the library waits for the
// commit's outcome without a bound, and now and then gets none when the coordinator is killed at that moment.
const commitMax = 45 * time.Second

// closeMax bounds a Close for which the library needs no broker. Less than what a process has for its end.
const closeMax = 45 * time.Second

// messageMax is how long the library waits for a message's outcome, which is longer than its producer lives on
// without one (deliveryMax). Once it gives a message up it goes on with a new epoch, under which it sends again what
// other partitions have in flight: values that are in the log may get there twice, whatever a broker does
// (librdkafka's issue 4953).
const messageMax = 10 * time.Minute

// errUndelivered ends a producer of which a value had no outcome for deliveryMax.
var errUndelivered = errors.New("no outcome in time")

// errCommitStuck: the client is of no use any more. Its member leaves the group by itself (max.poll.interval.ms).
var errCommitStuck = errors.New("librdkafka's commit is stuck")

func commit(c *kafka.Consumer) error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Commit()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(commitMax):
		return errCommitStuck
	}
}

// closes closes a client that has told all it has to tell. One that doesn't come to its end is left behind with its
// goroutine, and counted until it does.
func (r *recorder) closes(client string, end func() error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := end(); err != nil {
			r.trouble("close", err)
		}
	}()
	select {
	case <-ended:
		return
	case <-time.After(closeMax):
	}
	r.leavesBehind(client)
	go func() {
		<-ended
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.mu.behind, client)
	}()
}

// leavesBehind counts a client that isn't closed.
func (r *recorder) leavesBehind(client string) {
	fmt.Fprintf(os.Stderr, "workload: %s is left behind: what it logged last tells what it waits for\n", client)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.behind[client] = true
}
