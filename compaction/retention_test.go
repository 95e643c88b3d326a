package compaction

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// aged is an agent whose partition 0 has twenty flushes of two records, one a minute
// until now, of which the first merged are merged.
func aged(t *testing.T, policy Policy, merged int) (*world, *agent, int64) {
	w := newWorld(t)
	a := w.agent()
	a.open(1, 1, policy)
	var bytes int64
	for i := range 20 {
		p := produced{id: p0, records: 2, timestamp: w.clock().UnixMilli() - int64(20-i)*60_000, value: 50}
		bytes = int64(len(p.batch()))
		a.flush(p)
		if i+1 == merged {
			a.do("merge", a.Merge(t.Context(), 0))
		}
	}
	return w, a, bytes
}

func (a *agent) logStart(id shard.PartitionID) int64 { return a.readPartition(id).logStart }

func TestRetain(t *testing.T) {
	const minute = time.Minute
	size := int64(len(produced{id: p0, records: 2, timestamp: 1_700_000_000_000, value: 50}.batch()))
	for _, merged := range []int{0, 7, 20} {
		for _, row := range []struct {
			name   string
			policy Policy
			want   int64 // the log start
		}{
			{"for ever", Policy{Delete: true, Retention: -1, RetentionBytes: -1}, 0},
			{"not by delete", Policy{Retention: minute, RetentionBytes: 0}, 0},
			{"an hour", Policy{Delete: true, Retention: time.Hour, RetentionBytes: -1}, 0},
			{"ten minutes and a half", Policy{Delete: true, Retention: 10*minute + 30*time.Second, RetentionBytes: -1}, 20},
			{"nothing", Policy{Delete: true, Retention: 0, RetentionBytes: -1}, 40},
			{"more bytes than there are", Policy{Delete: true, Retention: -1, RetentionBytes: 20*size + 1}, 0},
			{"all bytes but some", Policy{Delete: true, Retention: -1, RetentionBytes: 20*size - 1}, 0},
			{"the bytes of five batches", Policy{Delete: true, Retention: -1, RetentionBytes: 5 * size}, 30},
			{"both: age goes further", Policy{Delete: true, Retention: 5*minute + 30*time.Second, RetentionBytes: 10 * size}, 30},
			{"both: bytes go further", Policy{Delete: true, Retention: 15 * minute, RetentionBytes: 5 * size}, 30},
			{"no bytes", Policy{Delete: true, Retention: -1, RetentionBytes: 0}, 40},
		} {
			t.Run(fmt.Sprintf("%s, %d merged", row.name, merged), func(t *testing.T) {
				_, a, bytes := aged(t, row.policy, merged)
				if bytes != size {
					t.Fatalf("%d bytes", bytes)
				}
				before := a.readPartition(p0)
				a.do("retain", a.Retain(t.Context(), 0))
				after := a.readPartition(p0)
				// Blocks are as coarse as they are: what is merged into one goes as one.
				want := row.want
				if n := int64(2 * merged); want < n && n > 0 {
					want = 0
				}
				if after.logStart != want {
					t.Errorf("log start %d, want %d", after.logStart, want)
				}
				var kept []storedBatch
				for _, b := range before.batches {
					if b.end > after.logStart {
						kept = append(kept, b)
					}
				}
				if len(kept) != len(after.batches) || after.high != before.high {
					t.Errorf("%d batches are kept, not %d", len(after.batches), len(kept))
				}
				a.do("retain again", a.Retain(t.Context(), 0))
				if again := a.logStart(p0); again != after.logStart {
					t.Errorf("again it moves to %d", again)
				}
			})
		}
	}
}

// What goes is never above the last stable offset.
func TestRetain_OpenTransaction(t *testing.T) {
	w := newWorld(t)
	a := w.agent()
	a.open(1, 1, Policy{Delete: true, Retention: 0, RetentionBytes: 0})
	a.flush(produced{id: p0, records: 3, timestamp: 1})
	a.flush(produced{id: p0, records: 3, timestamp: 1, producer: 4, transaction: 9})
	a.flush(produced{id: p0, records: 3, timestamp: 1})
	a.do("merge", a.Merge(t.Context(), 0))
	a.do("retain", a.Retain(t.Context(), 0))
	if got := a.logStart(p0); got != 3 {
		t.Errorf("log start %d", got)
	}
	if got := a.mergedTo(p0); got != 3 {
		t.Errorf("merged to %d", got)
	}
}

// Records without a time have no age.
func TestRetain_NoTimestamps(t *testing.T) {
	for _, merged := range []bool{false, true} {
		w := newWorld(t)
		a := w.agent()
		a.open(1, 1, Policy{Delete: true, Retention: time.Minute, RetentionBytes: -1})
		a.flush(produced{id: p0, records: 3, timestamp: -1})
		if merged {
			a.do("merge", a.Merge(t.Context(), 0))
		}
		for range 2 {
			w.pass(time.Hour)
			a.do("retain", a.Retain(t.Context(), 0))
		}
		if got := a.logStart(p0); got != 0 {
			t.Errorf("merged %t: log start %d", merged, got)
		}
	}
}

// A pass over partitions that keep all costs no statement, however much they keep.
func TestRetain_CostsWhatGoes(t *testing.T) {
	w := newWorld(t)
	counting := metastore.NewCounting(w.store)
	a := w.agent()
	a.deps.Store = counting
	a.open(1, 20, Policy{Delete: true, Retention: time.Hour, RetentionBytes: 1 << 30})
	for i := range int32(20) {
		a.flush(produced{id: shard.PartitionID{Topic: 1, Index: i}, records: 2, timestamp: w.clock().UnixMilli()})
	}
	a.do("merge", a.Merge(t.Context(), 0))
	a.do("retain", a.Retain(t.Context(), 0))
	before := counting.Statements()
	for range 5 {
		w.pass(time.Minute)
		a.do("retain", a.Retain(t.Context(), 0))
	}
	if n := counting.Statements().Since(before).Total(); n != 0 {
		t.Errorf("%d statements for nothing", n)
	}
	w.pass(time.Hour)
	a.do("retain", a.Retain(t.Context(), 0))
	for i := range int32(20) {
		if got := a.logStart(shard.PartitionID{Topic: 1, Index: i}); got != 2 {
			t.Errorf("partition %d begins at %d", i, got)
		}
	}
	rows, err := w.store.Extents(t.Context(), metastore.ExtentQuery{Order: metastore.Every, After: metastore.ExtentsBegin(), Limit: 100})
	if err != nil || len(rows) != 0 {
		t.Errorf("%d rows are left, %v", len(rows), err)
	}
}

// Rows go with DeleteRecords' log starts, and a merge that was paused over them does no harm.
func TestRemove_BesideAPausedMerge(t *testing.T) {
	w, a := filled(t)
	b := w.agent()
	works, err := b.read(t.Context(), b.plan(0))
	b.do("read", err)
	out, err := b.write(t.Context(), 0, works)
	b.do("write", err)
	a.do("merge", a.Merge(t.Context(), 0))
	a.append(0, shard.AppendLogStart(nil, p0, 40), shard.AppendLogStart(nil, p1, 20))
	a.do("remove", a.Remove(t.Context(), 0))
	retired, err := w.store.Retired(t.Context(), 0, 10)
	if err != nil || len(retired) != 1 {
		t.Fatalf("retired %+v, %v", retired, err)
	}
	var effects []byte
	for _, x := range works {
		effects = shard.AppendSwap(effects, shard.Swap{Partition: x.id, Expected: x.expected, To: x.to, Bytes: 1})
	}
	// Nothing is in its rows' way any more: they come, void as to the state, and below the log start.
	stood, err := b.swap(t.Context(), 0, effects, out, nil)
	if err != nil || len(stood) != 2 || stood[0] || stood[1] {
		t.Fatalf("the paused job's swap: %v, %v", stood, err)
	}
	a.flush(produced{id: p0, records: 2, timestamp: 9})
	before := a.readPartition(p0)
	a.do("merge", a.Merge(t.Context(), 0))
	a.do("remove", a.Remove(t.Context(), 0))
	a.wantSame(p0, before, "after the rows that came late were removed")
	rows, err := w.store.Extents(t.Context(), metastore.ExtentQuery{Topic: 1, Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].Base != 40 {
		t.Errorf("rows %+v, %v", rows, err)
	}
}

func TestSweep_DeletedTopics(t *testing.T) {
	w, a := filled(t)
	a.open(2, 2, forEver)
	a.flush(produced{id: shard.PartitionID{Topic: 2}, records: 1, timestamp: 1})
	works, err := a.read(t.Context(), a.plan(0))
	a.do("read", err)
	out, err := a.write(t.Context(), 0, works)
	a.do("write", err)
	// The topic is deleted while a merge of it is under way.
	a.append(0, shard.AppendClosed(nil, 1))
	delete(w.catalog.topics, 1)
	w.catalog.deleted[1] = true
	var effects []byte
	bytes := lengths(out)
	for _, x := range works {
		effects = shard.AppendSwap(effects, shard.Swap{Partition: x.id, Expected: x.expected, To: x.to, Bytes: bytes[x.id]})
	}
	stood, err := a.swap(t.Context(), 0, effects, out, nil)
	if err != nil || len(stood) != 3 || stood[0] || stood[1] || !stood[2] {
		t.Fatalf("swap: %v, %v", stood, err)
	}
	a.do("sweep", a.Sweep(t.Context()))
	rows, err := w.store.Extents(t.Context(), metastore.ExtentQuery{Order: metastore.Every, After: metastore.ExtentsBegin(), Limit: 100})
	if err != nil || len(rows) != 1 || rows[0].Topic != 2 {
		t.Errorf("rows %+v, %v", rows, err)
	}
	if retired, err := w.store.Retired(t.Context(), 0, 10); err != nil || len(retired) != 0 {
		t.Errorf("retired %+v, %v: another topic's extent is in it", retired, err)
	}
	a.append(0, shard.AppendClosed(nil, 2))
	w.catalog.deleted[2] = true
	a.do("sweep", a.Sweep(t.Context()))
	if retired, err := w.store.Retired(t.Context(), 0, 10); err != nil || len(retired) != 1 {
		t.Errorf("retired %+v, %v", retired, err)
	}
}

// A small topic's records go by segment.ms, however long it takes to fill a block, and however often they were merged.
func TestRetain_RollsByTime(t *testing.T) {
	const days = 42
	for roll, want := range map[time.Duration]int64{0: 0, 7 * 24 * time.Hour: 28} {
		w := newWorld(t)
		a := w.agent()
		a.open(1, 1, Policy{Delete: true, Retention: 10 * 24 * time.Hour, RetentionBytes: -1, Roll: roll})
		begin := w.clock().Add(-days * 24 * time.Hour)
		for day := range days {
			a.flush(produced{id: p0, records: 1, timestamp: begin.Add(time.Duration(day) * 24 * time.Hour).UnixMilli()})
			if day%14 == 13 {
				a.do("merge", a.Merge(t.Context(), 0))
			}
		}
		if a.Stats.Remerges.Load() != 1 {
			t.Fatalf("merged again %d times", a.Stats.Remerges.Load())
		}
		before := a.readPartition(p0)
		// The records of the first 32 days are too old, those of 28 to 34 lie together.
		a.do("retain", a.Retain(t.Context(), 0))
		start := a.logStart(p0)
		if start != want {
			t.Errorf("rolled after %v: the log starts at %d", roll, start)
		}
		for i, b := range a.readPartition(p0).batches {
			if was := before.batches[int(start)+i]; b.base != was.base || !bytes.Equal(b.body, was.body) {
				t.Fatalf("rolled after %v: the batch at offset %d has changed", roll, was.base)
			}
		}
	}
}
