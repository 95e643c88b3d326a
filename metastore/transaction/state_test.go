package transaction

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
	"github.com/wadi-io/wadi/metastore/shard"
)

func kit() machinetest.Kit[*State] { return machinetest.Kit[*State]{New: New, Describe: Describe} }

// journal folds entries of one term; the writer's clock is 1,000 × the version.
type journal struct {
	t     testing.TB
	state *State
	fold  *metastore.Fold
}

func newJournal(t testing.TB) *journal {
	s := New()
	return &journal{t: t, state: s, fold: metastore.NewFold(s)}
}

func entry(v uint64, effects ...[]byte) []byte {
	h := metastore.Header{Term: 1, Number: v, Time: int64(1000 * v)}
	return append(metastore.AppendHeader(nil, h), bytes.Join(effects, nil)...)
}

func (j *journal) tryAppend(effects ...[]byte) ([]any, error) {
	v := j.fold.Version() + 1
	res, err := j.fold.Apply(v, entry(uint64(v), effects...), func(metastore.Header) bool { return true })
	return res.Outcomes, err
}

func (j *journal) append(effects ...[]byte) []any {
	j.t.Helper()
	outcomes, err := j.tryAppend(effects...)
	if err != nil {
		j.t.Fatal(err)
	}
	return outcomes
}

func fresh(producer int64, epoch int16) Identity { return Identity{producer, epoch, None, None} }

func begin(seen uint64, partitions ...int32) []byte {
	return AppendAdded(nil, Added{ID: "a", ProducerID: 7, Version2: true, Seen: seen, Begin: true, Topics: []Topic{{5, 3, partitions}}})
}

// version1 has id "a" of producer 7 at epoch 0, written by version 1.
func version1(t testing.TB) *journal {
	j := newJournal(t)
	j.append(AppendInit(nil, Init{ID: "a", Identity: fresh(7, 0), TimeoutMs: 60_000}))
	return j
}

func end(number uint64, commit bool) Decided {
	return Decided{ID: "a", ProducerID: 7, Number: number, Ongoing: true, Commit: commit, Version2: true,
		Next: Identity{7, 1, 7, 0}, MarkerEpoch: 1}
}

func complete(x Decided, partitions, groups int) Decided {
	x.Complete, x.Partitions, x.Groups = true, partitions, groups
	return x
}

func goldenEntries() [][]byte {
	topics := []Topic{{5, 60, []int32{0, 1, 700}}, {900, 0, []int32{3}}}
	return [][]byte{
		entry(1, AppendInit(nil, Init{ID: "a", Identity: fresh(7, 0), TimeoutMs: 60_000}),
			AppendInit(nil, Init{ID: "b", Identity: fresh(7, 0), TimeoutMs: 1}), // void: the producer id is a's
			AppendInit(nil, Init{ID: "µ", Identity: Identity{8, 32766, 4, 3}, TimeoutMs: 900_000})),
		entry(2, AppendAdded(nil, Added{ID: "a", ProducerID: 7, Version2: true, Begin: true, Topics: topics})),
		entry(3, AppendAdded(nil, Added{ID: "a", ProducerID: 7, Version2: true, Seen: 2, Groups: []string{"g", "h"}}),
			AppendAdded(nil, Added{ID: "a", ProducerID: 7, Epoch: 1, Seen: 2, Topics: topics}), // void
			AppendAdded(nil, Added{ID: "µ", ProducerID: 8, Epoch: 32766, Begin: true, Groups: []string{"g"}})),
		entry(4, AppendDecided(nil, complete(end(2, true), 4, 2)), AppendCompleted(nil, Completion{"a", 2})), // the second is void
		entry(5, AppendDecided(nil, Decided{ID: "µ", ProducerID: 8, Epoch: 32766, Number: 3, Ongoing: true, Version2: true,
			Next: Identity{9, 0, 8, 32766}, MarkerEpoch: 32767})),
		entry(6, AppendAdded(nil, Added{ID: "a", ProducerID: 7, Epoch: 1, Version2: true, Seen: 2, Begin: true, Topics: topics[:1]}),
			AppendInit(nil, Init{ID: "c", Identity: fresh(10, 0), TimeoutMs: 1})),
		entry(7, AppendRemoved(nil, Removal{"c", 6}), AppendRemoved(nil, Removal{"a", 6})), // the second is void
	}
}

func TestGolden(t *testing.T) {
	state := kit().Golden(t, "entries.txt", "snapshot.txt", goldenEntries())
	if !reflect.DeepEqual(kit().Restored(t, state), state) {
		t.Error("the restored state is another")
	}
}

// TestAdded_Guards: what an addition meets, and whether it stands.
func TestAdded_Guards(t *testing.T) {
	in := func(seen uint64, isBegin, version2 bool, epoch int16) Added {
		return Added{ID: "a", ProducerID: 7, Epoch: epoch, Version2: version2, Seen: seen, Begin: isBegin, Topics: []Topic{{6, 0, []int32{1}}}}
	}
	ongoing := func(j *journal) { j.append(begin(0, 1, 2)) } // version 2
	ongoing1 := func(j *journal) {
		j.append(AppendAdded(nil, Added{ID: "a", ProducerID: 7, Begin: true, Groups: []string{"g"}}))
	}
	decided := func(j *journal) { ongoing(j); j.append(AppendDecided(nil, end(2, true))) }
	ended1 := func(j *journal) { // version 1: the epoch is kept
		ongoing1(j)
		j.append(AppendDecided(nil, Decided{ID: "a", ProducerID: 7, Number: 2, Ongoing: true, Commit: true, Next: fresh(7, 0)}))
		j.append(AppendCompleted(nil, Completion{"a", 2}))
	}
	for _, c := range []struct {
		name  string
		state func(*journal)
		x     Added
		want  Addition
	}{
		{"begins", func(*journal) {}, in(0, true, true, 0), Addition{true, 2}},
		{"another epoch", func(*journal) {}, in(0, true, true, 1), Addition{}},
		{"meant for one that is ongoing, and none is", func(*journal) {}, in(0, false, true, 0), Addition{}},
		{"another begin than was seen", func(*journal) {}, in(1, true, true, 0), Addition{}},
		{"adds", ongoing, in(2, false, true, 0), Addition{true, 2}},
		{"meant for another transaction", ongoing, in(1, false, true, 0), Addition{}},
		{"begun by another agent meanwhile", ongoing, in(0, true, true, 0), Addition{true, 2}},
		{"begun meanwhile, in version 1", ongoing1, in(0, true, false, 0), Addition{}},
		{"after the decision", decided, in(2, false, true, 0), Addition{}},
		{"after the decision, under the next epoch", decided, in(2, true, true, 1), Addition{}},
		{"version 1: late, after the end", ended1, in(2, false, false, 0), Addition{}},
		{"version 1: late begin, after the end", ended1, in(0, true, false, 0), Addition{}},
		{"version 1: the epoch's next transaction", ended1, in(2, true, false, 0), Addition{true, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := version1(t)
			c.state(j)
			before := j.state.Get("a")
			copied := *before
			if got := j.append(AppendAdded(nil, c.x))[0]; got != c.want {
				t.Fatalf("came to %+v, want %+v", got, c.want)
			}
			if !reflect.DeepEqual(*before, copied) {
				t.Error("what readers hold has changed")
			}
			if after := j.state.Get("a"); after.Has(6, 1) != c.want.Stood || c.want.Stood && (after.Number != c.want.Number || after.Status != Ongoing) {
				t.Errorf("%+v", after)
			}
		})
	}
}

// TestDecided_Guards: which decisions stand, which are void.
func TestDecided_Guards(t *testing.T) {
	empty := complete(Decided{ID: "a", ProducerID: 7, Version2: true, Next: Identity{7, 1, 7, 0}, MarkerEpoch: 1}, 0, 0)
	timeout := Decided{ID: "a", ProducerID: 7, Number: 2, Ongoing: true, Next: fresh(7, 1), MarkerEpoch: 1}
	for _, c := range []struct {
		name   string
		state  func(*journal)
		x      Decided
		status Status // 0xff: void
	}{
		{"commit, markers to follow", func(j *journal) { j.append(begin(0, 1)) }, end(2, true), PrepareCommit},
		{"time-out", func(j *journal) { j.append(begin(0, 1)) }, timeout, PrepareAbort},
		{"with all markers", func(j *journal) { j.append(begin(0, 1)) }, complete(end(2, false), 1, 0), CompleteAbort},
		{"another number", func(j *journal) { j.append(begin(0, 1)) }, end(3, true), 0xff},
		{"the other coordinator was first", func(j *journal) { j.append(begin(0, 1)); j.append(AppendDecided(nil, timeout)) }, end(2, true), 0xff},
		{"of an empty transaction", func(j *journal) {}, empty, CompleteAbort},
		{"of an empty transaction, begun meanwhile", func(j *journal) { j.append(begin(0, 1)) }, empty, 0xff},
		{"no partitions seen, added meanwhile", func(j *journal) { j.append(begin(0, 1)) }, complete(end(2, true), 0, 0), 0xff},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := version1(t)
			c.state(j)
			before := *j.state.Get("a")
			stands := j.append(AppendDecided(nil, c.x))[0].(bool)
			after := j.state.Get("a")
			if stands != (c.status != 0xff) {
				t.Fatalf("stands: %t", stands)
			}
			if !stands {
				if !reflect.DeepEqual(before, *after) {
					t.Errorf("void, and %+v became %+v", before, after)
				}
				return
			}
			if after.Status != c.status || after.Identity != c.x.Next || after.Number != before.Number {
				t.Errorf("%+v", after)
			}
			prepared := after.Status.Prepared()
			if prepared != (len(j.state.Unfinished()) == 1) || !prepared && after.Partitions() > 0 {
				t.Errorf("%+v, unfinished %v", after, j.state.Unfinished())
			}
			if !prepared {
				return
			}
			if got := after.Ending(); got != (Ending{7, c.x.MarkerEpoch, c.x.Commit}) {
				t.Errorf("ends as %+v", got)
			}
			if j.append(AppendCompleted(nil, Completion{"a", 9}))[0] != false || j.append(AppendCompleted(nil, Completion{"a", 2}))[0] != true ||
				j.append(AppendCompleted(nil, Completion{"a", 2}))[0] != false {
				t.Error("completed otherwise than once, by its number")
			}
			if got := j.state.Get("a"); got.Committed() != c.x.Commit || got.Partitions() > 0 || got.Status.Prepared() {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A decision whose markers were appended beside it can't be void, or their transaction would be
// ended in its partitions only.
func TestDecided_BugsStop(t *testing.T) {
	for name, x := range map[string]Decided{
		"void":             complete(end(1, true), 1, 0),
		"other partitions": complete(end(2, true), 2, 0),
		"other groups":     complete(end(2, true), 1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			j := version1(t)
			j.append(begin(0, 1))
			if _, err := j.tryAppend(AppendDecided(nil, x)); err == nil {
				t.Error("folded")
			}
		})
	}
}

// TestInit_Guards: an identity is given on the state that its writer saw, while no transaction is at hand.
func TestInit_Guards(t *testing.T) {
	j := version1(t)
	next := Init{ID: "a", Expect: 1, Identity: Identity{7, 1, None, 0}, TimeoutMs: 5}
	if j.append(AppendInit(nil, Init{ID: "a", Identity: fresh(9, 0)}))[0] != false {
		t.Error("a second coordinator makes an id that is there")
	}
	j.append(begin(0, 1))
	if next.Expect = 3; j.append(AppendInit(nil, next))[0] != false {
		t.Error("given while a transaction is ongoing")
	}
	j.append(AppendDecided(nil, end(3, true)))
	if next.Expect = 5; j.append(AppendInit(nil, next))[0] != false {
		t.Error("given before the transaction is complete")
	}
	j.append(AppendCompleted(nil, Completion{"a", 3}))
	if j.append(AppendInit(nil, next))[0] != false {
		t.Error("given on another state than was seen")
	}
	next.Expect, next.Identity = 7, Identity{7, 2, None, 1}
	if j.append(AppendInit(nil, next), AppendInit(nil, next))[1] != false {
		t.Error("one state was the ground of two")
	}
	if got := j.state.Get("a"); got.Number != 3 || got.Status != Empty || got.Epoch != 2 || got.TimeoutMs != 5 {
		t.Errorf("%+v", got)
	}
}

// A producer id belongs to one transactional id, also while its last markers are to be written.
func TestProducerIDs_NeverMove(t *testing.T) {
	j := version1(t)
	j.append(begin(0, 1))
	overflow := end(2, true)
	overflow.Next = Identity{8, 0, 7, 32766}
	j.append(AppendDecided(nil, overflow))
	for _, p := range []int64{7, 8} {
		if j.append(AppendInit(nil, Init{ID: "b", Identity: fresh(p, 0)}))[0] != false {
			t.Errorf("producer %d belongs to two ids", p)
		}
		if got := j.state.ByProducer(p); got == nil || got.ID != "a" {
			t.Errorf("producer %d is of %v", p, got)
		}
	}
	j.append(AppendCompleted(nil, Completion{"a", 2}))
	if j.state.ByProducer(7) != nil || j.state.ByProducer(8) == nil {
		t.Error("after the completion")
	}
	a := j.state.Get("a")
	if idle := j.state.Idle(a.Updated+1, 10); len(idle) != 1 || len(j.state.Idle(a.Updated, 10)) != 0 {
		t.Errorf("idle: %v", idle)
	}
	if j.append(AppendRemoved(nil, Removal{"a", a.Written - 1}))[0] != false || j.append(AppendRemoved(nil, Removal{"a", a.Written}))[0] != true || j.state.ByProducer(8) != nil {
		t.Error("removed otherwise than as seen")
	}
}

func TestTimedOut(t *testing.T) {
	j := version1(t)
	j.append(begin(0, 1)) // at 2,000, for 60,000
	if got := j.state.TimedOut(61_999); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := j.state.TimedOut(62_000); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if got := j.state.Counts(); got != (Counts{IDs: 1, Ongoing: 1}) {
		t.Errorf("%+v", got)
	}
}

// Markers go to the shards of their partitions, and can be coded.
func TestMarkers(t *testing.T) {
	j := version1(t)
	j.append(AppendAdded(nil, Added{ID: "a", ProducerID: 7, Version2: true, Begin: true,
		Topics: []Topic{{5, 3, []int32{0, 1, 4}}, {9, 0, []int32{3}}}}))
	j.append(AppendDecided(nil, end(2, true)))
	a := j.state.Get("a")
	got := a.Markers(a.Ending(), 77, 5000, 4)
	marker := func(partitions ...shard.PartitionID) shard.Marker {
		return shard.Marker{Producer: 7, Transaction: 2, Epoch: 1, Commit: true, CoordinatorEpoch: 77, Timestamp: 5000, Partitions: partitions}
	}
	p := func(topic uint64, index int32) shard.PartitionID {
		return shard.PartitionID{Topic: topic, Index: index}
	}
	want := []ShardMarker{{0, marker(p(5, 1))}, {3, marker(p(5, 0), p(5, 4), p(9, 3))}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	for i := range got {
		if err := got[i].Check(); err != nil {
			t.Error(err)
		}
	}
}

// A transaction over 1,000 partitions is added and decided in entries far below their limit.
func TestBytes(t *testing.T) {
	var partitions []int32
	for i := range int32(1000) {
		partitions = append(partitions, i)
	}
	if n := len(begin(1<<30, partitions...)); n > 1100 {
		t.Errorf("an addition of 1,000 partitions takes %d bytes", n)
	}
	if n := len(AppendDecided(nil, complete(end(1<<30, true), 1000, 1))); n > 40 {
		t.Errorf("a decision takes %d bytes", n)
	}
}
