package broker

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTransactions_LateRequests: what comes late from a transaction is in no other.
func TestTransactions_LateRequests(t *testing.T) {
	a := newReader(t)
	a.create("topic", 2, nil)
	x := a.initTxn("id")
	wantCodes(t, "produce", x.produce(12, "topic", 0, 0), none)
	next := x.mustEnd(5, true)
	wantCodes(t, "produce in the next", next.produce(12, "topic", 0, 0), none)
	wantCodes(t, "a late batch", x.produce(12, "topic", 1, 1), invalidEpoch)
	wantCodes(t, "a late addition", x.add(3, "topic", 1), fenced)
	if _, code := x.end(5, false); code != fenced {
		t.Errorf("a late abort: %d", code)
	}
	// A retry of the end that was answered; the next transaction goes on.
	if _, code := x.end(5, true); code != fenced {
		t.Errorf("the commit again: %d", code)
	}
	wantCodes(t, "the next goes on", next.produce(12, "topic", 1, 0), none)
	next.mustEnd(5, true)
	if got := a.committed("topic", 0, 1); len(got) != 3 {
		t.Errorf("committed %q", got)
	}
}

// TestTransactions_TwoProducers: of two with one id the later one goes on, and nothing of the former is kept.
func TestTransactions_TwoProducers(t *testing.T) {
	for _, version2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("version 2: %t", version2), func(t *testing.T) {
			agents := newReaders(t, newStore(), 2, options{})
			a, b := agents[0], agents[1]
			a.create("topic", 2, nil)
			produce, end := int16(11), int16(4)
			if version2 {
				produce, end = 12, 5
			}
			begin := func(x txn) {
				if !version2 {
					wantCodes(t, "add", x.add(3, "topic", 0), none)
				}
			}
			former := a.initTxn("id")
			begin(former)
			wantCodes(t, "produce", former.produce(produce, "topic", 0, 0), none)
			later := b.initTxn("id")
			begin(later)
			wantCodes(t, "produce of the later", later.produce(produce, "topic", 0, 0), none)
			wantCodes(t, "produce of the former", former.produce(produce, "topic", 1, 0), invalidEpoch)
			wantCodes(t, "produce of the former, elsewhere", former.at(b).produce(produce, "topic", 1, 0), invalidEpoch)
			wantCodes(t, "an addition of the former", former.add(3, "topic", 1), fenced)
			if _, code := former.end(end, true); code != fenced {
				t.Errorf("the end of the former: %d", code)
			}
			later.mustEnd(end, true)
			if got := a.committed("topic", 0); len(got) != 1 {
				t.Errorf("committed %q", got)
			}
			if got := a.read("topic", 0, 0); len(got) != 2 {
				t.Errorf("there are %q", got)
			}
		})
	}
}

// TestTransactions_TopicDeleted: amid a transaction. It ends for the others, and the next one begins.
func TestTransactions_TopicDeleted(t *testing.T) {
	for _, commit := range []bool{true, false} {
		a := newReader(t)
		a.create("kept", 2, nil)
		a.create("deleted", 2, nil)
		x := a.initTxn("id")
		wantCodes(t, "produce", x.produce(12, "kept", 0, 0, 1), none)
		wantCodes(t, "produce", x.produce(12, "deleted", 0, 0, 1), none)
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TopicNames, req.TimeoutMillis = 5, []string{"deleted"}, 10_000
		if code := call[*kmsg.DeleteTopicsResponse](a, req).Topics[0].ErrorCode; code != 0 {
			t.Fatalf("delete: %d", code)
		}
		wantCodes(t, "produce to it", x.produce(12, "deleted", 1, 0), unknownTopic)
		wantCodes(t, "produce to the other", x.produce(12, "kept", 1, 0), none)
		a.create("deleted", 2, nil)
		x = x.mustEnd(5, commit)
		want := map[bool]int{true: 3}[commit]
		if got := a.committed("kept", 0, 1); len(got) != want {
			t.Errorf("commit %t: %q is committed", commit, got)
		}
		if got := a.read("deleted", 0, 0); len(got) != 0 {
			t.Errorf("the new topic has %q", got)
		}
		wantCodes(t, "produce to the new topic", x.produce(12, "deleted", 0, 0), none)
		x.mustEnd(5, true)
		if got := a.committed("deleted", 0); len(got) != 1 {
			t.Errorf("the new topic has %q committed", got)
		}
	}
}

// TestTransactions_ThousandPartitions: committed, then aborted, in all of them.
func TestTransactions_ThousandPartitions(t *testing.T) {
	const n = 1000
	a := newReader(t)
	a.create("topic", n, nil)
	var all []int32
	for p := range int32(n) {
		all = append(all, p)
	}
	x := a.initTxn("id")
	for round, commit := range []bool{true, false, true} {
		wantCodes(t, "produce", x.produce(12, "topic", 0, all...), none)
		if got := a.committed("topic", all...); len(got) != []int{0, n, n}[round] {
			t.Errorf("round %d, before the end: %d committed", round, len(got))
		}
		x = x.mustEnd(5, commit)
		if got := a.committed("topic", all...); len(got) != []int{n, n, 2 * n}[round] {
			t.Errorf("round %d: %d committed", round, len(got))
		}
	}
}

// TestTransactions_MixedProducers: a request has one producer, and nothing of one with two is kept.
func TestTransactions_MixedProducers(t *testing.T) {
	a := newReader(t)
	a.create("topic", 3, nil)
	x, y := a.initTxn("one"), a.initTxn("two")
	req := x.produceRequest(12, "topic", 0, 0, 1)
	req.Topics[0].Partitions[1].Records = y.batch(0, "another's")
	for _, p := range call[*kmsg.ProduceResponse](a, req).Topics[0].Partitions {
		if p.ErrorCode != invalidMapping {
			t.Errorf("partition %d: %d", p.Partition, p.ErrorCode)
		}
	}
	req = x.produceRequest(12, "topic", 0, 2)
	req.Topics[0].Partitions[0].Records = y.batch(0, "under another's name")
	if code := call[*kmsg.ProduceResponse](a, req).Topics[0].Partitions[0].ErrorCode; code != invalidMapping {
		t.Errorf("under another's name: %d", code)
	}
	if got := a.read("topic", 0, 0); len(got) != 0 {
		t.Errorf("there are %q", got)
	}
	wantCodes(t, "produce", x.produce(12, "topic", 0, 0, 1), none)
	x.mustEnd(5, true)
}

// TestTransactions_HandedOver: a transaction that several agents know a part of ends at any of them, with
// all its records and offsets, or without.
func TestTransactions_HandedOver(t *testing.T) {
	for _, version2 := range []bool{false, true} {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprintf("version 2: %t, commit: %t", version2, commit), func(t *testing.T) {
				agents := newReaders(t, newStore(), 3, options{})
				a, b, c := agents[0], agents[1], agents[2]
				a.create("topic", 4, nil)
				produce, commitOffset, end := int16(11), int16(4), int16(4)
				if version2 {
					produce, commitOffset, end = 12, 5, 5
				}
				x := a.initTxn("id")
				want := 0
				for round := range int32(3) {
					if !version2 {
						wantCodes(t, "add", x.at(b).add(3, "topic", 0, 1), none)
						wantCodes(t, "add", x.at(c).add(3, "topic", 2), none)
						if code := x.at(a).addGroup(3, "group"); code != none {
							t.Fatalf("add a group: %d", code)
						}
					}
					sequence := round
					if version2 {
						sequence = 0
					}
					wantCodes(t, "produce", x.at(a).produce(produce, "topic", sequence, 0), none)
					wantCodes(t, "produce", x.at(b).produce(produce, "topic", sequence, 1), none)
					wantCodes(t, "produce", x.at(c).produce(produce, "topic", sequence, 2), none)
					code := x.at(b).commitOffset(commitOffset, "group", "topic", int64(round)+5)
					if code == kerr.NotCoordinator.Code { // All three take themselves for it: the one that took the groups last may be another.
						code = x.at(b).commitOffset(commitOffset, "group", "topic", int64(round)+5)
					}
					if code != none {
						t.Fatalf("commit an offset: %d", code)
					}
					x = x.at([]*agent{c, a, b}[round]).mustEnd(end, commit)
					if commit {
						want += 3
					}
					// What can't go along with the decision comes after its answer.
					for _, agent := range agents {
						until(t, func() string {
							if got := agent.committed("topic", 0, 1, 2); len(got) != want {
								return fmt.Sprintf("round %d: %q is committed, not %d", round, got, want)
							}
							return ""
						})
					}
					req := kmsg.NewPtrOffsetFetchRequest()
					req.Version, req.Group, req.RequireStable = 7, "group", true
					req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "topic", Partitions: []int32{0}}}
					until(t, func() string {
						got := call[*kmsg.OffsetFetchResponse](c, req).Topics[0].Partitions[0]
						if offset := map[bool]int64{true: int64(round) + 5, false: -1}[commit]; got.ErrorCode != 0 || got.Offset != offset {
							return fmt.Sprintf("round %d: the group is at %d (%d), not %d", round, got.Offset, got.ErrorCode, offset)
						}
						return ""
					})
				}
			})
		}
	}
}

// until asks again until nothing is missing any more, for a minute.
func until(t *testing.T, missing func() string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		what := missing()
		if what == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(what)
		}
		runtime.Gosched()
	}
}

func wantCodes(t *testing.T, what string, got []int16, want int16) {
	t.Helper()
	if slices.ContainsFunc(got, func(code int16) bool { return code != want }) {
		t.Errorf("%s: %v, want %d", what, got, want)
	}
}
