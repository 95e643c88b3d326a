package compaction

import (
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

func (a *agent) bill() *Bill {
	a.w.t.Helper()
	a.refresh()
	bill, err := Verify(a.w.t.Context(), a.deps)
	a.do("verify", err)
	return bill
}

func TestVerify(t *testing.T) {
	w, a := filled(t)
	if b := a.bill(); !b.Agrees() || b.Live.Objects != 20 || b.Garbage.Objects+b.InFlight.Objects+b.Retired.Objects != 0 {
		t.Errorf("before a merge: %+v", b)
	}
	a.do("merge", a.Merge(t.Context(), 0))
	if b := a.bill(); !b.Agrees() || b.Live.Objects != 1 || b.InFlight.Objects != 20 {
		t.Errorf("after a merge: %+v", b)
	}
	b := w.agent()
	w.endTerm(a.term)
	orphan := segment.ID{Term: uint64(a.term), Number: 99, Merged: true}
	if err := w.bucket.Put(t.Context(), orphan.Key(), []byte("orphan")); err != nil {
		t.Fatal(err)
	}
	if err := w.bucket.Put(t.Context(), "cluster.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	bill := b.bill()
	if !bill.Agrees() || bill.Live.Objects != 1 || bill.Garbage.Objects != 21 || bill.Other.Objects != 1 || bill.InFlight.Objects != 0 {
		t.Errorf("after the term's end: %+v", bill)
	}
	if n, err := bill.RetireGarbage(t.Context(), w.store, b.term); err != nil || n != 21 {
		t.Errorf("retired %d, %v", n, err)
	}
	if bill := b.bill(); bill.Retired.Objects != 21 || bill.Garbage.Objects != 0 {
		t.Errorf("after the garbage is retired: %+v", bill)
	}
}

func TestVerify_FindsWhatIsWrong(t *testing.T) {
	t.Run("a hot segment is missing", func(t *testing.T) {
		w, a := filled(t)
		delete(w.bucket.bodies, "segments/0000000001/000000000007")
		if b := a.bill(); b.Agrees() || len(b.Missing) != 1 || b.Missing[0] != "segments/0000000001/000000000007" {
			t.Errorf("%+v", b)
		}
	})
	t.Run("a partition segment is missing", func(t *testing.T) {
		w, a := filled(t)
		a.do("merge", a.Merge(t.Context(), 0))
		delete(w.bucket.bodies, "partitions/0000000001/000000000001")
		if b := a.bill(); b.Agrees() || len(b.Missing) != 1 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("a row is missing", func(t *testing.T) {
		w, a := filled(t)
		a.do("merge", a.Merge(t.Context(), 0))
		gone := metastore.Rows{Removed: []metastore.ExtentKey{{Topic: 1, Object: "partitions/0000000001/000000000001"}}}
		if _, err := a.writer.AppendRows(t.Context(), []metastore.Draft{{Journal: metastore.ShardJournal(0)}}, gone); err != nil {
			t.Fatal(err)
		}
		if b := a.bill(); b.Agrees() || len(b.Wrong) != 1 {
			t.Errorf("%+v", b)
		}
		_ = w
	})
}
