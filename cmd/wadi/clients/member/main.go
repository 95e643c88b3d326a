// Command member is a member of a consumer group, with one of four Go clients:
//
//	member franz-go|librdkafka|sarama|kafka-go HOST:PORT CLIENT-ID
//
// It reads requests from standard input and writes events to standard output,
// one JSON object a line, as the programs in ../java, ../node and ../python do;
// they are described in ../program_test.go. It is a process of its own so that a
// test can kill it: only then does a member vanish without leaving.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// request is a line of standard input.
type request struct {
	Do       string // join or leave
	Topic    string
	Group    string
	Instance string // group.instance.id, or empty
	Protocol string // classic or consumer
	Session  int    // session.timeout.ms
}

// event is a line of standard output.
type event struct {
	Done       string  `json:"done,omitempty"`
	Error      string  `json:"error,omitempty"`
	Event      string  `json:"event,omitempty"` // assigned, read or committed
	Partitions []int32 `json:"partitions,omitempty"`
	Partition  int32   `json:"partition"`
	First      int64   `json:"first"`
	Last       int64   `json:"last"`
	Offset     int64   `json:"offset"`
}

// output writes events, from any goroutine.
type output struct{ mu sync.Mutex }

func (o *output) write(e event) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // a struct of numbers and strings
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func (o *output) assigned(partitions []int32) {
	o.write(event{Event: "assigned", Partitions: partitions})
}

func (o *output) read(partition int32, first, last int64) {
	o.write(event{Event: "read", Partition: partition, First: first, Last: last})
}

func (o *output) committed(partition int32, offset int64) {
	o.write(event{Event: "committed", Partition: partition, Offset: offset})
}

// place is where a member finds the cluster, and its client.id, which may say a zone.
type place struct{ address, clientID string }

// joiner joins a group and consumes, committing what it read, until leave is
// closed; then it leaves the group and returns.
type joiner func(at place, r request, leave <-chan struct{}, out *output) error

func joiners() map[string]joiner {
	return map[string]joiner{"franz-go": joinFranz, "librdkafka": joinLibrdkafka, "sarama": joinSarama, "kafka-go": joinSegmentio}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "member:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 4 || joiners()[os.Args[1]] == nil {
		return fmt.Errorf("usage: member franz-go|librdkafka|sarama|kafka-go HOST:PORT CLIENT-ID")
	}
	out := &output{}
	var leave chan struct{}
	ended := make(chan error, 1)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		switch {
		case r.Do == "join" && leave == nil:
			leave = make(chan struct{})
			go func() {
				err := joiners()[os.Args[1]](place{os.Args[2], os.Args[3]}, r, leave, out)
				if err != nil {
					out.write(event{Error: err.Error()})
				}
				ended <- err
			}()
			out.write(event{Done: "join"})
		case r.Do == "leave" && leave != nil:
			close(leave)
			if err := <-ended; err != nil {
				return err
			}
			out.write(event{Done: "leave"})
			leave = nil
		default:
			return fmt.Errorf("request %q", lines.Text())
		}
	}
	return lines.Err()
}
