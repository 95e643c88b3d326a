package clients

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// ledger is what writers sent and were answered, and judges what readers read.
// Each writer's values to a partition count from 0, so that a loss, a repetition
// or another order shows in any reader's stream.
type ledger struct {
	mu struct {
		sync.Mutex
		sent         map[lane]int              // values given out
		acknowledged map[int32]map[int64]value // by partition and offset
		count        int
	}
}

// lane is one writer's records in one partition.
type lane struct {
	writer    int
	partition int32
}

// value is a record's place in its lane.
type value struct {
	writer, number int
}

func newLedger() *ledger {
	l := &ledger{}
	l.mu.sent, l.mu.acknowledged = map[lane]int{}, map[int32]map[int64]value{}
	return l
}

// next gives out a lane's next value; the writer must send it.
func (l *ledger) next(to lane) value {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := value{to.writer, l.mu.sent[to]}
	l.mu.sent[to]++
	return v
}

func (v value) bytes() []byte { return fmt.Appendf(nil, "%d %d", v.writer, v.number) }

func parseValue(b []byte) (v value, err error) {
	_, err = fmt.Sscanf(string(b), "%d %d", &v.writer, &v.number)
	return v, err
}

// acknowledge notes the place that an answer named.
func (l *ledger) acknowledge(partition int32, offset int64, v value) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	places := l.mu.acknowledged[partition]
	if places == nil {
		places = map[int64]value{}
		l.mu.acknowledged[partition] = places
	}
	if other, taken := places[offset]; taken {
		return fmt.Errorf("partition %d, offset %d: acknowledged for %v and for %v", partition, offset, other, v)
	}
	places[offset] = v
	l.mu.count++
	return nil
}

// acknowledged is how many records were.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.count
}

func (l *ledger) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for _, n := range l.mu.sent {
		total += n
	}
	return total
}

// follower is one reader's stream, checked record by record.
type follower struct {
	mu struct {
		sync.Mutex
		offsets map[int32]int64
		lanes   map[lane]int
		seen    map[int32][]value // by offset
		count   int
	}
}

func newFollower() *follower {
	f := &follower{}
	f.mu.offsets, f.mu.lanes, f.mu.seen = map[int32]int64{}, map[lane]int{}, map[int32][]value{}
	return f
}

// saw takes a partition's next record: the next offset, with its lane's next value.
func (f *follower) saw(partition int32, offset int64, body []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := f.mu.offsets[partition]; offset != want {
		return fmt.Errorf("partition %d: offset %d came when %d was next", partition, offset, want)
	}
	v, err := parseValue(body)
	if err != nil {
		return fmt.Errorf("partition %d, offset %d: %q: %w", partition, offset, body, err)
	}
	from := lane{v.writer, partition}
	if want := f.mu.lanes[from]; v.number != want {
		return fmt.Errorf("partition %d, offset %d: value %d of writer %d came when %d was next", partition, offset, v.number, v.writer, want)
	}
	f.mu.offsets[partition]++
	f.mu.lanes[from]++
	f.mu.seen[partition] = append(f.mu.seen[partition], v)
	f.mu.count++
	return nil
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.count
}

// settle compares a whole stream with the ledger, once every record that was sent
// has been acknowledged: each was read exactly once, at the place of its answer.
func (l *ledger) settle(f *follower) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	var wrong []error
	for to, sent := range l.mu.sent {
		if read := f.mu.lanes[to]; read != sent {
			wrong = append(wrong, fmt.Errorf("writer %d sent %d records to partition %d, %d were read", to.writer, sent, to.partition, read))
		}
	}
	misplaced := 0
	for partition, places := range l.mu.acknowledged {
		for offset, want := range places {
			if seen := f.mu.seen[partition]; offset >= int64(len(seen)) || seen[offset] != want {
				if misplaced++; misplaced <= 10 {
					wrong = append(wrong, fmt.Errorf("partition %d, offset %d: %v was acknowledged there", partition, offset, want))
				}
			}
		}
	}
	if f.mu.count != l.mu.count {
		wrong = append(wrong, fmt.Errorf("%d records read, %d acknowledged", f.mu.count, l.mu.count))
	}
	return errors.Join(wrong...)
}

// The ledger itself must find what it is there to find.
func TestLedger_FindsWhatIsWrong(t *testing.T) {
	type seen struct {
		offset int64
		value  string
	}
	for _, row := range []struct {
		name  string
		reads []seen
		right bool
	}{
		{"all", []seen{{0, "0 0"}, {1, "0 1"}, {2, "0 2"}}, true},
		{"a loss at the end", []seen{{0, "0 0"}, {1, "0 1"}}, false},
		{"a loss, closed up", []seen{{0, "0 0"}, {1, "0 2"}}, false},
		{"a hole", []seen{{0, "0 0"}, {2, "0 2"}}, false},
		{"a value twice", []seen{{0, "0 0"}, {1, "0 1"}, {2, "0 1"}, {3, "0 2"}}, false},
		{"an offset twice", []seen{{0, "0 0"}, {1, "0 1"}, {1, "0 1"}, {2, "0 2"}}, false},
		{"another order", []seen{{0, "0 1"}, {1, "0 0"}, {2, "0 2"}}, false},
		{"what nobody sent", []seen{{0, "0 0"}, {1, "0 1"}, {2, "0 2"}, {3, "0 3"}}, false},
	} {
		l, f := newLedger(), newFollower()
		for offset := range int64(3) {
			if err := l.acknowledge(0, offset, l.next(lane{0, 0})); err != nil {
				t.Fatal(err)
			}
		}
		var wrong error
		for _, r := range row.reads {
			wrong = errors.Join(wrong, f.saw(0, r.offset, []byte(r.value)))
		}
		if wrong = errors.Join(wrong, l.settle(f)); (wrong == nil) != row.right {
			t.Errorf("%s: found: %v", row.name, wrong)
		}
	}
	l := newLedger()
	if err := errors.Join(l.acknowledge(0, 0, value{0, 0}), l.acknowledge(0, 0, value{0, 1})); err == nil {
		t.Error("one offset for two values was not found")
	}
}
