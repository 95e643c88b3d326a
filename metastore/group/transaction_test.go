package group

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

func pending(id string, producer int64, x uint64, offsets ...PlacedOffset) []byte {
	return AppendPending(nil, Pending{Commit: Commit{Group: id, Offsets: offsets}, Producer: producer, Transaction: x, AnyMembers: true})
}

func ended(producer int64, x uint64, commit bool) []byte {
	return AppendEnded(nil, Ended{Producer: producer, Transaction: x, Commit: commit})
}

func (j *journal) offset(id string, p Place) int64 {
	o, ok := j.state.Offset(id, p)
	if !ok {
		return -1
	}
	return o.Offset
}

var place = Place{1, 0}

// All or nothing, over the groups of a journal; what comes late is void.
func TestTransactions_CommitAndAbort(t *testing.T) {
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprint("commit ", commit), func(t *testing.T) {
			j := newJournal(t)
			j.append(commit1("g", 3), pending("g", 7, 5, at(1, 0, 10)), pending("h", 7, 5, at(1, 0, 20)))
			if j.offset("g", place) != 3 || !j.state.Unstable("g", place) || !j.state.Unstable("h", place) || j.state.Unstable("g", Place{1, 1}) {
				t.Fatal("pending offsets are committed, or nobody knows of them")
			}
			if got := j.append(ended(7, 5, commit), ended(7, 5, !commit)); got[0] != true || got[1] != false {
				t.Errorf("the ends came to %v", got)
			}
			g, h := int64(3), int64(-1)
			if commit {
				g, h = 10, 20
			}
			if j.offset("g", place) != g || j.offset("h", place) != h || j.state.Unstable("g", place) {
				t.Errorf("committed %d and %d", j.offset("g", place), j.offset("h", place))
			}
			if got := j.append(pending("g", 7, 5, at(1, 0, 99)), pending("new", 7, 4, at(1, 0, 99))); got[0] != false || got[1] != false {
				t.Error("offsets of a transaction that has ended are pending")
			}
			if got := j.append(pending("g", 7, 6, at(1, 0, 30))); got[0] != true {
				t.Error("those of the next one are void")
			}
		})
	}
}

func commit1(id string, offset int64) []byte { return commit(id, 0, at(1, 0, offset)) }

// As in Kafka the commit that was written last stays.
func TestTransactions_LaterCommitStays(t *testing.T) {
	j := newJournal(t)
	j.append(pending("g", 7, 5, at(1, 0, 10)))
	j.append(commit1("g", 20))
	j.append(ended(7, 5, true))
	if got := j.offset("g", place); got != 20 {
		t.Errorf("%d", got)
	}
	j.append(pending("g", 7, 6, at(1, 0, 30)))
	j.append(pending("g", 8, 1, at(1, 0, 40)))
	j.append(ended(8, 1, true))
	j.append(ended(7, 6, true))
	if got := j.offset("g", place); got != 40 {
		t.Errorf("of two transactions: %d", got)
	}
}

// A member's pending offsets stand under its generation only; without a member always.
func TestTransactions_Guard(t *testing.T) {
	j := newJournal(t)
	j.append(AppendGeneration(nil, "g", 0, generation(1, "m")))
	x := Pending{Commit: Commit{Group: "g", Generation: 1, Offsets: []PlacedOffset{at(1, 0, 1)}}, Producer: 7, Transaction: 5}
	if j.append(AppendPending(nil, x))[0] != true {
		t.Error("void under the generation that stands")
	}
	if x.Generation = 9; j.append(AppendPending(nil, x))[0] != false {
		t.Error("stands under another generation")
	}
	if x.Generation = 0; j.append(AppendPending(nil, x))[0] != false {
		t.Error("stands as of a group without members")
	}
	if x.AnyMembers = true; j.append(AppendPending(nil, x))[0] != true {
		t.Error("of no member, and void")
	}
}

// What is deleted while it is pending: a group, or a partition's offset, goes with what is
// pending; what has expired stays until the transaction has ended.
func TestTransactions_Deletions(t *testing.T) {
	j := newJournal(t)
	j.append(commit1("g", 3)) // at 1,000
	j.append(pending("g", 7, 5, at(1, 0, 10), at(1, 1, 11)), pending("simple", 7, 5, at(1, 0, 10)))
	seen := OffsetsDeletion{Group: "g", Places: []DeletedPlace{{Place: place, CommittedAt: 1000, AsSeen: true}}}
	if got := j.append(AppendOffsetsDeleted(nil, seen))[0]; got != 0 {
		t.Errorf("%v expired while a transaction is about to renew it", got)
	}
	if got := j.append(AppendGroupDeleted(nil, GroupDeletion{Group: "simple", Generation: 2, Expired: true}))[0]; got != false {
		t.Error("a group with pending offsets has expired")
	}
	j.append(AppendOffsetsDeleted(nil, OffsetsDeletion{Group: "g", Places: []DeletedPlace{{Place: place}}}))
	if j.state.Unstable("g", place) || !j.state.Unstable("g", Place{1, 1}) {
		t.Error("a deleted offset is pending")
	}
	if got := j.append(AppendGroupDeleted(nil, GroupDeletion{Group: "simple", Generation: 2}))[0]; got != true {
		t.Error("the group is not deleted")
	}
	j.append(ended(7, 5, true))
	if j.offset("g", place) != -1 || j.offset("g", Place{1, 1}) != 11 || j.state.Generation("simple") != nil {
		t.Error("the end brings back what was deleted")
	}
	if got := j.append(pending("simple", 7, 5, at(1, 0, 10)))[0]; got != false {
		t.Error("which transactions ended is forgotten with the group")
	}
}

// Which transactions ended is forgotten of producers that were silent, as they were seen.
func TestTransactions_Forgotten(t *testing.T) {
	j := newJournal(t)
	j.append(ended(7, 5, true), ended(8, 6, true), pending("g", 9, 1, at(1, 0, 1))) // at 1,000
	if got := j.state.EndedBefore(1000, 10); len(got) != 0 {
		t.Errorf("%v", got)
	}
	list := j.state.EndedBefore(1001, 10)
	if fmt.Sprint(list) != "[{7 5} {8 6}]" || len(j.state.EndedBefore(1001, 1)) != 1 {
		t.Fatalf("%v", list)
	}
	j.append(ended(8, 7, false))
	if got := j.append(AppendEndedForgotten(nil, list))[0]; got != 1 || j.state.EndedTransaction(7) != 0 || j.state.EndedTransaction(8) != 7 {
		t.Errorf("%v forgotten", got)
	}
}

// What only a bug appends stops the journal.
func TestTransactions_BugsStop(t *testing.T) {
	for name, effect := range map[string][]byte{
		"two at once":            pending("h", 7, 6, at(1, 0, 1)),
		"an end before its time": ended(7, 4, true),
		"a commit without guard": bytes.Replace(commit1("g", 3), []byte("g\x00"), []byte("g\x03"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			j.append(pending("g", 7, 5, at(1, 0, 10)))
			v := j.fold.Version() + 1
			h := metastore.Header{Term: 1, Number: uint64(v), Time: 1}
			if _, err := j.fold.Apply(v, append(metastore.AppendHeader(nil, h), effect...), nil); err == nil {
				t.Error("folded")
			}
		})
	}
}

func transactionEntries() [][]byte {
	entries := [][][]byte{
		{commit1("g", 3)},
		{pending("g", 7, 1000, at(1, 0, 10), PlacedOffset{Place{7, 300}, Offset{Offset: 1 << 40, LeaderEpoch: 3, Metadata: "µ meta"}}),
			pending("new", 7, 1000, at(2, 1, 5)),
			AppendPending(nil, Pending{Commit: Commit{Group: "g", Generation: 9, Offsets: []PlacedOffset{at(1, 0, 1)}}, Producer: 7, Transaction: 1000})}, // void
		{pending("g", 9, 3, at(1, 0, 11)), ended(8, 999, false)},
		{commit1("g", 4), ended(7, 1000, true), ended(7, 1000, false)}, // the last is void
		{pending("g", 7, 1001, at(1, 0, 12), at(1, 2, 13)), AppendEndedForgotten(nil, []EndedProducer{{7, 1000}, {8, 999}})},
	}
	joined := make([][]byte, len(entries))
	for i, effects := range entries {
		v := uint64(i + 1)
		h := metastore.Header{Term: 1, Number: v, Time: int64(1000 * v)}
		joined[i] = append(metastore.AppendHeader(nil, h), bytes.Join(effects, nil)...)
	}
	return joined
}

// TestTransactions_Golden holds the bytes of the effects of transactions, and of a snapshot with some.
func TestTransactions_Golden(t *testing.T) {
	state, text := kit().Tell(t, transactionEntries(), 0)
	machinetest.Golden(t, "transactions.txt", text+"snapshot\n"+hex.Dump(state.AppendSnapshot(nil))+"\n"+kit().Words(t, state))
}
