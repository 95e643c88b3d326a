package shard

import (
	"math"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// jump appends a jump and returns the high watermark that it came to.
func (j *journal) jump(p PartitionID, offset int64) int64 {
	j.t.Helper()
	return j.append(1, AppendJump(nil, p, offset)).Outcomes[0].(int64)
}

func TestJump_LeavesAHole(t *testing.T) {
	j := opened(t)
	j.append(1, flushOf(1, batch(7, 0, 0, 10)))
	if got := j.jump(p0, 25); got != 25 {
		t.Fatalf("jumped to %d", got)
	}
	for _, void := range []int64{0, 24, 25} {
		if got := j.jump(p0, void); got != 25 {
			t.Fatalf("a jump to %d came to %d", void, got)
		}
	}
	if got := j.jump(PartitionID{1, 9}, 25); got != -1 {
		t.Fatalf("a jump of a partition that isn't open came to %d", got)
	}
	if got := j.jump(p0, 30); got != 30 { // one hole with the first
		t.Fatalf("jumped to %d", got)
	}
	if plan := j.state.Plan(p0, 12, 1<<20, nil); len(plan) != 0 {
		t.Fatalf("in the hole at the end: %+v", plan)
	}
	// The producer goes on where it was; its batch doesn't join the extent before the hole.
	next := batch(7, 0, 10, 5)
	next.Position = batch(7, 0, 0, 10).Position + batch(7, 0, 0, 10).Length
	j.append(1, flushOf(1, next))
	if got := j.state.Judge(p0, 7, 0, 10, 14, NoTransaction); got.Verdict != Duplicate || got.BaseOffset != 30 {
		t.Fatalf("judged %+v", got)
	}
	for offset, want := range map[int64]int64{0: 0, 9: 0, 10: 30, 29: 30, 30: 30, 34: 30} {
		plan := j.state.Plan(p0, offset, 1, nil)
		if len(plan) != 1 || plan[0].BaseOffset != want {
			t.Fatalf("from %d on: %+v", offset, plan)
		}
	}
	if plan := j.state.Plan(p0, 0, 1<<20, nil); len(plan) != 2 || plan[0].End() != 10 || plan[1].End() != 35 {
		t.Fatalf("planned %+v", plan)
	}
	// A log start within the hole drops what lies before it, and the hole.
	j.append(1, AppendLogStart(nil, p0, 20))
	if plan := j.state.Plan(p0, 20, 1<<20, nil); len(plan) != 1 || plan[0].BaseOffset != 30 {
		t.Fatalf("after the log start: %+v", plan)
	}
	if p := j.state.partition(p0); len(p.holes) != 0 {
		t.Fatalf("holes %v", p.holes)
	}
}

func TestJump_TooFarIsABug(t *testing.T) {
	s := New()
	at := metastore.At{Version: 1}
	if _, err := applyEffect(s, at, AppendOpened(nil, Opened{Topic: 1, Count: 1})); err != nil {
		t.Fatal(err)
	}
	if got, err := applyEffect(s, at, AppendJump(nil, PartitionID{1, 0}, math.MaxInt32)); err != nil || got != int64(math.MaxInt32) {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := applyEffect(s, at, AppendJump(nil, PartitionID{1, 0}, 2*math.MaxInt32+1)); err == nil {
		t.Fatalf("%v", got)
	}
}
