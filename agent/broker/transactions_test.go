package broker

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka's codes of transactions.
const (
	none, unknownTopic, invalidGroup, invalidRequest     int16 = 0, 3, 24, 42
	invalidEpoch, invalidState, invalidMapping           int16 = 47, 48, 49
	invalidTimeout, concurrent, notAuthorized, attempted int16 = 50, 51, 53, 55
	fenced, abortable                                    int16 = 90, 120
)

// TestTransactions_Codes: what each version of each request is answered. The codes are Apache
// Kafka 4.2's (bench/differential compares them).
func TestTransactions_Codes(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	a.create("topic", 4, nil)
	unknown := txn{a, "nobody", 1 << 40, 0}
	// fencedFrom is PRODUCER_FENCED from a version on, and its older word before.
	fencedFrom := func(version, first int16) int16 {
		if version >= first {
			return fenced
		}
		return invalidEpoch
	}
	check := func(version int16, what string, got, want int16) {
		t.Helper()
		if got != want {
			t.Errorf("version %d, %s: %d, want %d", version, what, got, want)
		}
	}
	each := func(name string, last int16, test func(t *testing.T, version int16)) {
		t.Run(name, func(t *testing.T) {
			for version := range last + 1 {
				test(t, version)
			}
		})
	}
	id := func(kind string, version int16) string { return kind + string(rune('0'+version)) }

	each("InitProducerId", 5, func(t *testing.T, version int16) {
		nobody := txn{who: -1, epoch: -1}
		init := func(what string, id string, as txn, timeoutMs int32, want int16) txn {
			t.Helper()
			x, code := a.tryInit(version, id, as, timeoutMs)
			check(version, what, code, want)
			return x
		}
		name := id("init", version)
		init("an empty id", "", nobody, 1000, invalidRequest)
		init("no time-out", name, nobody, 0, invalidTimeout)
		init("a time-out too long", name, nobody, 900_001, invalidTimeout)
		x := init("the longest time-out", name, nobody, 900_000, none)
		x.add(3, "topic", 0)
		init("ongoing", name, nobody, 1000, concurrent)
		x = init("aborted", name, nobody, 1000, none)
		if version < 3 {
			return
		}
		init("an id without an epoch", name, txn{who: x.who, epoch: -1}, 1000, invalidRequest)
		init("an epoch without an id", name, txn{who: -1, epoch: x.epoch}, 1000, invalidRequest)
		y := init("as who it is", name, x, 1000, none)
		if z := init("as who it was", name, x, 1000, none); z.epoch != y.epoch {
			t.Errorf("version %d: a retry raised the epoch", version)
		}
		init("an epoch to come", name, y.as(2), 1000, fencedFrom(version, 4))
		init("another producer", name, y.other(), 1000, fencedFrom(version, 4))
		init("fenced", name, x.as(-1), 1000, fencedFrom(version, 4))
		init("removed", id("removed", version), y, 1000, none)
	})
	each("AddPartitionsToTxn", 5, func(t *testing.T, version int16) {
		x := a.initTxn(id("add", version))
		x = a.initTxn(x.id)
		add := func(what string, x txn, want int16) {
			t.Helper()
			check(version, what, x.add(version, "topic", 0)[0], want)
		}
		add("an unknown id", unknown, invalidMapping)
		add("an empty id", txn{a, "", x.who, x.epoch}, invalidRequest)
		add("another producer", x.other(), invalidMapping)
		add("the epoch before", x.as(-1), fencedFrom(version, 2))
		add("the epoch after", x.as(1), fencedFrom(version, 2))
		check(version, "an unknown topic", x.add(version, "nobody", 0)[0], unknownTopic)
		if got := x.add(version, "topic", 0, 7); !slices.Equal(got, []int16{attempted, unknownTopic}) {
			t.Errorf("version %d, one that is unknown: %v", version, got)
		}
		add("it", x, none)
		add("again", x, none)
	})
	each("AddOffsetsToTxn", 4, func(t *testing.T, version int16) {
		x := a.initTxn(id("offsets", version))
		x = a.initTxn(x.id)
		add := func(what string, x txn, want int16) {
			t.Helper()
			check(version, what, x.addGroup(version, "group"), want)
		}
		add("an unknown id", unknown, invalidMapping)
		add("an empty id", txn{a, "", x.who, x.epoch}, invalidRequest)
		add("another producer", x.other(), invalidMapping)
		add("the epoch before", x.as(-1), fencedFrom(version, 2))
		add("the epoch after", x.as(1), fencedFrom(version, 2))
		check(version, "an empty group", x.addGroup(version, ""), invalidGroup)
		add("it", x, none)
		add("again", x, none)
	})
	each("TxnOffsetCommit", 5, func(t *testing.T, version int16) {
		x := a.initTxn(id("commit", version))
		x = a.initTxn(x.id)
		commit := func(what string, x txn, want int16) {
			t.Helper()
			check(version, what, x.commitOffset(version, id("group", version), "topic", 5), want)
		}
		commit("an unknown id", unknown, invalidMapping)
		commit("another producer", x.other(), invalidMapping)
		commit("the epoch before", x.as(-1), invalidEpoch)
		commit("the epoch after", x.as(1), invalidEpoch)
		notAdded := map[bool]int16{true: invalidState, false: abortable}[version < txnCommitAbortableVersionMin]
		check(version, "an empty group", x.commitOffset(version, "", "topic", 5), invalidGroup)
		if version < txnCommitAddsVersionMin {
			commit("not added", x, notAdded)
			check(version, "add", x.addGroup(3, id("group", version)), none)
		}
		check(version, "an unknown topic", x.commitOffset(version, id("group", version), "nobody", 5), unknownTopic)
		commit("it", x, none)
		if version < txnCommitAddsVersionMin {
			x.mustEnd(4, true)
			commit("after the end", x, notAdded)
			return
		}
		next := x.mustEnd(5, true)
		commit("after the end", x, invalidEpoch)
		commit("in the next", next, none)
	})
	each("EndTxn", 5, func(t *testing.T, version int16) {
		x := a.initTxn(id("end", version))
		x = a.initTxn(x.id)
		end := func(what string, x txn, commit bool, want int16) {
			t.Helper()
			_, code := x.end(version, commit)
			check(version, what, code, want)
		}
		end("an unknown id", unknown, true, invalidMapping)
		end("an empty id", txn{a, "", x.who, x.epoch}, true, invalidRequest)
		end("commit of nothing", x, true, invalidState)
		if version < endBumpsVersionMin {
			end("abort of nothing", x, false, invalidState)
		}
		for _, commit := range []bool{true, false} {
			if got := x.add(3, "topic", 0); got[0] != none {
				t.Fatalf("add: %v", got)
			}
			end("another producer", x.other(), commit, invalidMapping)
			end("the epoch before", x.as(-1), commit, fencedFrom(version, 2))
			end("the epoch after", x.as(1), commit, fencedFrom(version, 2))
			next, code := x.end(version, commit)
			check(version, "it", code, none)
			end("the other verb", x, !commit, invalidState)
			end("again", x, commit, none)
			end("the epoch before, later", x.as(-1), commit, fencedFrom(version, 2))
			if version >= endBumpsVersionMin && next.epoch != x.epoch+1 {
				t.Errorf("the epoch is %d after %d", next.epoch, x.epoch)
			}
			x = next
		}
		if version >= endBumpsVersionMin {
			next := x.mustEnd(version, false)
			end("an abort of nothing again", x, false, none)
			end("commit after an abort of nothing", x, true, invalidState)
			end("commit of nothing after it", next, true, invalidState)
		}
	})
	t.Run("Produce", func(t *testing.T) {
		for version := int16(3); version <= 12; version++ {
			x := a.initTxn("produce" + string(rune('a'+version)))
			x = a.initTxn(x.id)
			send := func(what string, x txn, sequence int32, want int16) {
				t.Helper()
				check(version, what, x.produce(version, "topic", sequence, 1)[0], want)
			}
			notAdded := map[bool]int16{true: invalidState, false: abortable}[version < produceVersionAbortable]
			send("an unknown id", unknown, 0, invalidMapping)
			send("another producer", x.other(), 0, invalidMapping)
			send("the epoch before", x.as(-1), 0, invalidEpoch)
			send("the epoch after", x.as(1), 0, invalidEpoch)
			without := x.produceRequest(version, "topic", 0, 1)
			without.TransactionID = nil
			check(version, "without its id", call[*kmsg.ProduceResponse](a, without).Topics[0].Partitions[0].ErrorCode, notAuthorized)
			if version < produceVersionAdds {
				send("not added", x, 0, notAdded)
				x.add(3, "topic", 1)
			}
			send("it", x, 0, none)
			send("again", x, 0, none)
			send("another's batch", x.other(), 1, invalidMapping)
			if version < produceVersionAdds {
				x.mustEnd(4, true)
				send("late", x, 1, notAdded)
				continue
			}
			next := x.mustEnd(5, true)
			send("late", x, 1, invalidEpoch)
			send("in the next", next, 0, none)
		}
	})
}
