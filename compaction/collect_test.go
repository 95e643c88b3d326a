package compaction

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

func (w *world) endTerm(term metastore.Term) {
	w.t.Helper()
	if _, err := w.store.EndTerm(w.t.Context(), term, true); err != nil {
		w.t.Fatal(err)
	}
}

// collect collects until nothing is left to list, without deleting.
func (a *agent) collect() {
	a.w.t.Helper()
	a.refresh()
	a.do("collect", a.Collect(a.w.t.Context()))
}

// settle renews a term's lease as its agent does.
func (w *world) settle(term metastore.Term, settled uint64) {
	w.t.Helper()
	if err := w.store.RenewTerm(w.t.Context(), term, leaseLong, settled); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) retired() (keys []string) {
	w.t.Helper()
	rows, err := w.store.Retired(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		keys = append(keys, r.Object+" "+r.Reason)
	}
	return keys
}

// Ingest segments go once nobody names them, and not before their grace.
func TestCollect_MergedSegments(t *testing.T) {
	w, a := filled(t)
	before := a.readPartition(p0)
	a.collect()
	if got := w.retired(); len(got) != 0 {
		t.Fatalf("retired while shards name them: %v", got)
	}
	a.do("merge", a.Merge(t.Context(), 0))
	a.collect()
	if got := w.retired(); len(got) != 0 {
		t.Fatalf("retired of a live term that has not passed them: %v", got)
	}
	b := w.agent()
	w.endTerm(a.term)
	b.collect()
	if got := w.retired(); len(got) != 20 || !strings.HasSuffix(got[0], " merged") {
		t.Fatalf("retired %v", got)
	}
	b.collect()
	if n := len(w.bucket.keys(segment.IngestPrefix)); n != 20 {
		t.Fatalf("%d segments are left before the grace is over", n)
	}
	w.pass(b.cfg.Grace - time.Second)
	b.collect()
	if n := len(w.bucket.keys(segment.IngestPrefix)); n != 20 {
		t.Fatalf("%d segments are left before the grace is over", n)
	}
	w.pass(time.Second)
	b.collect()
	if n := len(w.bucket.keys(segment.IngestPrefix)); n != 0 {
		t.Fatalf("%d segments are left", n)
	}
	if got := w.retired(); len(got) != 0 {
		t.Fatalf("rows of what is gone: %v", got)
	}
	b.wantSame(p0, before, "after the collection")
}

// A live term's segments go once the term has settled them, even if no shard names any of it.
func TestCollect_LiveTerm(t *testing.T) {
	w, a := filled(t)
	a.do("merge", a.Merge(t.Context(), 0))
	w.pass(1000 * time.Minute)
	a.collect()
	if got := w.retired(); len(got) != 0 {
		t.Fatalf("retired, though the term may have yet to append them: %v", got)
	}
	w.settle(a.term, a.segments-1)
	a.collect()
	if got := w.retired(); len(got) != 19 {
		t.Fatalf("retired %v", got)
	}
	last := a.flush(produced{id: p0, records: 1, timestamp: 1})
	w.settle(a.term, last.Number)
	a.collect()
	if got := w.retired(); len(got) != 20 {
		t.Fatalf("retired %v", got)
	}
	for _, key := range w.retired() {
		if strings.HasPrefix(key, last.Key()) {
			t.Error("what a shard names is retired")
		}
	}
}

// A term's segment that was never appended goes when its term is dead, and not before.
func TestCollect_Orphans(t *testing.T) {
	w, a := filled(t)
	b := w.agent()
	put := func(id segment.ID) string {
		if err := w.bucket.Put(t.Context(), id.Key(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		return id.Key()
	}
	ingest := put(segment.ID{Term: uint64(b.term), Number: 1})
	merged := put(segment.ID{Term: uint64(b.term), Number: 9, Merged: true})
	a.do("merge", a.Merge(t.Context(), 0)) // whose partition segment has a row
	w.pass(1000 * time.Minute)
	a.collect()
	for _, key := range w.retired() {
		if strings.HasPrefix(key, ingest) || strings.HasPrefix(key, merged) {
			t.Fatalf("%s of a live term", key)
		}
	}
	w.endTerm(b.term)
	a.collect()
	got := fmt.Sprint(w.retired())
	if !strings.Contains(got, ingest+" merged") || !strings.Contains(got, merged+" orphan") || strings.Contains(got, "partitions/0000000001") {
		t.Fatalf("retired %s", got)
	}
	w.endTerm(a.term)
	c := w.agent()
	c.collect()
	if got := fmt.Sprint(w.retired()); strings.Contains(got, "partitions/0000000001") {
		t.Fatalf("a segment with a row is retired: %s", got)
	}
}

// A delete that fails or is lost is repeated; the row goes with the object.
func TestCollect_DeletesAreRepeated(t *testing.T) {
	w, a := filled(t)
	a.do("merge", a.Merge(t.Context(), 0))
	b := w.agent()
	w.endTerm(a.term)
	b.collect()
	w.pass(b.cfg.Grace)
	fails := true
	w.bucket.onDelete = func(key string) error {
		if fails && strings.HasSuffix(key, "7") {
			return errFault
		}
		return nil
	}
	if err := b.Collect(t.Context()); err == nil {
		t.Error("the failure isn't told")
	}
	fails = false
	b.collect()
	if n, rows := len(w.bucket.keys(segment.IngestPrefix)), w.retired(); n != 0 || len(rows) != 0 {
		t.Errorf("%d segments, rows %v are left", n, rows)
	}
}

// Nothing is collected while a shard can't be known.
func TestCollect_NotWhileAShardIsUnknown(t *testing.T) {
	w, a := filled(t)
	a.do("merge", a.Merge(t.Context(), 0))
	b := w.agent()
	w.endTerm(a.term)
	unknown := metastore.AppendEffect(metastore.AppendHeader(nil, metastore.Header{Term: b.term, Number: 1}), 63, nil)
	if _, err := w.store.Append(t.Context(), b.term, []metastore.AppendPart{{Journal: metastore.ShardJournal(1), Payload: unknown}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Collect(t.Context()); err == nil {
		t.Error("collected, though a shard has stopped")
	}
	if got := w.retired(); len(got) != 0 {
		t.Errorf("retired %v", got)
	}
}

func TestCollect_Snapshots(t *testing.T) {
	w, a := filled(t)
	for v := range metastore.Version(3) {
		if err := w.bucket.Put(t.Context(), metastore.SnapshotKey(metastore.ShardJournal(0), v+1), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	place := metastore.SnapshotPlace{Journal: metastore.ShardJournal(0), Version: 2, Object: metastore.SnapshotKey(metastore.ShardJournal(0), 2)}
	if _, err := w.store.PlaceSnapshot(t.Context(), a.term, place); err != nil {
		t.Fatal(err)
	}
	a.collect()
	if got := w.retired(); len(got) != 1 || got[0] != metastore.SnapshotKey(metastore.ShardJournal(0), 1)+" snapshot" {
		t.Errorf("retired %v", got)
	}
}
