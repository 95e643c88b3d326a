package shard

import (
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	wirebatch "github.com/wadi-io/wadi/wire/batch"
)

// in puts a batch into a transaction.
func in(x uint64, b FlushBatch) FlushBatch {
	b.Transaction = x
	return b
}

func marker(producer int64, x uint64, commit bool, partitions ...PartitionID) []byte {
	if len(partitions) == 0 {
		partitions = []PartitionID{p0}
	}
	return AppendMarker(nil, Marker{Producer: producer, Transaction: x, Epoch: 1, Commit: commit, CoordinatorEpoch: 9, Timestamp: 6000, Partitions: partitions})
}

// marked returns what became of the only effect, a marker in one partition.
func marked(r metastore.Result) MarkerOutcome { return r.Outcomes[0].([]MarkerOutcome)[0] }

func (j *journal) stable() int64 {
	_, _, stable, _ := j.state.Bounds(p0)
	return stable
}

// 14, 16: a batch stands while its transaction has not ended here; that of a later one does.
func TestTransactions_EndedIsVoid(t *testing.T) {
	j := opened(t)
	if !stood(j.append(1, flush(in(5, batch(7, 0, 0, 1)))))[0] {
		t.Fatal("the first batch is void")
	}
	if got := marked(j.append(2, marker(7, 5, true))); got != (MarkerOutcome{true, 1}) {
		t.Errorf("the marker came to %+v", got)
	}
	if got := j.state.Judge(p0, 7, 0, 1, 1, 5); got.Verdict != TransactionEnded {
		t.Errorf("a late batch is judged %v", got.Verdict)
	}
	if stood(j.append(1, flush(in(5, batch(7, 0, 1, 1)))))[0] {
		t.Error("a late batch stands in a transaction that has ended")
	}
	if got := j.state.Judge(p0, 7, 0, 0, 0, 5); got != (Judgement{Duplicate, 0, -1}) {
		t.Errorf("the repeat of one that stood is judged %+v", got)
	}
	if !stood(j.append(1, flush(in(6, batch(7, 0, 1, 1)))))[0] {
		t.Error("version 1: the epoch's second transaction is void")
	}
	if got := j.state.Judge(p0, 7, 0, 2, 2, NoTransaction); got.Verdict != TransactionOpen {
		t.Errorf("a batch outside of the open transaction is judged %v", got.Verdict)
	}
}

// 16: a marker is repeatable by any agent, ends with one control batch, and leaves the sequences.
func TestTransactions_MarkerRepeats(t *testing.T) {
	j := opened(t)
	j.append(1, flush(in(5, batch(7, 0, 0, 3))))
	before := j.state.Producer(p0, 7)
	j.append(1, marker(7, 5, true))
	for _, again := range [][]byte{marker(7, 5, true), marker(7, 5, false), marker(7, 4, false)} {
		if got := marked(j.append(2, again)); got != (MarkerOutcome{}) {
			t.Errorf("again: %+v", got)
		}
	}
	if _, end, stable, _ := j.state.Bounds(p0); end != 4 || stable != 4 {
		t.Errorf("ends at %d, stable to %d", end, stable)
	}
	if got := j.state.Aborted(p0, 0, 10, nil); len(got) != 0 {
		t.Errorf("aborted %v: the first result counts", got)
	}
	if after := j.state.Producer(p0, 7); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	if !stood(j.append(1, flush(in(6, batch(7, 0, 3, 1)))))[0] {
		t.Error("the next sequence is void")
	}
}

// 16: it may meet a producer unknown here, who stays so; what comes late is void, a
// fence and a later transaction find an unknown producer.
func TestTransactions_MarkerBeforeItsBatch(t *testing.T) {
	j := opened(t)
	if got := marked(j.append(1, marker(7, 5, false))); got != (MarkerOutcome{true, 0}) {
		t.Errorf("%+v", got)
	}
	if j.state.Producer(p0, 7).Known || len(j.state.Aborted(p0, 0, 10, nil)) > 0 {
		t.Error("a marker made the producer known, or aborts nothing")
	}
	if stood(j.append(2, flush(in(5, batch(7, 0, 0, 1)))))[0] {
		t.Error("hangs: a batch stands after its marker")
	}
	if res := j.follow(len(j.entries)); !stood(res.append(3, flush(in(6, batch(7, 4, 0, 1)))))[0] {
		t.Error("the next transaction is void")
	}
	if res := j.append(2, fence(0, Expected{Unknown: true})); res.Outcomes[0] != true {
		t.Error("the fence of an unknown producer is void")
	}
	if got := j.state.Judge(p0, 7, 0, 1, 1, 6); got.Verdict != Closed {
		t.Errorf("fenced, and judged %v", got.Verdict)
	}
}

// 17: the last stable offset is the first of any open transaction; aborted ranges are told by
// where readers are.
func TestTransactions_LastStableAndAborted(t *testing.T) {
	j := opened(t)
	j.append(1, flush(batch(NoProducer, 0, 0, 10))) // 0–9
	j.append(1, flush(in(5, batch(7, 0, 0, 10))))   // 10–19
	j.append(1, flush(in(6, batch(8, 0, 0, 10))))   // 20–29
	j.append(1, flush(batch(NoProducer, 0, 0, 10))) // 30–39
	steps := []struct {
		effect []byte
		stable int64
	}{
		{flush(in(5, batch(7, 0, 10, 10))), 10}, // 40–49
		{marker(8, 6, false), 10},               // 50
		{flush(in(9, batch(9, 0, 0, 5))), 10},   // 51–55
		{marker(7, 5, false), 51},               // 56
		{marker(9, 9, true), 58},                // 57
	}
	for i, step := range steps {
		j.append(1, step.effect)
		if got := j.stable(); got != step.stable {
			t.Errorf("step %d: stable to %d, want %d", i, got, step.stable)
		}
		_, high, stable, _ := j.state.Bounds(p0)
		if got := j.state.Counts().UnstableMax; got != high-stable {
			t.Errorf("step %d: %d records are unstable, want %d", i, got, high-stable)
		}
	}
	seven, eight := AbortedTransaction{7, 10, 56}, AbortedTransaction{8, 20, 50}
	for _, c := range []struct {
		from, to int64
		want     []AbortedTransaction
	}{
		{0, 10, nil}, {0, 11, []AbortedTransaction{seven}}, {0, 58, []AbortedTransaction{eight, seven}},
		{50, 58, []AbortedTransaction{eight, seven}}, {51, 58, []AbortedTransaction{seven}}, {57, 58, nil}, {15, 20, []AbortedTransaction{seven}},
	} {
		if got := j.state.Aborted(p0, c.from, c.to, nil); !slices.Equal(got, c.want) {
			t.Errorf("aborted in %d to %d: %v, want %v", c.from, c.to, got, c.want)
		}
	}
	j.append(1, AppendLogStart(nil, p0, 51))
	if got := j.state.Counts(); got.Aborted != 1 || got.Open != 0 {
		t.Errorf("after the log start: %+v", got)
	}
}

// 17: a log start over the begin of an open transaction moves the last stable offset with it.
func TestTransactions_LogStartOverOpen(t *testing.T) {
	j := opened(t)
	j.append(1, flush(in(5, batch(7, 0, 0, 10))))
	if j.append(1, AppendLogStart(nil, p0, 4)); j.stable() != 4 {
		t.Errorf("stable to %d", j.stable())
	}
	j.append(1, marker(7, 5, false))
	if got := j.state.Aborted(p0, 4, 11, nil); !slices.Equal(got, []AbortedTransaction{{7, 0, 10}}) {
		t.Errorf("aborted %v", got)
	}
}

// 13: no producer is forgotten while a transaction is open, nor if one has ended since.
func TestTransactions_Forget(t *testing.T) {
	j := opened(t)
	j.append(1, flush(in(5, batch(7, 0, 0, 1))))
	if found, _, _ := j.state.ExpiredProducers(ExpiredAfter{}, 1<<60, 10, 10); len(found) > 0 {
		t.Errorf("expired with an open transaction: %+v", found)
	}
	f := Forget{Partition: p0, Producer: 7, Last: 0}
	if j.append(1, AppendForget(nil, f)).Outcomes[0] != false {
		t.Error("forgotten with an open transaction")
	}
	j.append(1, marker(7, 5, true))
	if j.append(1, AppendForget(nil, f)).Outcomes[0] != false {
		t.Error("forgotten although a transaction has ended since")
	}
	j.append(1, marker(8, 6, true))
	found, _, _ := j.state.ExpiredProducers(ExpiredAfter{}, 1<<60, 10, 10)
	if len(found) != 2 {
		t.Fatalf("found %+v", found)
	}
	for _, e := range found {
		if j.append(1, AppendForget(nil, e.Forget())).Outcomes[0] != true {
			t.Errorf("%+v is not forgotten", e)
		}
	}
	if got := j.state.Counts(); got.Producers != 0 {
		t.Errorf("%+v", got)
	}
}

// 2, 16: what only a bug appends stops the shard.
func TestTransactions_BugsStop(t *testing.T) {
	for name, effect := range map[string][]byte{
		"another transaction's batch":     flush(in(6, batch(7, 0, 1, 1))),
		"an earlier transaction's batch":  flush(in(4, batch(7, 0, 1, 1))),
		"an earlier transaction's marker": marker(7, 4, true),
	} {
		t.Run(name, func(t *testing.T) {
			j := opened(t)
			j.append(1, flush(in(5, batch(7, 0, 0, 1))))
			if _, err := j.tryLand(j.entry(1, effect)); err == nil {
				t.Error("folded")
			}
		})
	}
}

// A marker is one offset whose control batch has the same bytes whenever it is made.
func TestTransactions_MarkerExtent(t *testing.T) {
	j := opened(t)
	j.append(1, flush(in(5, batch(7, 0, 0, 10))))
	j.append(1, marker(7, 5, false, p0, p1))
	j.append(1, flush(batch(NoProducer, 0, 0, 1)))
	plan := j.state.Plan(p0, 0, 1<<20, nil)
	want := Extent{BaseOffset: 10, Records: 1, MaxTimestamp: 6000, Marker: MarkerAt{7, 1, 9, false}}
	if len(plan) != 3 || plan[1] != want || !plan[1].IsMarker() || plan[2].BaseOffset != 11 {
		t.Fatalf("planned %+v", plan)
	}
	control := plan[1].AppendControl(nil)
	h, err := wirebatch.Verify(control)
	if err != nil || len(control) != int(want.Bytes()) || !h.Control() || h.BaseOffset != 10 || h.ProducerID != 7 || h.ProducerEpoch != 1 || h.MaxTimestamp != 6000 {
		t.Errorf("%+v, %v", h, err)
	}
	restored := New()
	if err := restored.Restore(j.state.AppendSnapshot(nil)); err != nil {
		t.Fatal(err)
	}
	if got := restored.Plan(p0, 10, 1, nil); !slices.Equal(got[0].AppendControl(nil), control) {
		t.Error("other bytes after a restart")
	}
	if e, ok := j.state.FirstSince(p0, 5500); !ok || e != want {
		t.Errorf("first since its time: %+v", e)
	}
	if got := j.state.OpenTransactions(p1, 10); len(got) != 0 {
		t.Errorf("open: %+v", got)
	}
}

// A state that never had transactions is coded as releases without them code it.
func TestTransactions_SnapshotWithout(t *testing.T) {
	j := opened(t)
	j.append(1, flush(batch(7, 0, 0, 1)))
	if got := j.state.AppendSnapshot(nil)[0]; got != snapshotFormat {
		t.Errorf("format %d", got)
	}
	j.append(1, marker(7, 5, true))
	if got := j.state.AppendSnapshot(nil)[0]; got != snapshotFormat|snapshotTransactions {
		t.Errorf("format %d", got)
	}
}

// A transaction over many partitions of a shard costs some bytes a partition.
func TestMarker_BytesAPartition(t *testing.T) {
	m := Marker{Producer: 1 << 30, Transaction: 1 << 30, Epoch: 100, CoordinatorEpoch: 1000, Timestamp: 1_700_000_000_000}
	for i := range int32(16) {
		m.Partitions = append(m.Partitions, PartitionID{5000, i * 64})
	}
	one := m
	one.Partitions = m.Partitions[:1]
	if first, all := len(AppendMarker(nil, one)), len(AppendMarker(nil, m)); first > 30 || all-first > 15*3 {
		t.Errorf("%d bytes, and %d for %d more", first, all-first, len(m.Partitions)-1)
	}
}
